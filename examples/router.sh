#!/bin/bash
# A router between two switches, with an interface on each: IPv4 and IPv6.
#
#   left .2 --- switch west --- .1 vde0 [router] vde1 .1 --- switch east --- .2 right
#               10.0.1.0/24                      10.0.2.0/24
#               fd00:1::/64                      fd00:2::/64
. "$(dirname "$0")/lab.sh"

switch west
switch east

# One interface per network, in their order: vde0, vde1, ...
namespace router --multi "vde://$LAB/west" "vde://$LAB/east" --
at router 'ip addr add 10.0.1.1/24 dev vde0
  ip addr add 10.0.2.1/24 dev vde1
  ip addr add fd00:1::1/64 dev vde0 nodad
  ip addr add fd00:2::1/64 dev vde1 nodad
  ip link set vde0 up
  ip link set vde1 up
  echo 1 > /proc/sys/net/ipv4/ip_forward
  echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
  ip route'

namespace left "vde://$LAB/west"
at left 'ip addr add 10.0.1.2/24 dev vde0
  ip addr add fd00:1::2/64 dev vde0 nodad
  ip link set vde0 up
  ip route add default via 10.0.1.1
  ip route add default via fd00:1::1'
namespace right "vde://$LAB/east"
at right 'ip addr add 10.0.2.2/24 dev vde0
  ip addr add fd00:2::2/64 dev vde0 nodad
  ip link set vde0 up
  ip route add default via 10.0.2.1
  ip route add default via fd00:2::1'

# Each router takes one from the 64 that a packet may pass.
at left 'ping -c 3 -i 0.2 10.0.2.2
  ping -c 3 -i 0.2 fd00:2::2'
