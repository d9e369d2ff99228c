import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import type { WantedNetwork } from '../../src/plug/vxvdex-protocol.js';
import { type Names, type Person, Policy, parsePolicy, readPolicy } from '../../src/switch/vxvdex-policy.js';
import { VdeError } from '../../src/sys/errors.js';
import { tmpDir } from '../support/tmp.js';

const GROUPS: Record<string, number> = { students: 3001, staff: 3002, huge: 0x1000_0000 + 3001 };
const USERS: Record<string, number> = { alice: 2001, bob: 2002 };
const names: Names = { userId: (name) => USERS[name], groupId: (name) => GROUPS[name] };

function policy(...lines: string[]): Policy {
  return new Policy(parsePolicy(lines.join('\n'), 'conf', names), 'conf', names);
}

const alice: Person = { uid: 2001, gid: 3001, groups: [3002] };
const bob: Person = { uid: 2002, gid: 3002, groups: [] };
const own: WantedNetwork = { kind: 'own' };
const group = (number: number): WantedNetwork => ({ kind: 'group', group: number });
const name = (text: string): WantedNetwork => ({ kind: 'name', name: text });

/** The number, or the code of the refusal. */
function admit(rules: Policy, wanted: WantedNetwork, person: Person): number | string {
  try {
    return rules.admit(wanted, person);
  } catch (error) {
    assert.ok(error instanceof VdeError);
    return error.code;
  }
}

test('without a file: the network of the effective group, and no other', () => {
  const rules = policy();
  for (const wanted of [own, group(3001), name('students')]) assert.equal(admit(rules, wanted, alice), 3001);
  assert.equal(admit(rules, own, bob), 3002);
  // A supplementary group is not enough; nor is it to be root.
  assert.equal(admit(rules, group(3002), alice), 'EACCES');
  assert.equal(admit(rules, name('students'), bob), 'EACCES');
  assert.equal(admit(rules, group(3001), { uid: 0, gid: 0, groups: [] }), 'EACCES');
  assert.equal(admit(rules, own, { uid: 0, gid: 0, groups: [] }), 0);
  assert.equal(admit(rules, name('nothing'), alice), 'ENOENT');
});

test('a network of the file is for its groups, primary or not, and its users; for nobody else', () => {
  const rules = policy('network lab 5000 groups=staff users=2003', 'network x 5001 users=bob');
  for (const wanted of [name('lab'), group(5000)]) {
    assert.equal(admit(rules, wanted, alice), 5000);
    assert.equal(admit(rules, wanted, bob), 5000);
    assert.equal(admit(rules, wanted, { uid: 2003, gid: 9, groups: [] }), 5000);
    assert.equal(admit(rules, wanted, { uid: 2004, gid: 3001, groups: [3003] }), 'EACCES');
  }
  assert.equal(admit(rules, name('x'), bob), 5001);
  assert.equal(admit(rules, name('x'), alice), 'EACCES');
  // The others are what they are without a file.
  assert.equal(admit(rules, own, alice), 3001);
});

test('what the file says of a group’s network is all that counts', () => {
  const rules = policy('network students students users=bob');
  assert.equal(admit(rules, name('students'), bob), 3001);
  assert.equal(admit(rules, own, alice), 'EACCES');
});

test('a name of the file comes before that of a group', () => {
  const rules = policy('network staff 7 users=alice');
  assert.equal(admit(rules, name('staff'), alice), 7);
  assert.equal(admit(rules, name('staff'), bob), 'EACCES');
  assert.equal(admit(rules, own, bob), 3002);
});

test('a group whose number is longer than a VNI cannot pass for one whose number is its end', () => {
  const rules = policy();
  const gid = GROUPS.huge;
  assert.equal(gid & 0xff_ffff, 3001);
  for (const wanted of [own, group(gid), name('huge')]) {
    assert.equal(admit(rules, wanted, { uid: 1, gid, groups: [] }), 'EACCES');
  }
});

test('one whom the kernel cannot name here is nobody, whatever network is wanted', () => {
  const rules = policy('network lab 5000 groups=65534 users=65534', 'network n 65534 groups=65534');
  for (const wanted of [own, name('lab'), group(65_534)]) {
    assert.equal(admit(rules, wanted, { uid: 65_534, gid: 65_534, groups: [] }), 'EACCES');
    assert.equal(admit(rules, wanted, { uid: 2001, gid: 65_534, groups: [] }), 'EACCES');
    assert.equal(admit(rules, wanted, { uid: 65_534, gid: 3001, groups: [] }), 'EACCES');
  }
  // As every group that is not mapped into a user namespace looks.
  assert.equal(admit(rules, name('lab'), { ...alice, groups: [65_534] }), 'EACCES');
});

test('a refusal says who, which network, and what to ask for', () => {
  const rules = policy('network lab 5000 users=bob');
  const refuse = (wanted: WantedNetwork): string => {
    try {
      rules.admit(wanted, { uid: 4_000_001, gid: 4_000_002, groups: [] });
    } catch (error) {
      return (error as VdeError).message;
    }
    return 'admitted';
  };
  const who = 'uid 4000001, gid 4000002';
  assert.equal(
    refuse(name('lab')),
    `${who}: may not join network lab (5000) (ask the administrator for a place in its line in conf: groups=..., users=...)`,
  );
  assert.equal(
    refuse(group(4_000_003)),
    `${who}: may not join network 4000003 (ask the administrator for a line for it in conf: groups=..., users=...)`,
  );
});

const WRONG: [line: string, message: RegExp][] = [
  ['net lab 1 users=bob', /"net" is not understood \(network NAME NUMBER/],
  ['network', /a network needs a name and a number/],
  ['network lab', /a network needs a name and a number/],
  ['network 12 12 users=bob', /"12" cannot be the name of a network/],
  ['network lab 16777216 users=bob', /16777216 is out of range \(0 to 16777215\)/],
  ['network lab huge users=bob', /huge is out of range/],
  ['network lab -1 users=bob', /there is no group "-1"/],
  ['network lab 5', /nobody may join network lab/],
  ['network lab 5 user=bob', /"user=bob" is not understood/],
  ['network lab 5 bob', /"bob" is not understood/],
  ['network lab 5 users=', /there is no user ""/],
  ['network lab 5 users=bob,', /there is no user ""/],
  ['network lab 5 users=carol', /there is no user "carol"/],
  ['network lab 5 groups=carol', /there is no group "carol"/],
  ['network lab 5 users=4294967295', /4294967295 is out of range/],
  ['network one 6 users=bob', /network one \(4\) is there already/],
  ['network two 4 users=bob', /network one \(4\) is there already/],
];

for (const [line, message] of WRONG) {
  test(`a file with the line "${line}" is refused, and the line named`, () => {
    const text = `# networks\n\nnetwork one 4 users=bob  # the first\n${line}\n`;
    assert.throws(
      () => parsePolicy(text, '/etc/conf', names),
      (error) => {
        assert.ok(error instanceof VdeError);
        assert.equal(error.subject, '/etc/conf:4');
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  });
}

test('any text is read or refused, with the line', () => {
  const word = fc.oneof(
    fc.constantFrom('network', 'lab', '5', 'users=alice', 'groups=3001,staff', '#', '=', ',', '\n', '\t', 'users='),
    fc.string({ maxLength: 8 }),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 20 }), (words) => {
      try {
        for (const one of parsePolicy(words.join(' '), 'conf', names)) assert.ok(one.groups.size + one.users.size > 0);
      } catch (error) {
        assert.ok(error instanceof VdeError);
        assert.match(error.subject, /^conf:\d+$/);
      }
    }),
    { numRuns: 500 },
  );
});

test('a file that others may write, or that is none, is not obeyed', (t) => {
  const path = join(tmpDir(t), 'conf');
  assert.throws(() => readPolicy(path), { code: 'ENOENT' });
  writeFileSync(path, 'network lab 5000 users=0\n');
  chmodSync(path, 0o666);
  assert.throws(() => readPolicy(path), { code: 'EPERM', message: /others than root and you could write it/ });
  chmodSync(path, 0o644);
  assert.equal(readPolicy(path).admit(name('lab'), { uid: 0, gid: 0, groups: [] }), 5000);
  assert.throws(() => readPolicy(join(path, '..')), { code: 'EISDIR' });
});
