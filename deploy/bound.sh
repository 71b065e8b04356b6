#!/bin/bash
# Bounds how many connections one address (of IPv6: one /64) may have to Xray at once, which
# has no such bound itself. sallyport-bound.service runs it. The table is ours: no rule of
# anybody else is touched. CONNECTIONS in the environment says another number.
set -euo pipefail

port=$(sed -n 's/.*"tag": "vless-reality".*"port": \([0-9]*\).*/\1/p' /etc/sallyport/xray.json)
[[ -n $port ]] || {
	echo "no port of the inbound vless-reality is found in /etc/sallyport/xray.json" >&2
	exit 1
}
# A connection takes Xray up to 70 kB (docs/server.md), so an address has a quarter of the
# 40 % of the memory at which the unit is slowed down; many customers may share one.
most=${CONNECTIONS:-$(awk '/^MemTotal:/ {most = int($2 * 0.1 / 70); print (most > 4096 ? 4096 : most)}' /proc/meminfo)}

# It is taken away and made anew in one step. Who has too many is answered at once.
nft -f - <<RULES
table inet sallyport
delete table inet sallyport
table inet sallyport {
	set v4 {
		type ipv4_addr
		size 65535
		flags dynamic
	}
	set v6 {
		type ipv6_addr
		size 65535
		flags dynamic
	}
	chain bound {
		type filter hook input priority filter - 10; policy accept;
		tcp dport $port ct state new add @v4 { ip saddr ct count over $most } reject with tcp reset
		tcp dport $port ct state new add @v6 { ip6 saddr & ffff:ffff:ffff:ffff:: ct count over $most } reject with tcp reset
	}
}
RULES

# To count, the kernel keeps every connection of this machine in a table, which on one with
# little memory has few places. What finds none is lost, so there are enough.
places=/proc/sys/net/netfilter/nf_conntrack_max
if (($(<$places) < 131072)); then
	echo 131072 2>/dev/null >$places || echo "$places stays $(<$places): where that is few, set 131072 by hand" >&2
fi
echo "port $port: $most connections at once for each address"
