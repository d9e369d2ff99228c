/** The console of a `vde_switch` in the foreground: the same keys give the same answers as on Debian's. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { openRawConsole } from '../console/raw-console.js';
import { bin } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { command, frame, type Make, openEnd, plugStream, startSwitch } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { pty } from '../support/pty.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const PROMPT = '\nvde$ ';

/** Types lines on the console of a switch of that make with one client; returns what was shown, line by line. */
async function transcript(t: Owner, make: Make, lines: readonly string[]): Promise<Record<string, string>> {
  const dir = join(tmpDir(t), 'sw');
  const { screen, type } = await pty(t, command(make, 'vde_switch'), ['-s', dir], {
    on: ['stdin', 'stdout', 'stderr'],
    raw: true,
  });
  await waitForSocket(join(dir, 'ctl'));
  const plug = await plugStream(t, 'ours', dir);
  plug.send(frame({ tag: 'x', source: 0x1b }));
  const shown: Record<string, string> = {};
  for (const line of lines) {
    // The switch may have to be asked twice before the frame above has been learnt.
    do {
      type(`${line}\n`);
      let text = '';
      await screen.expect((all) => {
        text = all;
        return all.endsWith(PROMPT);
      });
      shown[line] = text.slice(0, -PROMPT.length).replaceAll(dir, 'DIR').replaceAll(String(plug.process.pid), 'PID');
    } while (line === 'hash/print' && !shown[line].includes('Hash:'));
  }
  return shown;
}

test('what only looks is answered word for word as by Debian', async (t) => {
  if (!requirePeer(t, 'socat', '/usr/bin/vde_switch')) return;
  leakCheck(t);
  const lines = [
    'hash/print',
    'ds/showinfo',
    ' \t ds/showinfo with an argument',
    'port/showinfo',
    'port/print',
    'port/print 1',
    'port/print1',
    'port/print 0x1',
    'port/print 9',
    'port/print 99',
    'port/print -1',
    'port/allprint',
    'port/allprint 7',
    'hash/showinfo',
    'hash/showinfoX',
    '',
    '   ',
    '# a comment',
    'nosuch',
    'port',
    'PORT/SHOWINFO',
    '?',
  ];
  const [ours, theirs] = [await transcript(t, 'ours', lines), await transcript(t, 'debian', lines)];
  const blurred = (text: string) =>
    text.replace(/endpoint ID \d+/g, 'endpoint ID NNNN').replace(/age \d+ secs/g, 'age N secs');
  for (const line of lines) assert.equal(blurred(ours[line]), blurred(theirs[line]), `answer to "${line}"`);
});

test('showinfo has the lines that programs read, and showinfoX is showinfo, as in C', async (t) => {
  if (!requirePeer(t, 'socat', '/usr/bin/vde_switch')) return;
  leakCheck(t);
  for (const make of ['ours', 'debian'] as const) {
    const shown = await transcript(t, make, ['showinfo', 'showinfoX']);
    for (const text of Object.values(shown)) {
      assert.match(
        text,
        /^0000 DATA END WITH '\.'\nVDE switch V\.\d+\.\d+\.\d+\S*\n\(C\) .*\n\npid \d+ MAC 00:ff(:[0-9a-f]{2}){4} uptime \d+\n\.\n1000 Success\n$/,
      );
    }
  }
});

test('help lists each command once, in the columns of the C switch', async (t) => {
  const { process } = await startSwitch(t, 'ours');
  process.stdin.write('help\n');
  const [text] = await process.waitFor(/0000 DATA[\s\S]*?1000 Success/);
  const rows = text.split('\n').slice(1, -2);
  assert.equal(rows[0], 'COMMAND PATH       SYNTAX          HELP');
  const names = rows.slice(2).map((row) => row.split(' ')[0]);
  for (const name of ['ds/showinfo', 'help', 'logout', 'shutdown', 'showinfo', 'port/print', 'hash/print']) {
    assert.equal(names.filter((one) => one === name).length, 1, name);
  }
  for (const row of rows.slice(2)) assert.match(row, /^\S{1,18} +\S/);
});

test('logout does nothing and says nothing; shutdown ends the switch', async (t) => {
  leakCheck(t);
  const { process } = await startSwitch(t, 'ours');
  process.stdin.write('logout\nshowinfo\n');
  await process.expect(/^0000 DATA/, { stream: 'stdout' });
  process.stdin.write('shutdown\n');
  assert.deepEqual(await process.exited, { code: 0, signal: null });
  assert.equal(process.stderr, 'vde_switch: Shutdown from mgmt command\n');
});

test('lines are lines, however they arrive: two in one write, one in many, the last without its end', async (t) => {
  leakCheck(t);
  const dir = join(tmpDir(t), 'sw');
  const { code, stdout } = await run(bin('vde_switch'), ['-s', dir], { input: 'port/showinfo\nnosuch\nds/showinfo' });
  assert.equal(code, 0);
  assert.deepEqual(stdout.match(/1\d{3} [A-Z].*/g), ['1000 Success', '1038 Function not implemented', '1000 Success']);
  const { process } = await startSwitch(t, 'ours');
  for (const letter of 'port/showinfo\n') {
    await new Promise((done) => process.stdin.write(letter, done));
  }
  await process.waitFor('Numports=32\n');
});

test('what a client says about itself cannot drive the terminal or look like an answer', async (t) => {
  const { dir, process } = await startSwitch(t, 'ours');
  await plugStream(t, 'ours', dir, { args: ['-D', 'a\n1000 Success\n\x1b[2J\x9b'] });
  process.stdin.write('port/print\n');
  await process.waitFor(/1000 Success\n\nvde\$ /);
  assert.match(process.stdout, /unix prog {3}: a\?1000 Success\?\?\[2J\? user=/);
});

test('a hundred thousand bytes without an end of line neither hang nor kill the switch', async (t) => {
  const { process } = await startSwitch(t, 'ours');
  process.stdin.write('x'.repeat(100_000));
  process.stdin.write('\nport/showinfo\n');
  await process.waitFor('Numports=32');
});

test('a reader of standard output that stalls does not stall the switch', async (t) => {
  const path = join(tmpDir(t), 'mgmt');
  const stalled = start(t, 'sh', ['-c', '"$0" -s "$1" -M "$1.mgmt" | sleep 1000', bin('vde_switch'), path]);
  await waitForSocket(`${path}.mgmt`);
  stalled.stdin.write('help\n'.repeat(3000));
  const ends = [await openEnd(t, path), await openEnd(t, path)];
  const session = await openRawConsole(t, `${path}.mgmt`);
  for (let n = 0; n < 20; n++) {
    assert.equal(await session.ask('port/create 9'), n === 0 ? '1000 Success\n' : '1017 File exists\n');
    ends[0].send(frame({ tag: `frame ${n};` }));
    await ends[1].receive(`frame ${n};`);
  }
  session.write('shutdown\n');
  assert.equal(await session.end(), '9999 END OF SESSION');
});
