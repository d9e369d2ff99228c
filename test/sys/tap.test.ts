import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { SOCK_STREAM, socketPair } from '../../src/sys/socket.js';
import { openTap, tapKind } from '../../src/sys/tap.js';
import { root } from '../support/bin.js';
import { namespace } from '../support/namespace.js';
import { requirePeer, requireTun, requireUserNamespaces } from '../support/peers.js';

// Runs where the caller is root of a user namespace: what an ordinary user can do.
const TAPS = `
  import { execFileSync } from 'node:child_process';
  import { existsSync } from 'node:fs';
  import { isInterfaceUp, openTap, tapKind } from './src/sys/tap.ts';
  import { readTo, writeFrom } from './src/sys/io.ts';
  import { Memory } from './src/sys/memory.ts';
  const say = (...words) => console.log(JSON.stringify(words));
  const refused = (name) => { try { openTap(name, name); } catch (error) { say(error.code, error.call, error.remedy); } };
  const named = openTap('mine0', 'tap');
  const chosen = openTap('', 'tap');
  const pattern = openTap('x%d', 'tap', { offloadHeader: true });
  say(named.interfaceName, chosen.interfaceName, pattern.interfaceName);
  say(tapKind(named.descriptor.fd), tapKind(pattern.descriptor.fd));
  refused('mine0');
  refused('lo');
  const memory = new Memory(2048);
  say(isInterfaceUp('mine0'), writeFrom(named.descriptor.fd, memory.address, 60));
  execFileSync('ip', ['link', 'set', 'mine0', 'up']);
  say(isInterfaceUp('mine0'), writeFrom(named.descriptor.fd, memory.address, 60), writeFrom(named.descriptor.fd, memory.address, 13));
  execFileSync('ip', ['tuntap', 'add', 'dev', 'kept0', 'mode', 'tap']);
  execFileSync('ip', ['tuntap', 'add', 'dev', 'point0', 'mode', 'tun']);
  refused('point0');
  for (let i = 0; i < 2; i++) openTap('kept0', 'tap').descriptor.close();
  for (const { descriptor } of [named, chosen, pattern]) descriptor.close();
  say(isInterfaceUp('mine0') ?? null, isInterfaceUp('kept0') ?? null);`;

test('taps are made, found, told apart and gone with their descriptor', async (t) => {
  if (!requirePeer(t, 'ip', 'nsenter') || !requireTun(t) || !requireUserNamespaces(t)) return;
  const inside = await namespace(t, { user: true });
  const args = ['--import', 'tsx', '--input-type=module', '-e', TAPS];
  const { stdout, stderr } = await inside.exec(process.execPath, args, { cwd: root, timeout: 60_000 });
  const said = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    said,
    [
      ['mine0', 'tap0', 'x0'],
      [
        { name: 'mine0', tap: true, offloadHeader: 0 },
        { name: 'x0', tap: true, offloadHeader: 10 },
      ],
      ['EBUSY', 'TUNSETIFF', 'another program has it open'],
      ['EINVAL', 'TUNSETIFF', 'lo exists and is not a tap of the same kind'],
      // EIO while it is down; EINVAL for a frame without a whole header.
      [false, -5],
      [true, 60, -22],
      ['EINVAL', 'TUNSETIFF', 'point0 exists and is not a tap of the same kind'],
      [null, false],
    ],
    stderr,
  );
});

test('a name that no interface can have is refused before the kernel is asked', () => {
  for (const name of ['sixteen-letters-', 'ääääääää', 'a b', 'a/b', 'a\0b', 'a\nb']) {
    assert.throws(() => openTap(name, 'tap://x'), { name: 'VdeError', code: 'EINVAL', subject: 'tap://x' });
  }
});

test('without the permission the administrator’s command is named', async (t) => {
  if (!requirePeer(t, 'setpriv') || !requireTun(t) || process.geteuid?.() !== 0) return;
  const program = `
    import { openTap } from './src/sys/tap.ts';
    try { openTap('vdetest9', 'tap://vdetest9'); } catch (error) { console.log(error.message); }`;
  const inside = await namespace(t);
  const { stdout, stderr } = await inside.exec(
    'setpriv',
    ['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', process.execPath, '--import', 'tsx'].concat(
      ['--input-type=module', '-e', program],
    ),
    { cwd: root, timeout: 60_000 },
  );
  assert.equal(
    stdout.trim(),
    'tap://vdetest9: Operation not permitted (ask the administrator for: ip tuntap add mode tap name vdetest9 user 65534)',
    stderr,
  );
});

test('what is no tap is none', () => {
  const [a, b] = socketPair(SOCK_STREAM, 'pair');
  assert.equal(tapKind(a.fd), undefined);
  const gone: Descriptor = b;
  const { fd } = gone;
  a.close();
  b.close();
  assert.equal(tapKind(fd), undefined);
});
