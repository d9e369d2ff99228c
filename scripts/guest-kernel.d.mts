export interface GuestKernel {
  /** As `uname -r` gives it. */
  release: string;
  dir: string;
  vmlinuz: string;
  modules: string;
}

export function guestKernel(): GuestKernel | undefined;
export function fetchGuestKernel(log?: (line: string) => void): GuestKernel;
