/** What `vdeq` makes of a line of QEMU's, for three generations of QEMU. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { readCallName, readQemuLine, type Syntax, syntaxOf } from '../../src/cli/vdeq-line.js';

/** The arguments for QEMU, its ends having descriptors from 3 on. */
function built(args: string, syntax: Syntax): string {
  const line = readQemuLine('qemu', args.split(' '), syntax);
  return line.build(line.ends.map((_, i) => 3 + i)).join(' ');
}

test('the syntax is that of the version which -h tells', () => {
  assert.equal(syntaxOf('QEMU PC emulator version 0.7.0, Copyright'), 'tun-fd');
  assert.equal(syntaxOf('QEMU PC emulator version 0.9.1, Copyright'), 'tap');
  assert.equal(syntaxOf('QEMU emulator version 2.5.0 (Debian)'), 'tap');
  assert.equal(syntaxOf('QEMU emulator version 7.2.22 (Debian 1:7.2)'), 'socket');
  assert.equal(syntaxOf(''), 'tun-fd');
});

test('the name may hold the program and ask for the oldest syntax', () => {
  assert.deepEqual(readCallName('vdeq'), { program: undefined, old: false });
  assert.deepEqual(readCallName('vdeoq'), { program: undefined, old: true });
  assert.deepEqual(readCallName('vdeqemu'), { program: 'qemu', old: false });
  assert.deepEqual(readCallName('vdeokvm'), { program: 'kvm', old: true });
});

test('each -net vde becomes an end, and other options pass', () => {
  const args = '-m 64 -net nic,vlan=1 -net vde,vlan=1,sock=/a,port=3 -net vde -hda x';
  const { ends } = readQemuLine('qemu', args.split(' '), 'tap');
  assert.deepEqual(ends, [
    { switchName: '/a', port: 3, vlan: 1 },
    { switchName: '', port: undefined, vlan: undefined },
  ]);
  assert.equal(built(args, 'tap'), '-m 64 -net nic,vlan=1 -net tap,vlan=1,fd=3 -net tap,vlan=0,fd=4 -hda x');
  assert.equal(built('-net nic -net vde,sock=/a', 'socket'), '-net nic -net socket,fd=3');
  assert.equal(built('-netdev vde,id=x -net user', 'tap'), '-net tap,vlan=0,fd=3 -net nic -netdev vde,id=x -net user');
});

test('-sock names switches in the old way, and without any there is the default one', () => {
  assert.equal(built('-sock /a,/b -hda x', 'tap'), '-net tap,vlan=0,fd=3 -net tap,vlan=0,fd=4 -net nic -hda x');
  assert.equal(built('-sock /a,/b -hda x', 'tun-fd'), '-tun-fd 3 -tun-fd 4 -nics 2 -hda x');
  assert.equal(built('-net vde,sock=/a', 'tun-fd'), '-tun-fd 3 -nics 1 -net vde,sock=/a');
  assert.equal(built('-hda x', 'socket'), '-net socket,fd=3 -net nic -hda x');
});

test('--mod is for the sockets; what is no parameter is refused', () => {
  assert.equal(readQemuLine('qemu', ['--mod', '777', '-m', '64'], 'tap').mode, 0o777);
  for (const [args, pattern] of [
    ['--mod 9', /"9" is not an octal mode/],
    ['-net vde,bogus=3', /unknown parameter in argument bogus=3/],
    ['-net vde,port=x', /unknown parameter in argument port=x/],
    ['-net vde,port=', /unknown parameter/],
  ] as const) {
    assert.throws(() => readQemuLine('qemu', args.split(' '), 'tap'), { code: 'EUSAGE', message: pattern });
  }
});
