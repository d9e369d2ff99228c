import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { groupId, groupName, userId, userName } from '../../src/sys/users.js';

test('root has number 0, both ways', () => {
  assert.equal(userId('root'), 0);
  assert.equal(userName(0), 'root');
  assert.equal(groupId('root'), 0);
  assert.equal(groupName(0), 'root');
});

test('nobody', () => {
  const uid = userId('nobody') as number;
  assert.equal(uid, 65_534);
  assert.equal(userName(uid), 'nobody');
});

test('names and numbers that nobody has', () => {
  assert.equal(userId('no-such-user-here'), undefined);
  assert.equal(userId(''), undefined);
  assert.equal(groupId('no-such-group-here'), undefined);
  assert.equal(userName(3_999_999_999), undefined);
  assert.equal(groupName(3_999_999_999), undefined);
  // The one number that means "none" to the kernel.
  assert.equal(userName(0xffff_ffff), undefined);
});

test('every line of /etc/passwd and /etc/group', () => {
  for (const [file, id, name] of [
    ['/etc/passwd', userId, userName],
    ['/etc/group', groupId, groupName],
  ] as const) {
    const seen = new Set<number>();
    for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
      const [entry, , number] = line.split(':');
      assert.equal(id(entry), Number(number), line);
      if (!seen.has(Number(number))) assert.equal(name(Number(number)), entry, line);
      seen.add(Number(number));
    }
  }
});
