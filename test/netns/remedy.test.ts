import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namespaceFailure } from '../../src/netns/remedy.js';

const REFUSED = 'unshare: unshare failed: Operation not permitted\n';

test('the knob that forbids namespaces is named, with how to turn it', () => {
  for (const [name, value] of [
    ['kernel.unprivileged_userns_clone', 0],
    ['user.max_user_namespaces', 0],
    ['user.max_net_namespaces', 0],
    ['kernel.apparmor_restrict_unprivileged_userns', 1],
  ] as const) {
    const { message } = namespaceFailure(REFUSED, null, (one) => (one === name ? value : undefined));
    assert.ok(message.includes(`${name} forbids it`), message);
    assert.ok(message.includes(`sysctl ${name}=`), message);
  }
});

test('with all knobs as they should be, containers are suspected', () => {
  assert.match(namespaceFailure(REFUSED, null, () => undefined).message, /container/);
  const full = namespaceFailure('unshare: unshare failed: No space left on device', null, (name) =>
    name.includes('apparmor') ? 0 : 1000,
  );
  assert.match(full.message, /No space left on device.*user\.max_user_namespaces/);
});

test('a missing or old unshare is told from a refusal', () => {
  assert.match(namespaceFailure(undefined, null).message, /no command unshare \(install util-linux\)/);
  assert.match(namespaceFailure("unshare: unrecognized option '--keep-caps'\nTry", null).message, /util-linux 2\.38/);
});
