/**
 * The VXLAN header (RFC 7348, section 5), which vxvde uses too (reference: plugins, section 7): 8 octets before the frame.
 *
 *     octet 0        flags: 0x08, the VNI is valid
 *     1 to 3         reserved: 0
 *     4 to 6         VXLAN network identifier, in network order
 *     7              reserved: 0
 */

/** Octets of the header. */
export const VXLAN_HEADER = 8;
/** Greatest VXLAN network identifier. */
export const VNI_MAX = 0xff_ffff;

const VNI_VALID = 0x08;

/** The header of a network. @param vni 0 to `VNI_MAX`. */
export function vxlanHeader(vni: number): Uint8Array {
  return Uint8Array.of(VNI_VALID, 0, 0, 0, vni >>> 16, vni >>> 8, vni, 0);
}

/** Tells the headers of one network from all others. */
export class VxlanFilter {
  readonly #header: Uint8Array;
  /** Which bits of the octets before the VNI, and of the one after it, count. */
  readonly #reserved: number;

  /** @param exact whether the reserved octets must be 0; otherwise they may be anything. */
  constructor(vni: number, exact: boolean) {
    this.#header = vxlanHeader(vni);
    this.#reserved = exact ? 0xff : 0;
  }

  /** Whether the header at `bytes[at]` is of the network. */
  accepts(bytes: Uint8Array, at: number): boolean {
    const header = this.#header;
    if (bytes[at] !== header[0]) return false;
    for (let i = 4; i < 7; i++) if (bytes[at + i] !== header[i]) return false;
    return ((bytes[at + 1] | bytes[at + 2] | bytes[at + 3] | bytes[at + 7]) & this.#reserved) === 0;
  }
}
