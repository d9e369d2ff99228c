#!/bin/bash
# A masquerading router between a private network and the host: `nat-router.sh [nft | iptables]`.
#
#   inside 10.0.1.2 ---ptp--- 10.0.1.1 router 10.0.0.1 ---tap0--- 10.0.0.254 host
#
# The host's administrator would have made the tap. Here we play the host too, in a network namespace with a root of
# its own; leave the next line out, do the three `ip` with sudo, and it is your host.
[ "${HOST-}" ] || HOST=1 exec unshare --user --map-root-user --net -- bash "$0" "$@"
. "$(dirname "$0")/lab.sh"
tool=${1:-nft}

ip tuntap add mode tap name tap0 user root
ip addr add 10.0.0.254/24 dev tap0
ip link set tap0 up

namespace router --multi "ptp://$LAB/cable" tap://tap0 --
at router 'ip addr add 10.0.1.1/24 dev vde0
  ip addr add 10.0.0.1/24 dev vde1
  ip link set vde0 up
  ip link set vde1 up
  ping -c 1 10.0.0.254'

namespace inside "ptp://$LAB/cable"
at inside 'ip addr add 10.0.1.2/24 dev vde0
  ip link set vde0 up
  ip route add default via 10.0.1.1
  ping -c 1 10.0.1.1'

# Not a router yet.
at inside 'ping -c 1 -W 1 10.0.0.254' && fail 'the host can be reached too early'

# To route is not enough either: the host does not know the way back to 10.0.1.0/24.
at router 'echo 1 > /proc/sys/net/ipv4/ip_forward'
at inside 'ping -c 1 -W 1 10.0.0.254' && fail 'the host knows the private network'

# With its source rewritten to 10.0.0.1, a packet is answered.
case $tool in
  nft)
    at router 'nft add table ip nat
      nft add chain ip nat postrouting "{ type nat hook postrouting priority srcnat; }"
      nft add rule ip nat postrouting oifname vde1 counter masquerade'
    ;;
  iptables) at router 'iptables -t nat -A POSTROUTING -o vde1 -j MASQUERADE' ;;
  *) fail "nft or iptables, not $tool" ;;
esac
at inside 'ping -c 3 -i 0.2 10.0.0.254'
[ "$tool" = nft ] && at router 'nft list ruleset' || at router 'iptables -t nat -nvL POSTROUTING'
