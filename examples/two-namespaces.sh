#!/bin/bash
# Two namespaces and a switch: ping and a measurement, over IPv4 and IPv6.
. "$(dirname "$0")/lab.sh"

# A switch can be any program that has one as an end of its cable: here the other end is null://, where nothing is.
echo "\$ vde_plug null:// switch://$LAB/sw"
vde_plug null:// "switch://$LAB/sw" &
wait_until test -S sw/ctl

namespace alice "vde://$LAB/sw"
namespace bob "vde://$LAB/sw"

# Each has an interface vde0. It is down, and has no address yet. (`nodad`: don't look for duplicates first, which takes
# IPv6 a second or two.)
at alice 'ip addr add 10.0.0.10/24 dev vde0
  ip addr add fd00::10/64 dev vde0 nodad
  ip link set vde0 up'
at bob 'ip addr add 10.0.0.11/24 dev vde0
  ip addr add fd00::11/64 dev vde0 nodad
  ip link set vde0 up'

at alice 'ping -c 3 -i 0.2 10.0.0.11
  ping -c 3 -i 0.2 fd00::11
  ip neigh'

# One server per measurement: it may take a moment until one is free again.
at bob 'iperf3 --server --forceflush > one.log 2>&1 &
  iperf3 --server --forceflush --port 5202 > two.log 2>&1 &'
wait_until grep -q listening one.log
wait_until grep -q listening two.log
at alice 'iperf3 --client 10.0.0.11 --time 1
  iperf3 --client fd00::11 --port 5202 --time 1'
