/**
 * Sizes and offsets of the kernel structures that we build by hand, in bytes, for LP64 Linux (x86-64 and arm64).
 * test/sys/layout.test.ts checks them against the running kernel.
 */

/** `struct iovec { void *base; size_t len; }` (readv(2)). */
export const IOVEC = { size: 16, base: 0, length: 8 } as const;

/** `struct msghdr` (recvmsg(2)). */
export const MSGHDR = {
  size: 56,
  name: 0,
  nameLength: 8,
  iov: 16,
  iovLength: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
} as const;

/** `struct mmsghdr` (recvmmsg(2)): a msghdr, then the number of bytes moved. */
export const MMSGHDR = { size: 64, length: 56 } as const;

/** `struct cmsghdr` (cmsg(3)); data follows the header, each message aligned to 8. */
export const CMSGHDR = { size: 16, length: 0, level: 8, type: 12 } as const;

/** `struct epoll_event` (epoll_ctl(2)): packed on x86-64 only. */
export const EPOLL_EVENT =
  process.arch === 'x64' ? ({ size: 12, events: 0, data: 4 } as const) : ({ size: 16, events: 0, data: 8 } as const);

/** `struct sockaddr_un` (unix(7)). */
export const SOCKADDR_UN = { size: 110, path: 2, pathRoom: 108 } as const;

/** `struct sockaddr_in`, `struct sockaddr_in6` (ip(7), ipv6(7)). */
export const SOCKADDR_IN = { size: 16, port: 2, address: 4 } as const;
export const SOCKADDR_IN6 = { size: 28, port: 2, flowInfo: 4, address: 8, scope: 24 } as const;

/** `struct ucred` (unix(7), SO_PEERCRED). */
export const UCRED = { size: 12, pid: 0, uid: 4, gid: 8 } as const;

/** `struct ifreq` (netdevice(7)): name, then a union. */
export const IFREQ = { size: 40, name: 0, nameRoom: 16, union: 16 } as const;

/** `struct virtio_net_hdr` (virtio 1.2, 5.1.6), as a tap opened with IFF_VNET_HDR puts it before each frame. */
export const VIRTIO_NET_HDR = {
  size: 10,
  flags: 0,
  gsoType: 1,
  headerLength: 2,
  gsoSize: 4,
  checksumStart: 6,
  checksumOffset: 8,
} as const;

/** `struct io_uring_params` (io_uring_setup(2)), and in it where the rings' fields lie in the mapping. */
export const IO_URING_PARAMS = {
  size: 120,
  submissionEntries: 0,
  completionEntries: 4,
  features: 20,
  submissionHead: 40,
  submissionTail: 44,
  submissionMask: 48,
  submissionArray: 64,
  completionHead: 80,
  completionTail: 84,
  completionMask: 88,
  completions: 100,
} as const;

/** `struct io_uring_sqe` (io_uring_enter(2)), as far as sending needs it. */
export const IO_URING_SQE = {
  size: 64,
  operation: 0,
  flags: 1,
  fd: 4,
  address: 16,
  length: 24,
  messageFlags: 28,
  userData: 32,
} as const;

/** `struct io_uring_cqe` (io_uring_enter(2)). */
export const IO_URING_CQE = { size: 16, userData: 0, result: 8 } as const;
