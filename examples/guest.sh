#!/bin/bash
# A namespace and a virtual machine, joined point to point: no switch, just a cable.
#
#   KERNEL=vmlinuz INITRD=initramfs examples/guest.sh
#
# Any Linux will do whose serial console is a shell of root. QEMU reaches VDE networks through the C libvdeplug.
. "$(dirname "$0")/lab.sh"
: "${KERNEL:?is to name the kernel of the guest}" "${INITRD:?is to name its initial RAM disk}"

# Whoever comes first makes the socket cable; whoever comes second joins it.
namespace alice "ptp://$LAB/cable"
at alice 'ip addr add 10.0.0.15/24 dev vde0
  ip link set vde0 up'

mkfifo console
echo "\$ qemu-system-x86_64 ... -netdev vde,id=vde0,sock=ptp://$LAB/cable"
qemu-system-x86_64 -accel tcg -cpu max -m 192 -nodefaults -no-reboot -display none \
  -kernel "$KERNEL" -initrd "$INITRD" -append 'console=ttyS0 quiet net.ifnames=0' -serial stdio \
  -device virtio-net-pci,netdev=vde0,mac=52:54:00:00:00:01,romfile= -netdev "vde,id=vde0,sock=ptp://$LAB/cable" \
  <> console > screen.log 2>&1 &

# What one would type at the guest's console, as soon as it shows its prompt.
wait_until grep -q '# ' screen.log
echo 'ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; ping -c 3 10.0.0.15; uname -sr' 1<> console
wait_until grep -q '^Linux' screen.log
tr -d '\r' < screen.log | sed '/^Linux/q'

at alice 'ping -c 3 -i 0.2 10.0.0.1
  ip neigh'
