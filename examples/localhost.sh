#!/bin/bash
# A namespace of one's own with nothing but localhost: no interface leads out of it.
. "$(dirname "$0")/lab.sh"

# The network `no` is none at all. With no command, vdens would start your $SHELL.
namespace alone no

# You are still yourself, not root; but this network stack is yours to manage.
at alone 'id -un
  ip addr'
at alone 'ip link set lo up
  ip addr
  ping -c 3 -i 0.2 127.0.0.1'

# A port below 1024 is no privilege here, and nobody outside sees it.
at alone 'busybox httpd -f -p 127.0.0.1:80 &
  echo "hello, myself" > hello
  until curl -sS http://127.0.0.1/hello; do sleep 0.1; done'
