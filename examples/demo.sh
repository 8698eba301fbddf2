#!/bin/sh
# What `make demo` runs at a lab's workstation: the whole circle, from a fresh
# topology to proof and back. Stops at the first thing that is not as it should be.
# Usage: demo.sh CLIENT URL
set -eu
client=$1 url=$2

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
show() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; "$@"; }
say() { printf '\n# %s\n' "$*"; }

# Everything lvsform could have touched on a host, in the words of its own tools,
# but for the devices that come with kernel modules, which stay loaded.
dump() {
	ssh "$1" 'ip -o link | sed "s/ state [A-Z]*//"; ip -o addr; ip route; ip -6 route; ip rule
		sysctl -a 2>/dev/null | grep -E "^net\.ipv[46]\.(conf|ip_forward)"
		test ! -e /proc/net/ip_vs || ipvsadm -Sn
		test ! -e /proc/net/ip_tables_names || iptables-save | grep "^-"
		ls -A /var/lib' </dev/null | grep -v -E 'tunl0|gre0|gretap0|erspan0'
}

hosts=$(awk '$1 == "Host" {print $2}' ~/.ssh/config | grep -v workstation)

say "every host as it is found"
for h in $hosts; do dump "$h" >"before.$h"; done
wc -l before.* | sed '$d'

say "what would change, and why"
show lvsform plan

say "make it so; test traffic follows"
show lvsform apply --yes

say "as a client sees it"
for _ in 1 2 3 4; do show ssh "$client" curl -sS --max-time 5 "$url" </dev/null; done

say "the verdict, as CI reads it"
show lvsform verify --json

say "a second plan is empty"
show lvsform plan --detailed-exitcode

say "and back"
show lvsform destroy --yes

say "every host as it was found?"
for h in $hosts; do
	dump "$h" >"after.$h"
	diff "before.$h" "after.$h" || { echo "$h: not as it was found"; exit 1; }
	echo "$h: as found"
done
