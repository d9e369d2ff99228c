#!/bin/bash
# Traffic shaping: the kernel's token bucket filter on the interface of a namespace.
. "$(dirname "$0")/lab.sh"

switch sw
namespace sender "vde://$LAB/sw"
namespace receiver "vde://$LAB/sw"
at sender 'ip addr add 10.0.0.1/24 dev vde0
  ip link set vde0 up'
at receiver 'ip addr add 10.0.0.2/24 dev vde0
  ip link set vde0 up
  iperf3 --server --forceflush > one.log 2>&1 &
  iperf3 --server --forceflush --port 5202 > two.log 2>&1 &'
wait_until grep -q listening one.log
wait_until grep -q listening two.log

# Mbit/s, as the receiver counted them.
rate() {
  awk '/receiver/ { for (i = 2; i <= NF; i++) if ($i == "Mbits/sec") print int($(i - 1)) }' "$1"
}

at sender 'iperf3 --client 10.0.0.2 --time 1 --format m > free.log
  tail -n 4 free.log'

# 20 Mbit/s; bursts of up to 64 kB may go at once; what would wait for longer than 50 ms is dropped.
at sender 'tc qdisc add dev vde0 root tbf rate 20mbit burst 64kb latency 50ms
  tc qdisc show dev vde0
  iperf3 --client 10.0.0.2 --port 5202 --time 2 --format m > shaped.log
  tail -n 4 shaped.log'

echo "unshaped $(rate free.log) Mbit/s, shaped $(rate shaped.log) Mbit/s"
[ "$(rate shaped.log)" -lt 40 ] || fail 'that is no 20 Mbit/s'
[ "$(rate free.log)" -gt 80 ] || fail 'that was slow before'
