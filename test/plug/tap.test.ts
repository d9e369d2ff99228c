import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME_MAX } from '../../src/frame/burst.js';
import { totalDrops } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { resolveLocator } from '../../src/plug/resolve.js';
import { TapPlug } from '../../src/plug/tap.js';
import { readTap } from '../../src/plug/tap-params.js';
import { Memory } from '../../src/sys/memory.js';
import { SOCK_DGRAM, setSendBuffer, socketPair, trySend } from '../../src/sys/socket.js';
import { root } from '../support/bin.js';
import { cleanup } from '../support/cleanup.js';
import { namespace } from '../support/namespace.js';
import { requirePeer, requireTun } from '../support/peers.js';
import { Collector } from './frames.js';
import { passInside } from './inside.js';

test('a tap is a plug', async (t) => {
  if (!requirePeer(t, 'ip', 'nsenter') || !requireTun(t)) return;
  await passInside(await namespace(t), 'tap-compliance.ts', 10);
});

test('a name that cannot be an interface’s is refused before the kernel is asked', async () => {
  for (const name of ['sixteen-letters-', 'a b', 'a/b']) {
    await assert.rejects(openPlug(`tap://${name}`), { name: 'VdeError', code: 'EINVAL' });
  }
});

const DOWN = `
  import { execFileSync } from 'node:child_process';
  import { openPlug } from './src/plug/registry.ts';
  import { frame, sendAll } from './test/plug/frames.ts';
  const plug = await openPlug('tap://t0');
  let down = 0;
  plug.onDown = () => down++;
  plug.onLost = (error) => console.log(error.message);
  plug.sink = () => {};
  sendAll(plug, [frame(60, 1), frame(60, 2)]);
  console.log(down, plug.drops.error);
  try { await openPlug('tap://t0'); } catch (error) { console.log(error.message); }
  try { await openPlug('tap://lo'); } catch (error) { console.log(error.message); }
  execFileSync('ip', ['link', 'delete', 't0']);`;

test('an interface that is down is told once, one that is busy, foreign or deleted is named', async (t) => {
  if (!requirePeer(t, 'ip', 'nsenter') || !requireTun(t)) return;
  const inside = await namespace(t);
  const args = ['--import', 'tsx', '--input-type=module', '-e', DOWN];
  const { code, stdout, stderr } = await inside.exec(process.execPath, args, { cwd: root, timeout: 60_000 });
  assert.equal(code, 0, stderr);
  assert.deepEqual(stdout.trim().split('\n'), [
    '1 2',
    'tap://t0: Device or resource busy (another program has it open)',
    'tap://lo: Invalid argument (lo exists and is not a tap of the same kind)',
    'tap://t0: interface t0 has been deleted',
  ]);
});

test('what arrives and cannot be a frame counts as dropped on arrival', async (t) => {
  const [tap, kernel] = socketPair(SOCK_DGRAM, 'test');
  cleanup(t, () => kernel.close());
  const plug = new TapPlug(tap, 'tap');
  cleanup(t, () => plug.close());
  const arrived = new Collector(plug);
  const memory = new Memory(FRAME_MAX + 1);
  setSendBuffer(kernel, 1 << 20);
  for (const length of [13, FRAME_MAX + 1, 60]) assert.equal(trySend(kernel, memory, length), length);
  await arrived.count(1);
  assert.deepEqual(plug.arrivalDrops, { oversize: 1, runt: 1 });
  assert.equal(totalDrops(plug.drops), 2);
});

test('addresses may be repeated, listed, quoted or bare; the slash of a prefix length needs no quotes', () => {
  const read = (vnl: string) => readTap(resolveLocator(vnl));
  const addresses = ['10.0.0.1/16', 'fd00::1/48'];
  for (const list of [
    'ip=10.0.0.1/16/ip=fd00::1/48',
    "ip='10.0.0.1/16,fd00::1/48'",
    'ip=10.0.0.1%2F16/ip=fd00::1%2f48',
    'ip=10.0.0.1/16/fd00::1/48',
    '10.0.0.1/16/fd00::1/48',
  ]) {
    assert.deepEqual(read(`tap://t0[${list}]`).settings.addresses, addresses, list);
  }
  assert.deepEqual(read('tap://t0[ip=10.0.0.1/mtu=9000/mac=02:00:00:00:00:0a]'), {
    interfaceName: 't0',
    settings: { addresses: ['10.0.0.1/24'], mtu: 9000, mac: '02:00:00:00:00:0a', up: true },
  });
  assert.deepEqual(read('tap://t%d').interfaceName, 't%d');
});

test('parameters that make no sense are refused before there is an interface', async () => {
  for (const [list, reason] of [
    ['ip=10.0.0.256', /parameter "ip": "10\.0\.0\.256" is not an IP address/],
    ['ip=10.0.0.1/33', /"33" is not a prefix length \(0 to 32\)/],
    ['ip', /"ip": needs a value/],
    ['mtu=67', /"67" is out of range .*68 to 65521/],
    ['mac=01:00:00:00:00:01', /multicast/],
    ['speed=3', /unknown parameter "speed".*valid: up, ip, mtu, mac/],
    ['upp', /"upp" is not an IP address/],
  ] as const) {
    await assert.rejects(openPlug(`tap://t0[${list}]`), { name: 'VdeError', code: 'EINVAL', message: reason }, list);
  }
});

const SETTINGS = `
  import { execFileSync } from 'node:child_process';
  import { openPlug } from './src/plug/registry.ts';
  const show = (name) => {
    const [{ flags, mtu, address, addr_info }] = JSON.parse(execFileSync('ip', ['-json', 'address', 'show', 'dev', name]));
    const addresses = addr_info.filter((one) => one.scope === 'global').map((one) => one.local + '/' + one.prefixlen);
    console.log(flags.includes('UP'), mtu, address, addresses.sort().join(' '));
  };
  const made = await openPlug('tap://n%d[ip=10.0.0.1/16,10.1.0.1/fd00::1/48/mtu=9000/mac=02:00:00:00:00:0a]');
  show(made.interfaceName);
  made.close();
  for (const list of ['mtu=1400/ip=10.2.0.1/30', 'up/ip=10.2.0.1/30', '']) {
    const plug = await openPlug('tap://there[' + list + ']');
    plug.close();
    show('there');
  }
  for (const vnl of ['tap://there[ip=ff02::1]', 'tap://a#b[up]']) {
    try { await openPlug(vnl); } catch (error) { console.log(error.message.replace(/: ip .*multicast.*/, ': multicast')); }
  }
  console.log(execFileSync('ip', ['-o', 'link']).toString().includes('a#b'));`;

test('an interface gets what the locator says, and keeps it if it outlives the end', async (t) => {
  if (!requirePeer(t, 'ip', 'nsenter') || !requireTun(t)) return;
  const inside = await namespace(t);
  await inside.ip('tuntap', 'add', 'dev', 'there', 'mode', 'tap');
  await inside.ip('link', 'set', 'there', 'address', '02:00:00:00:00:0b');
  const args = ['--import', 'tsx', '--input-type=module', '-e', SETTINGS];
  const { code, stdout, stderr } = await inside.exec(process.execPath, args, { cwd: root, timeout: 60_000 });
  assert.equal(code, 0, stderr);
  assert.deepEqual(stdout.trim().split('\n'), [
    'true 9000 02:00:00:00:00:0a 10.0.0.1/16 10.1.0.1/24 fd00::1/48',
    'true 1400 02:00:00:00:00:0b 10.2.0.1/30',
    'true 1400 02:00:00:00:00:0b 10.2.0.1/30',
    'true 1400 02:00:00:00:00:0b 10.2.0.1/30',
    'tap://there[ip=ff02::1]: multicast',
    `tap://a#b[up]: ip link set dev a#b up: a name with # ' " or \\ cannot be told to ip`,
    'false',
  ]);
});

test('who may not set up an interface is told who can, and with what', async (t) => {
  if (!requirePeer(t, 'ip', 'nsenter', 'setpriv') || !requireTun(t)) return;
  const inside = await namespace(t);
  await inside.ip('tuntap', 'add', 'dev', 't0', 'mode', 'tap', 'user', '0');
  const script = `
    import { openPlug } from './src/plug/registry.ts';
    try { await openPlug('tap://t0[ip=10.0.0.1]'); } catch (error) { console.log(error.code, error.message); }`;
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script];
  const without = ['--bounding-set=-net_admin', '--inh-caps=-net_admin', '--ambient-caps=-net_admin'];
  const { stdout, stderr } = await inside.exec('setpriv', [...without, ...node], { cwd: root, timeout: 60_000 });
  assert.equal(
    stdout,
    'EPERM tap://t0[ip=10.0.0.1]: ip address replace 10.0.0.1/24 dev t0: Operation not permitted (setting it is the ' +
      "administrator's: ip address replace 10.0.0.1/24 dev t0; ip link set dev t0 up)\n",
    stderr,
  );
});
