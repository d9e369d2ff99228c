/** Captures as Wireshark and tcpdump read them: files, live by a FIFO or a pipe, and what a killed process leaves. */

import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { command, eventually, FrameStream, frame, openEnd, startSwitch, waitForClients } from '../support/network.js';
import { requirePeer, requireUserNamespaces } from '../support/peers.js';
import { run, start, waitForSleep } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

const FIELDS = ['frame.len', 'frame.cap_len', 'frame.interface_name', 'frame.packet_flags_direction', 'eth.src'];

/** What tshark shows of a file, without a complaint. */
async function shown(path: string): Promise<string[]> {
  const args = ['-n', '-r', path, '-T', 'fields', ...FIELDS.flatMap((field) => ['-e', field])];
  const { code, stdout, stderr } = await run('tshark', args, { env: { LC_ALL: 'C' } });
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /cut short|damaged/);
  return stdout.trim().split('\n');
}

test('tshark reads what crossed a capture round a port of a switch, both ways', async (t) => {
  if (!requirePeer(t, 'tshark')) return;
  leakCheck(t);
  const sw = await startSwitch(t, 'ours');
  const path = join(tmpDir(t), 'a.pcapng');
  const plug = start(t, command('ours', 'vde_plug'), [`capture://${path}[snaplen=100]{vde://${sw.dir}}`]);
  const stream = new FrameStream(plug);
  await waitForClients(sw.dir, 1);
  const other = await openEnd(t, sw.dir);
  stream.send(frame({ tag: 'out', size: 200, source: 7 }));
  await other.receive('out');
  other.send(frame({ tag: 'in', size: 60, source: 8 }));
  await stream.receive('in');
  plug.kill('SIGTERM');
  await plug.exited;
  // tshark calls them 1 (inbound) and 2 (outbound).
  assert.deepEqual(await shown(path), [
    `200\t100\tvde://${sw.dir}\t0x00000002\t02:00:00:00:00:07`,
    `60\t60\tvde://${sw.dir}\t0x00000001\t02:00:00:00:00:08`,
  ]);
});

test('a process that is killed leaves a sound file', async (t) => {
  if (!requirePeer(t, 'tshark')) return;
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  const plug = start(t, bin('vde_plug'), [`capture://${path}{null://}`]);
  const stream = new FrameStream(plug);
  const send = setInterval(() => stream.send(...Array.from({ length: 40 }, () => frame({ tag: 'x', size: 999 }))), 5);
  await eventually('something is written', async () => existsSync(path) && statSync(path).size > 500_000).finally(() =>
    clearInterval(send),
  );
  // Killed within a write, it would leave a part of it.
  await new Promise((done) => plug.stdin.write('', done));
  await waitForSleep(plug.pid);
  plug.kill('SIGKILL');
  await plug.exited;
  const packets = await shown(path);
  assert.ok(packets.length > 400);
  assert.ok(packets.every((one) => one.startsWith('999\t999\tnull://\t')));
});

test('a disk that fills up costs what does not fit: the file stays sound, and traffic passes', async (t) => {
  if (!requirePeer(t, 'tshark', 'unshare', 'mount') || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const dir = tmpDir(t);
  const script = 'mount -t tmpfs -o size=200k none "$1" && exec "$0" "capture://$1/a.pcapng{null://}"';
  const flags = ['--user', '--map-root-user', '--mount'];
  const plug = start(t, 'unshare', [...flags, 'sh', '-c', script, bin('vde_plug'), dir]);
  const stream = new FrameStream(plug);
  const send = setInterval(() => stream.send(...Array.from({ length: 40 }, () => frame({ tag: 'x', size: 999 }))), 5);
  await plug
    .waitFor(/No space left on device: frames pass, but are not recorded/, { stream: 'stderr' })
    .finally(() => clearInterval(send));
  assert.ok(plug.running);
  const path = `/proc/${plug.pid}/root${dir}/a.pcapng`;
  const packets = await shown(path);
  assert.ok(packets.every((one) => one.startsWith('999\t999\t')));
  assert.equal(plug.stderr.match(/No space left/g)?.length, 1);
});

test('live: tshark on a FIFO, tcpdump on a pipe', async (t) => {
  if (!requirePeer(t, 'tshark', 'tcpdump', 'mkfifo', 'sh')) return;
  leakCheck(t);
  const fifo = join(tmpDir(t), 'fifo');
  assert.equal((await run('mkfifo', [fifo])).code, 0);
  const plug = start(t, bin('vde_plug'), [`capture://${fifo}{null://}`]);
  const stream = new FrameStream(plug);
  const watcher = start(t, 'tshark', ['-n', '-l', '-i', fifo, '-c', '3', '-T', 'fields', '-e', 'eth.src'], {
    env: { LC_ALL: 'C' },
  });
  const send = setInterval(() => stream.send(frame({ tag: 'x', source: 0x77 })), 50);
  const { code } = await watcher.exited.finally(() => clearInterval(send));
  assert.equal(code, 0, watcher.output);
  assert.deepEqual(watcher.stdout.trim().split('\n'), Array(3).fill('02:00:00:00:00:77'));
  assert.ok(plug.running);

  const path = join(tmpDir(t), 'in.pcapng');
  assert.equal((await run(bin('vde_plug'), [`pcap://${path}[out]`], { input: records(5) })).code, 0);
  const pipe = `"$0" 'capture://-{pcap://${path}}' null:// | tcpdump -n -e -r -`;
  const { stdout, stderr } = await run('sh', ['-c', pipe, bin('vde_plug')]);
  assert.equal(stdout.match(/02:00:00:00:00:01/g)?.length, 5, stdout + stderr);
});

/** A stream of that many frames. */
function records(count: number): Buffer {
  const one = frame({ tag: 'y' });
  return Buffer.concat(Array.from({ length: count }, () => Buffer.concat([Buffer.from([0, one.length]), one])));
}

test('a capture file of Wireshark’s make is replayed', async (t) => {
  if (!requirePeer(t, 'editcap')) return;
  leakCheck(t);
  const dir = tmpDir(t);
  const path = join(dir, 'in.pcapng');
  assert.equal((await run(bin('vde_plug'), [`pcap://${path}[out]`], { input: records(3) })).code, 0);
  for (const format of ['pcap', 'nsecpcap', 'pcapng']) {
    const copy = join(dir, format);
    assert.equal((await run('editcap', ['-F', format, path, copy])).code, 0);
    const plug = start(t, bin('vde_plug'), [`pcap://${copy}[speed=fast]`]);
    const stream = new FrameStream(plug);
    assert.deepEqual(await plug.exited, { code: 0, signal: null });
    assert.deepEqual(stream.received, Array(3).fill(frame({ tag: 'y' })), plug.stderr);
  }
});
