#!/bin/bash
# A packet filter between two cables: what it allows passes, the rest does not.
#
#   client 10.0.1.2 ---ptp--- 10.0.1.1 firewall 10.0.2.1 ---ptp--- 10.0.2.2 server
. "$(dirname "$0")/lab.sh"

namespace firewall --multi "ptp://$LAB/left" "ptp://$LAB/right" --
at firewall 'ip addr add 10.0.1.1/24 dev vde0
  ip addr add 10.0.2.1/24 dev vde1
  ip link set vde0 up
  ip link set vde1 up
  echo 1 > /proc/sys/net/ipv4/ip_forward'
namespace client "ptp://$LAB/left"
at client 'ip addr add 10.0.1.2/24 dev vde0
  ip link set vde0 up
  ip route add default via 10.0.1.1'
namespace server "ptp://$LAB/right"
at server 'ip addr add 10.0.2.2/24 dev vde0
  ip link set vde0 up
  ip route add default via 10.0.2.1
  echo "the page" > page
  busybox httpd -f -p 80 &
  busybox httpd -f -p 8080 &'
for port in 80 8080; do
  wait_until at client "curl -sS http://10.0.2.2:$port/page > /dev/null 2>&1"
done

at client 'curl -sS --max-time 20 http://10.0.2.2:80/page
  curl -sS --max-time 20 http://10.0.2.2:8080/page'

# From now on: new connections from vde0 to port 80, what belongs to a connection, and nothing else.
cat > rules.nft << 'END'
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname vde0 tcp dport 80 counter accept
    tcp dport != 80 counter reject with tcp reset
  }
}
END
at firewall 'nft -f rules.nft'

at client 'curl -sS --max-time 20 http://10.0.2.2:80/page'
at client 'curl -sS --max-time 20 http://10.0.2.2:8080/page' && fail 'port 8080 is open'
at client 'ping -c 1 -W 1 10.0.2.2' && fail 'ping passes'
at firewall 'nft list ruleset'
