/** Random frames, packets and addresses for the property tests of this folder. */

import fc from 'fast-check';

/** `fc.record` of plain objects: what decoders return, so that the two compare equal. */
export const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;

export const octets = (maxLength: number, minLength = 0) => fc.uint8Array({ minLength, maxLength });
export const mac = octets(6, 6);
export const u8 = fc.integer({ min: 0, max: 0xff });
export const u16 = fc.integer({ min: 0, max: 0xffff });
export const u32 = fc.integer({ min: 0, max: 0xffffffff });
export const ipv6 = octets(16, 16);

/** Addresses of one family. */
export const endpoints = fc.oneof(record({ src: u32, dst: u32 }), record({ src: ipv6, dst: ipv6 }));

/** What follows addresses and tags: mostly an EtherType, sometimes LLC. */
export const content = fc.oneof(
  record({
    type: fc.integer({ min: 0x600, max: 0xffff }).filter((type) => type !== 0x8100 && type !== 0x88a8),
    payload: octets(100),
  }),
  record({ type: fc.constant(undefined), payload: octets(100) }),
);

export const tag = record({
  tpid: fc.constantFrom(0x8100, 0x88a8) as fc.Arbitrary<0x8100 | 0x88a8>,
  pcp: fc.integer({ min: 0, max: 7 }),
  dei: fc.boolean(),
  vid: fc.integer({ min: 0, max: 0xfff }),
});

/** Valid bytes with a few of them changed, and perhaps cut: what decoders break on sooner than on mere noise. */
export function damaged(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const changes = fc.array(record({ at: fc.nat(), value: fc.oneof(u8, fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)) }), {
    maxLength: 8,
  });
  return fc.tuple(valid, changes, fc.option(fc.nat())).map(([bytes, list, cut]) => {
    const copy = bytes.slice();
    for (const { at, value } of list) if (copy.length > 0) copy[at % copy.length] = value;
    return cut === null ? copy : copy.subarray(0, cut % (copy.length + 1));
  });
}

/** Octets from hexadecimal text; spaces are ignored. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

/** A copy with the octet at `at` replaced. */
export function patched(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}
