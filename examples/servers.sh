#!/bin/bash
# Servers in a namespace: dnsmasq for DHCP and DNS, and a web server, with a client that needs all three.
. "$(dirname "$0")/lab.sh"

switch sw

namespace server "vde://$LAB/sw"
at server 'ip addr add 10.0.0.1/24 dev vde0
  ip link set vde0 up
  ip link set lo up'

cat > dnsmasq.conf << 'END'
interface=vde0
bind-interfaces
dhcp-range=10.0.0.100,10.0.0.199,1h
address=/www.lab/10.0.0.1
no-hosts
no-resolv
no-ping
END
cat > web.mjs << 'END'
import { createServer } from 'node:http';
const server = createServer((request, response) => response.end(`hello, ${request.socket.remoteAddress}\n`));
server.listen(80, '10.0.0.1', () => console.log('serving'));
END
at server 'dnsmasq --no-daemon --conf-file=dnsmasq.conf --dhcp-leasefile=leases > dnsmasq.log 2>&1 &
  node web.mjs > web.log 2>&1 &'
wait_until grep -q started dnsmasq.log
wait_until grep -q serving web.log

# What a DHCP client does with its lease is up to a script.
cat > lease.sh << 'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
[ -z "$router" ] || ip route add default via "$router"
END
chmod +x lease.sh

# /etc/resolv.conf is the whole machine's. With -R, the namespace has one of its own.
namespace client -R 10.0.0.1 "vde://$LAB/sw"
at client 'ip link set vde0 up
  busybox udhcpc -i vde0 -q -n -f -s ./lease.sh
  ip addr show vde0
  ip route'
at client 'cat /etc/resolv.conf
  getent hosts www.lab
  curl -sS --max-time 5 http://www.lab/'

# vdens can also do all that by itself.
namespace another --dhcp "vde://$LAB/sw"
at another 'ip -br -4 addr show vde0
  cat /etc/resolv.conf
  curl -sS --max-time 5 http://www.lab/'

at server 'cat leases'
