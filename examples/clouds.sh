#!/bin/bash
# Two clouds without a switch in the middle, a masquerading router between them and the outside, and a node that moves
# from one host to another while its clients talk to it.
#
#              host one 192.168.1.1                      host two .2         host three .3
#   near 10.0.1.2 --- cloud 234.0.0.1 --- router
#   peer 10.0.2.2 --- cloud 234.0.0.2 --- router          node 10.0.2.5  ->   node 10.0.2.5
#   outside 10.0.0.254 --- tap0 --------- router
#
# The hosts would be machines on a network. Here they are namespaces with a root of their own, joined by a bridge; leave out
# the next line and the block below it, and host one is your host (whose administrator made the tap).
[ "${HOST-}" ] || HOST=1 exec unshare --user --map-root-user --net -- bash "$0" "$@"
. "$(dirname "$0")/lab.sh"

ip link set lo up
ip link add lan type bridge mcast_snooping 0
ip addr add 192.168.1.1/24 dev lan
ip link set lan up
ip route add 224.0.0.0/4 dev lan
for number in 2 3; do
  unshare --net sh -c "ip link set lo up; echo \$\$ > host$number; exec sleep 3600" &
  wait_until test -s "host$number"
  pid=$(cat "host$number")
  ip link add "port$number" type veth peer name eth0 netns "$pid"
  ip link set "port$number" master lan up
  nsenter --target "$pid" --net -- sh -c "ip addr add 192.168.1.$number/24 dev eth0
    ip link set eth0 up
    ip route add 224.0.0.0/4 dev eth0"
done
host_two="nsenter --target $(cat host2) --net --"
host_three="nsenter --target $(cat host3) --net --"
ip tuntap add mode tap name tap0 user root
ip addr add 10.0.0.254/24 dev tap0
ip link set tap0 up

# Members of a cloud find each other by its multicast group, and then talk straight to one another.
namespace router --multi vxvde://234.0.0.1 vxvde://234.0.0.2 tap://tap0 --
at router 'ip addr add 10.0.1.1/24 dev vde0
  ip addr add 10.0.2.1/24 dev vde1
  ip addr add 10.0.0.1/24 dev vde2
  for i in 0 1 2; do ip link set vde$i up; done
  echo 1 > /proc/sys/net/ipv4/ip_forward
  nft add table ip nat
  nft add chain ip nat postrouting "{ type nat hook postrouting priority srcnat; }"
  nft add rule ip nat postrouting oifname vde2 counter masquerade'

# A node, on the host that ON says.
node() {
  namespace "$1" vxvde://234.0.0.2
  node=$!
  at "$1" 'ip link set vde0 address 02:00:00:00:00:05
    ip addr add 10.0.2.5/24 dev vde0
    ip link set vde0 up
    ip route add default via 10.0.2.1
    ping -c 3 -i 0.2 10.0.0.254'
}
ON=$host_two node two

# Its clients: one in its cloud, one beyond the router. They go on, whatever happens to it.
namespace peer vxvde://234.0.0.2
at peer 'ip addr add 10.0.2.2/24 dev vde0
  ip link set vde0 up
  ping -i 0.2 10.0.2.5 > peer.log &'
namespace near vxvde://234.0.0.1
at near 'ip addr add 10.0.1.2/24 dev vde0
  ip link set vde0 up
  ip route add default via 10.0.1.1
  ping -i 0.2 10.0.2.5 > near.log &'
wait_until grep -q icmp_seq=5 peer.log
wait_until grep -q icmp_seq=5 near.log

# The node stops, and starts on another host.
kill -TERM -- "-$node"
wait "$node" || true
sleep 1 # what it has answered may still be on its way
answered() {
  grep -c 'bytes from 10.0.2.5' "$1"
}
before=$(answered peer.log)
sleep 1
[ "$(answered peer.log)" = "$before" ] || fail 'somebody answers in its place'
ON=$host_three node three

# Nobody was told. The same clients have answers again.
more_than() {
  [ "$(answered "$1")" -gt "$2" ]
}
for client in peer near; do
  wait_until more_than "$client.log" $(($(answered "$client.log") + 4))
done
tail -n 3 peer.log near.log
at router 'nft list ruleset'
