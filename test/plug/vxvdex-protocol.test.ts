import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  type Admission,
  decodeAnswer,
  decodeMemberRequest,
  encodeAnswer,
  encodeMemberRequest,
  isNetworkName,
  MESSAGE_MAX,
  type MemberRequest,
  type Refusal,
} from '../../src/plug/vxvdex-protocol.js';

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const PLAIN = { noNullPrototype: true };
const network = fc.oneof(
  fc.constant({ kind: 'own' as const }),
  uint32.map((group) => ({ kind: 'group' as const, group })),
  fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,62}$/).map((name) => ({ kind: 'name' as const, name })),
);
const requests: fc.Arbitrary<MemberRequest> = fc.record(
  {
    network,
    maxFrame: uint32,
    offloads: fc.boolean(),
    adopt: fc.boolean(),
    family: fc.constantFrom(undefined, 4 as const, 6 as const),
  },
  PLAIN,
);
const admissions: fc.Arbitrary<Admission> = fc.record(
  {
    network: uint32,
    maxFrame: uint32,
    offloads: fc.boolean(),
    adopted: fc.boolean(),
  },
  PLAIN,
);
const refusals: fc.Arbitrary<Refusal> = fc.record(
  {
    code: fc.constantFrom('EACCES', 'ENOENT', 'EDQUOT'),
    cause: fc.string({ maxLength: 100 }),
    remedy: fc.string({ maxLength: 100 }),
  },
  PLAIN,
);

test('what is asked is what is read', () => {
  fc.assert(fc.property(requests, (one) => assert.deepEqual(decodeMemberRequest(encodeMemberRequest(one)), one)));
});

test('what is answered is what is read', () => {
  const all: fc.Arbitrary<Admission | Refusal> = fc.oneof(admissions, refusals);
  fc.assert(fc.property(all, (one) => assert.deepEqual(decodeAnswer(encodeAnswer(one)), one)));
});

test('however long the reason, an answer fits a message', () => {
  const answer = encodeAnswer({ code: 'EACCES', cause: 'ü'.repeat(2000), remedy: 'x'.repeat(2000) });
  assert.ok(answer.length <= MESSAGE_MAX);
  assert.match((decodeAnswer(answer) as Refusal).cause, /^ü{200}/);
});

test('any bytes are read as a request or refused with a reason, and never believed beyond their length', () => {
  const whole = requests.map(encodeMemberRequest);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .tuple(whole, fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 4 }), fc.nat(90))
      .map(([request, changes, cut]) => {
        const copy = Buffer.from(request);
        for (const [at, value] of changes) copy[at % copy.length] = value;
        return copy.subarray(0, copy.length - (cut % copy.length));
      }),
  );
  fc.assert(
    fc.property(bytes, (one) => {
      const read = decodeMemberRequest(Buffer.from(one));
      if (typeof read === 'string') assert.notEqual(read, '');
      else if (read.network.kind === 'name') assert.ok(isNetworkName(read.network.name));
    }),
    { numRuns: 1000 },
  );
});

test('any bytes are read as an answer or not', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.tuple(fc.oneof(admissions, refusals), fc.nat(100), fc.nat(255)).map(([answer, at, value]) => {
      const copy = encodeAnswer(answer);
      copy[at % copy.length] = value;
      return copy;
    }),
  );
  fc.assert(
    fc.property(bytes, (one) => {
      const read = decodeAnswer(Buffer.from(one));
      if (read !== undefined && 'code' in read) assert.match(read.code, /^E[A-Z0-9]+$/);
    }),
    { numRuns: 1000 },
  );
});

test('names of networks: as names of groups, and none that is a number', () => {
  for (const name of ['lab', 'Lab-2', '_x', 'a.b', '2nd', 'x'.repeat(63)]) assert.ok(isNetworkName(name), name);
  for (const name of ['', '5', '-x', '.x', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(64)]) {
    assert.ok(!isNetworkName(name), name);
  }
});
