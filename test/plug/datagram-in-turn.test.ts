/** All that is tested of datagram sockets, where the kernel has no ring for us: frames go out by `sendmmsg`. */

process.env.VDE_IO_URING = '0';
await import('./datagram.test.js');
