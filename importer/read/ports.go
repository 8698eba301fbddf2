package read

import (
	"fmt"
	"strconv"
	"strings"
)

// servicePorts are the ports of the services that people put behind a director,
// by the names that IANA and services(5) give them. A name has the same port in
// every protocol.
func servicePorts() map[string]uint16 {
	ports := map[string]uint16{}
	for _, pair := range strings.Fields(`
		echo=7 discard=9 sink=9 null=9 systat=11 daytime=13 qotd=17 chargen=19 ftp-data=20 ftp=21 ssh=22 telnet=23
		smtp=25 mail=25 time=37 whois=43 nicname=43 tacacs=49 domain=53 bootps=67 bootpc=68 tftp=69 gopher=70
		finger=79 http=80 www=80 www-http=80 kerberos=88 kerberos5=88 krb5=88 kerberos-sec=88 pop2=109 pop-2=109
		pop3=110 pop-3=110 sunrpc=111 portmapper=111 auth=113 ident=113 nntp=119 readnews=119 ntp=123 epmap=135
		netbios-ns=137 netbios-dgm=138 netbios-ssn=139 imap=143 imap2=143 snmp=161 snmptrap=162 snmp-trap=162
		bgp=179 irc=194 imap3=220 ldap=389 https=443 microsoft-ds=445 kpasswd=464 submissions=465 smtps=465 ssmtp=465
		urd=465 isakmp=500 exec=512 login=513 shell=514 syslog=514 printer=515 spooler=515 rtsp=554 nntps=563
		submission=587 ipp=631 ldaps=636 domain-s=853 rsync=873 ftps-data=989 ftps=990 telnets=992 imaps=993 ircs=994
		pop3s=995 socks=1080 openvpn=1194 ms-sql-s=1433 ms-sql-m=1434 ncube-lm=1521 l2tp=1701 l2f=1701 pptp=1723 mqtt=1883
		radius=1812 radius-acct=1813 radacct=1813 nfs=2049 docker=2375 docker-s=2376 dict=2628 squid=3128 icpv2=3130
		iscsi-target=3260 msft-gc=3268 msft-gc-ssl=3269 mysql=3306 ms-wbt-server=3389 stun=3478 stuns=5349 turn=3478
		turns=5349 svn=3690 subversion=3690 sieve=4190 epmd=4369 ipsec-nat-t=4500 radsec=2083 sip=5060 sip-tls=5061 sips=5061
		xmpp-client=5222 jabber-client=5222 xmpp-server=5269 jabber-server=5269 postgresql=5432 postgres=5432
		amqps=5671 amqp=5672 x11=6000 redis=6379 syslog-tls=6514 ircd=6667 ircs-u=6697 http-alt=8080 webcache=8080
		secure-mqtt=8883 puppet=8140 https-alt=8443 pcsync-https=8443 git=9418 zabbix-agent=10050 zabbix-trapper=10051 memcache=11211
		mongodb=27017`) {
		name, port, _ := strings.Cut(pair, "=")
		n, _ := strconv.ParseUint(port, 10, 16)
		ports[name] = uint16(n)
	}
	return ports
}

// namedPort reads a port by its number, 0 too, or by the name of a service.
// ldirectord(8) looks names up in services(5), and ipvsadm(8) prints those that
// it finds there.
func (t *source) namedPort(line int, s string) (uint16, bool) {
	if !isName(s) {
		return t.port(line, s, 0)
	}
	if t.ports == nil {
		t.ports = servicePorts()
	}
	if port, known := t.ports[s]; known {
		return port, true
	}
	fix := "write its number"
	if lower := strings.ToLower(s); t.ports[lower] != 0 {
		fix = "did you mean " + lower + "?"
	}
	return 0, t.problem(line, fmt.Sprintf("port %q is a name that lvsform does not know", s), fix)
}
