#!/bin/sh
# Installs the Debian packages that the lab and the tests use, or says which
# are missing when it may not. Does nothing when all are there.
# With arguments package:command it does so for those packages instead.
set -eu

# package:command, or package:/file, that tells whether it is there
wanted='
user-mode-linux:linux.uml
kmod:modprobe
iproute2:ip
ipvsadm:ipvsadm
iptables:iptables-legacy
arptables:arptables-legacy
keepalived:keepalived
openssh-client:ssh
openssh-server:sshd
curl:curl
tcpdump:tcpdump
procps:sysctl
'
# On a processor with AMX, User-Mode Linux needs a library that the lab compiles.
if grep -qw amx_tile /proc/cpuinfo 2>/dev/null; then
	wanted="$wanted gcc:cc"
fi
[ $# -eq 0 ] || wanted=$*

PATH=$PATH:/usr/sbin:/sbin
missing=
for line in $wanted; do
	package=${line%%:*} command=${line##*:}
	# User-Mode Linux is a kernel for x86-64 only; elsewhere the lab needs the
	# running kernel's ip_vs.
	[ "$package" = user-mode-linux ] && [ "$(uname -m)" != x86_64 ] && continue
	case $command in
	/*) [ -e "$command" ] ;;
	*) command -v "$command" >/dev/null 2>&1 ;;
	esac || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# policy-rc.d: installing openssh-server must not start a server here.
	guard=
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		guard=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >"$guard"
		chmod 755 "$guard"
		trap 'rm -f "$guard"' EXIT
	fi
	# shellcheck disable=SC2086 # a list of packages
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
	exit 0
fi

echo "missing Debian packages:$missing" >&2
echo "install them as root: apt-get install$missing" >&2
exit 1
