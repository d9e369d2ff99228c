/** What a namespace is to see at /etc/resolv.conf. */

/** A file, or a text of our own, which the namespace may change if `writable`. */
export type ResolvPlan = { file: string } | { text: string; writable?: boolean };

/** The text for `-R A[,A...]`: a line for each address. */
export function nameserverLines(addresses: string): string {
  return addresses
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '')
    .map((address) => `nameserver ${address}\n`)
    .join('');
}
