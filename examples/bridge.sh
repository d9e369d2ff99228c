#!/bin/bash
# The kernel's bridge inside a namespace joins two switches to one Ethernet.
#
#   left 10.0.0.1 --- switch west --- vde0 [br0] vde1 --- switch east --- right 10.0.0.2
. "$(dirname "$0")/lab.sh"

switch west
switch east
namespace left "vde://$LAB/west"
namespace right "vde://$LAB/east"
at left 'ip addr add 10.0.0.1/24 dev vde0
  ip link set vde0 up'
at right 'ip addr add 10.0.0.2/24 dev vde0
  ip link set vde0 up'

# The same network, but two switches that nothing joins yet.
at left 'ping -c 1 -W 1 10.0.0.2' && fail 'the switches are joined already'

namespace bridge --multi "vde://$LAB/west" "vde://$LAB/east" --
at bridge 'ip link add br0 type bridge
  ip link set vde0 master br0
  ip link set vde1 master br0
  ip link set vde0 up
  ip link set vde1 up
  ip link set br0 up'

# For a second or two, left may still be busy with its old question who 10.0.0.2 is.
wait_until at left 'ping -c 1 -W 1 10.0.0.2 > /dev/null'
at left 'ping -c 3 -i 0.2 10.0.0.2
  ip neigh'

# The bridge has learned on which side each of the two is.
at bridge 'bridge fdb show br br0 dynamic'
