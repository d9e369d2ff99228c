/**
 * What a user gets wrong in a locator, of every scheme: one line that names the thing and the cause, and nothing left
 * behind. The first of each scheme is asked of `vde_plug`: status 1, the line on standard error, no stack.
 */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { open } from '../../src/index.js';
import { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { bin } from '../support/bin.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { namespace } from '../support/namespace.js';
import { emptyHome, startSwitch, waitForClients } from '../support/network.js';
import { requirePeer, requireUserNamespaces } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

// Its descriptors are no leak of the test that opens the first end.
loop();

/** A locator, in which DIR is the directory of the test, and what the line says. */
type Mistake = readonly [locator: string, line: RegExp];

/** A path of which one part is longer than a file's name can be. */
const LONG = `DIR/${'x'.repeat(300)}`;

const MISTAKES: Record<string, readonly Mistake[]> = {
  'the locator itself': [
    ['vdee://x', /^vdee:\/\/x: Protocol not supported: there is no scheme "vdee" \(did you mean vde:\/\/\?/],
    ['vde://%00', /escaped NUL/],
    ['DIR/text', /not a locator file|No such file/],
    ['DIR/binary', /^.*binary: not a locator file: it is not text \(/],
    ['DIR/itself', /locator files lead back to themselves/],
  ],
  vde: [
    ['vde://DIR/none', /none: No such file or directory \(is a switch running there\?/],
    ['vde://DIR/text', /text: Not a directory/],
    [`vde://${LONG}`, /socket path of \d+ bytes, the kernel allows 107/],
    ['vde://DIR/sw[nosuch]', /the switch has no port group nosuch/],
    ['vde://DIR/sw[port=70000]', /70000/],
    ['vde://DIR/sw[prot=1]', /unknown parameter "prot" at character \d+ \(did you mean "port"\? valid: port, /],
    ['vde://DIR/sw[mode=9]', /parameter "mode": "9" is not an octal mode/],
    ['vde://DIR/sw[group=no-such-group]', /parameter "group": no group called no-such-group/],
  ],
  switch: [
    ['switch://DIR/none/sw', /none\/sw: No such file or directory \(its parent directory must exist\)/],
    ['switch://DIR/text', /text: there is a file of that name/],
    ['switch://DIR/sw', /sw\/ctl: Address already in use \(a switch is running in /],
    [`switch://${LONG}`, /socket path of \d+ bytes, the kernel allows 107/],
    ['switch://DIR/n[hashsise=1]', /unknown parameter "hashsise" .*did you mean "hashsize"/],
    ['switch://DIR/n[expiretime=0]', /parameter "expiretime": "0" is out of range .*\(1 to 1000000\)/],
  ],
  hub: [['hub://DIR/n[dirmoed=700]', /unknown parameter "dirmoed" .*did you mean "dirmode"/]],
  multi: [['multi://DIR/n[mode=rw]', /parameter "mode": "rw" is not an octal mode/]],
  bonding: [['bonding://DIR/n[grp=no-such-group]', /parameter "grp": no group called no-such-group/]],
  ptp: [
    ['ptp://', /it names no path \(as in ptp:\/\/\/tmp\/link\)/],
    ['ptp://DIR/none/p', /none\/p: No such file or directory/],
    ['ptp://DIR/text', /text: a file that is no socket/],
    [`ptp://${LONG}`, /socket path of \d+ bytes/],
  ],
  tap: [
    ['tap://longer-than-15-bytes', /cannot be the name of an interface \(at most 15 bytes/],
    ['tap://a/b', /cannot be the name of an interface/],
    ['tap://t[ip=10.0.0.1/33]', /parameter "ip": "33" is not a prefix length \(0 to 32\)/],
    ['tap://t[mac=x]', /parameter "mac": "x" is not a MAC address/],
  ],
  udp: [
    ['udp://9', /there is no "->"/],
    ['udp://70000->127.0.0.1:9', /"70000" is not a port \(a port is 1 to 65535/],
    ['udp://0->127.0.0.1:0', /"0" is not a port/],
    ['udp://0->:9', /the peer's address is missing/],
    ['udp://127.0.0.1:0->[::1]:9', /127\.0\.0\.1 is not an IPv6 address, which the peer's is/],
    ['udp://192.0.2.1:0->127.0.0.1:9', /192\.0\.2\.1:0: Cannot assign requested address/],
  ],
  vxvde: [
    ['vxvde://10.0.0.1', /10\.0\.0\.1 is not a multicast address \(groups are 224\.0\.0\.0/],
    ['vxvde://234.0.0.1/v6', /234\.0\.0\.1 is an IPv4 address, v6 asks for IPv6/],
    ['vxvde:///port=70000', /parameter "port": 70000 is out of range \(1 to 65535\)/],
    ['vxvde:///vni=16777216', /parameter "vni": 16777216 is out of range/],
    ['vxvde:///prot=1', /unknown parameter "prot" .*did you mean "port"/],
    ['vxvde:///grp=no-such-group', /parameter "grp": no group called no-such-group/],
    ['vxvde:///if=no-such-if', /parameter "if": there is no interface called "no-such-if" \(ip link/],
    ['vxvde:///bind=::1', /parameter "bind": ::1 is not of the family of group/],
  ],
  vxlan: [
    ['vxlan://127.0.0.1', /127\.0\.0\.1 is not a multicast address/],
    ['vxlan://ff05::1/v4', /ff05::1 is an IPv6 address, v4 asks for IPv4/],
    ['vxlan:///port=0', /parameter "port": 0 is out of range/],
    ['vxlan:///vnj=1', /unknown parameter "vnj" .*did you mean "vni"/],
    ['vxlan:///if=no-such-if', /there is no interface called "no-such-if"/],
  ],
  seqpacket: [
    ['seqpacket://x', /"x" is not the number of a descriptor/],
    ['seqpacket://99', /Bad file descriptor \(there is no descriptor 99/],
    ['seqpacket://2', /descriptor 2 is (not a socket|a socket of another type)/],
  ],
  qemu: [
    ['qemu://', /it names no socket \(as in qemu:/],
    ['qemu://DIR/none', /none: No such file or directory \(does the other end listen at/],
    ['qemu://DIR/text', /text: Connection refused/],
    ['qemu://DIR/text[listen]', /text: a file that is no socket \(remove it/],
    ['qemu://DIR/none/s[listen]', /none\/s: No such file or directory/],
    [`qemu://${LONG}`, /socket path of \d+ bytes/],
    ['qemu://host:70000', /"70000" is not a port/],
    ['qemu://:5000[listen]', /it names no address \(127\.0\.0\.1:PORT for this machine alone/],
    ['qemu://127.0.0.1:1', /Connection refused \(does the other end listen there/],
    ['qemu://[fe80::1%no-such-if]:5000', /No such device/],
    ['qemu://192.0.2.1:5000[listen]', /192\.0\.2\.1:5000: Cannot assign requested address/],
    ['qemu://DIR/s[lisen]', /unknown parameter "lisen" .*did you mean "listen"/],
    ['qemu://DIR/s[listen/group=no-such-group]', /parameter "group": no group called no-such-group/],
  ],
  cmd: [
    ['cmd://', /there is no command/],
    ["cmd://echo 'open", /the ' at 6 has no end/],
    ['cmd://DIR/none', /No such file or directory \(".*none" cannot be run\)/],
    ['cmd://DIR/text', /Permission denied \(".*text" cannot be run\)/],
    ['cmd://DIR/text/x', /Not a directory \(".*" cannot be run\)/],
    [`cmd://${LONG}`, /File name too long|ENAMETOOLONG/],
  ],
  packet: [
    ['packet://no-such-if', /No such device \(ip link lists the interfaces\)/],
    ['packet://lo', /lo is the loopback interface/],
    ['packet://lo[hots]', /unknown parameter "hots" .*did you mean "host"/],
  ],
  pcap: [
    ['pcap://no-such-if', /No such device/],
    ['pcap://DIR/none', /none: No such file or directory/],
    ['pcap://DIR/text', /neither a pcapng nor a pcap file at byte 0/],
    ['pcap://DIR', /is not a file/],
    ['pcap://DIR/text[sped=fast]', /unknown parameter "sped" .*did you mean "speed"/],
    ['pcap://DIR/text[speed=slow]', /parameter "speed": "slow" is no speed/],
    ['pcap://DIR/none/x[out]', /none\/x: No such file or directory/],
  ],
  macvtap: [
    ['macvtap://no-such-if', /No such device \(ip link lists the interfaces\)/],
    ['macvtap://lo', /interface lo is no macvtap/],
  ],
  vdesl: [
    ['vdesl://DIR/none', /none: No such file or directory/],
    ['vdesl:///dev/null', /it is no serial line/],
    ['vdesl:///dev/null[speed=300]', /parameter "speed": "300" is not one of its words .*one of 9600,/],
    ['vdesl:///dev/null[sped=9600]', /unknown parameter "sped" .*did you mean "speed"/],
  ],
  agno: [
    ['agno://DIR/none{null://}', /none: No such file or directory \(make a key: /],
    ['agno://DIR/binary{null://}', /a key of 0 hexadecimal digits \(32 are needed/],
    ['agno://DIR{null://}', /Is a directory/],
    ['agno://key{null://}', /not an absolute path/],
    ['agno://DIR/key[ethtpye=1]{null://}', /unknown parameter "ethtpye" .*did you mean "ethtype"/],
    ['agno://DIR/key{vde://DIR/none}', /^vde:\/\/.*none: No such file or directory/],
  ],
  vlan: [
    ['vlan://4096{null://}', /"4096" is no VLAN at character \d+ \(0 to 4095/],
    ['vlan://4/t=5000{null://}', /VLAN 5000 is out of range/],
    ['vlan://4/tga=5{null://}', /unknown parameter "tga" .*did you mean "tag"/],
    ['vlan://4{vdee://x}', /^vdee:\/\/x: Protocol not supported/],
  ],
  restart: [
    ['restart://x{null://}', /"x" is not a period .*seconds/],
    ['restart://5/wiat{null://}', /unknown parameter "wiat" .*did you mean "wait"/],
    ['restart://{vde://DIR/none}', /none: No such file or directory/],
    ['restart:///wait{vdee://x}', /^vdee:\/\/x: Protocol not supported/],
  ],
  capture: [
    ['capture://{null://}', /no file to record to/],
    ['capture://DIR/none/x{null://}', /none\/x: No such file or directory/],
    ['capture://DIR{null://}', /Is a directory/],
    ['capture://DIR/c[snaplne=1]{null://}', /unknown parameter "snaplne" .*did you mean "snaplen"/],
    ['capture://DIR/c[files=0]{null://}', /parameter "files": "0" is out of range/],
    ['capture://DIR/c{vde://DIR/none}', /^vde:\/\/.*none: No such file or directory/],
  ],
};

/** What somebody may not do: `closed` may not be entered, `kept` not be written, `shut` not be read. */
const FORBIDDEN: readonly Mistake[] = [
  ['DIR/shut', /shut: Permission denied \(a file is taken for a locator file/],
  [
    'vde://DIR/closed',
    /Permission denied \(you may not connect to .*closed\/ctl: see the switch's -m and -g options\)/,
  ],
  ['switch://DIR/kept/sw', /kept\/sw: Permission denied/],
  ['ptp://DIR/kept/p', /kept\/p: Permission denied/],
  ['ptp://DIR/closed/p', /closed\/p: Permission denied/],
  [
    'tap://tap-of-nobody',
    /Operation not permitted \(ask the administrator for: ip tuntap add mode tap|\/dev\/net\/tun/,
  ],
  ['cmd://DIR/closed/x', /Permission denied \(".*x" cannot be run\)/],
  ['pcap://DIR/shut', /shut: Permission denied/],
  ['pcap://DIR/kept/x[out]', /kept\/x: Permission denied/],
  ['vdesl://DIR/shut', /Permission denied \(serial lines often belong to the group dialout\)/],
  ['agno://DIR/shut{null://}', /shut: Permission denied/],
  ['capture://DIR/kept/x{null://}', /kept\/x: Permission denied/],
  ['capture://DIR/closed/x{null://}', /closed\/x: Permission denied/],
  ['restart://{vlan://4{cmd://DIR/closed/x}}', /Permission denied/],
];

/** A directory with the files that the locators name. */
function place(t: TestContext): string {
  const dir = tmpDir(t);
  writeFileSync(join(dir, 'text'), 'a bit of text\n');
  writeFileSync(join(dir, 'binary'), Buffer.from([1, 2, 3, 0]));
  writeFileSync(join(dir, 'itself'), join(dir, 'itself'));
  writeFileSync(join(dir, 'key'), '1'.repeat(32), { mode: 0o600 });
  writeFileSync(join(dir, 'shut'), 'vde://x\n', { mode: 0 });
  mkdirSync(join(dir, 'closed'), { mode: 0 });
  mkdirSync(join(dir, 'kept'), { mode: 0o500 });
  cleanup(t, () => chmodSync(join(dir, 'closed'), 0o700));
  return dir;
}

/** Asserts that `vde_plug` refuses each, several at a time, and that the directory is then as before. */
async function refused(
  t: TestContext,
  dir: string,
  mistakes: readonly Mistake[],
  before: string[] = [],
): Promise<void> {
  const files = readdirSync(dir).sort();
  const env = { HOME: emptyHome(t) };
  const look = async ([text, pattern]: Mistake): Promise<void> => {
    const locator = text.replaceAll('DIR', dir);
    const [command, ...args] = [...before, bin('vde_plug'), locator];
    const { code, signal, stdout, stderr } = await run(command, args, { env });
    const shown = `${text}: ${stderr}`;
    assert.deepEqual({ code, signal, stdout }, { code: 1, signal: null, stdout: '' }, shown);
    assert.match(stderr, /^vde_plug: [^\n]+\n$/, shown);
    assert.match(stderr.slice('vde_plug: '.length), pattern, text);
  };
  const waiting = [...mistakes];
  const lane = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await look(one);
  };
  await Promise.all([lane(), lane(), lane()]);
  assert.deepEqual(readdirSync(dir).sort(), files);
}

test('mistakes of every scheme are refused with one line, and nothing is left behind', async (t) => {
  leakCheck(t);
  const dir = place(t);
  await startSwitch(t, 'ours', ['-s', join(dir, 'sw')]);
  const files = readdirSync(dir).sort();
  for (const [text, pattern] of Object.values(MISTAKES).flat()) {
    const outcome = await open(text.replaceAll('DIR', dir)).then(
      (end) => end.close(),
      (error) => error,
    );
    assert.ok(outcome instanceof VdeError, `${text}: ${outcome}`);
    assert.match(outcome.message, pattern, text);
    assert.doesNotMatch(outcome.message, /[\n\r]/);
  }
  assert.deepEqual(readdirSync(dir).sort(), files);
});

test('vde_plug says so in one line, with status 1', async (t) => {
  leakCheck(t);
  const dir = place(t);
  await startSwitch(t, 'ours', ['-s', join(dir, 'sw')]);
  await refused(
    t,
    dir,
    Object.values(MISTAKES).map(([first]) => first),
  );
});

test('what may not be done: one line, status 1, nothing left behind', async (t) => {
  // Root may do everything, but not in a user namespace of nobody's.
  const isRoot = process.geteuid?.() === 0;
  if (isRoot && !(requirePeer(t, 'unshare') && requireUserNamespaces(t))) return;
  leakCheck(t);
  await refused(t, place(t), FORBIDDEN, isRoot ? ['unshare', '--user'] : []);
});

test('without a route to the group, the line says how to make one or to do without', async (t) => {
  if (!requirePeer(t, 'ip', 'unshare', 'nsenter') || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const inside = await namespace(t);
  for (const locator of ['vxvde://', 'vxlan://', 'vxvde:///v6', 'vxlan:///v6']) {
    const { code, stderr } = await inside.exec(bin('vde_plug'), [locator]);
    assert.equal(code, 1);
    const route = locator.endsWith('v6') ? 'ip -6 route add ff00::/8' : 'ip route add 224\\.0\\.0\\.0/4';
    assert.match(stderr, new RegExp(`^vde_plug: ${locator}: .*\\(no route leads to the group: ${route}.*if=.*\\)\\n$`));
  }
});

test('a key that others can read is used, with one line', async (t) => {
  leakCheck(t);
  const dir = place(t);
  chmodSync(join(dir, 'key'), 0o644);
  const { code, stderr } = await run(bin('vde_plug'), [`agno://${dir}/key{null://}`]);
  assert.equal(code, 0);
  assert.match(stderr, /^vde_plug: agno:.*key file .*key can be read by other users \(chmod go= [^\n]*\)\n$/);
});

for (const text of [
  'vde://DIR/sw',
  'vlan://4{vde://DIR/sw}',
  'agno://DIR/key{vde://DIR/sw}',
  'capture://DIR/new{vde://DIR/sw}',
  'vlan://4{agno://DIR/key{capture://DIR/new{vde://DIR/sw}}}',
]) {
  test(`${text}: when the switch is killed, status 0 and not a word`, async (t) => {
    leakCheck(t);
    const dir = place(t);
    const { process } = await startSwitch(t, 'ours', ['-s', join(dir, 'sw')]);
    const plug = start(t, bin('vde_plug'), [text.replaceAll('DIR', dir)]);
    await waitForClients(join(dir, 'sw'), 1);
    process.kill('SIGKILL');
    assert.deepEqual(await plug.exited, { code: 0, signal: null });
    assert.equal(plug.stderr, '');
  });
}
