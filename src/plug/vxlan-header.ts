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
  readonly #header: Int32Array;
  readonly #mask: Int32Array;

  /** @param exact whether the reserved octets must be 0; otherwise they may be anything. */
  constructor(vni: number, exact: boolean) {
    const reserved = exact ? 0xff : 0;
    this.#header = new Int32Array(vxlanHeader(vni).buffer);
    this.#mask = new Int32Array(Uint8Array.of(0xff, reserved, reserved, reserved, 0xff, 0xff, 0xff, reserved).buffer);
  }

  /** Whether a header, as two 32-bit words in host order, is of the network. */
  accepts(first: number, second: number): boolean {
    return (first & this.#mask[0]) === this.#header[0] && (second & this.#mask[1]) === this.#header[1];
  }
}
