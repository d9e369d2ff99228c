/** A console session without a socket: input in any pieces, output at any pace. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import type { ConsoleCommand } from '../../src/console/command-table.js';
import { ConsoleSession, type Transport } from '../../src/console/session.js';
import { EPOLLIN } from '../../src/sys/epoll.js';
import { loop } from '../../src/sys/loop.js';
import { Memory } from '../../src/sys/memory.js';
import { SOCK_STREAM, socketPair, tryReceive, trySend } from '../../src/sys/socket.js';

/** Keeps what is written; a backlog is whatever the test says. */
class Recorder implements Transport {
  text = '';
  backlog = 0;
  reading = true;
  finished: Promise<void>;
  #finish = () => {};

  constructor() {
    this.finished = new Promise((done) => {
      this.#finish = done;
    });
  }

  write(text: string): void {
    this.text += text;
  }

  finish(): void {
    this.#finish();
  }
}

const table: ConsoleCommand[] = [
  { name: 'echo', syntax: 'text', help: '', data: true, run: (text, out) => void out.push(text) },
  { name: 'quiet', syntax: '', help: '', run: () => {} },
  { name: 'count', syntax: 'n', help: '', data: true, run: (n) => count(Number(n)) },
];

let counted = 0;

function* count(n: number): Generator<string | undefined> {
  for (let i = 0; i < n; i++) {
    counted++;
    yield `line ${i} ${'.'.repeat(90)}`;
    if (i % 10 === 0) yield undefined;
  }
}

async function play(...chunks: Buffer[]): Promise<string> {
  const transport = new Recorder();
  const session = new ConsoleSession(transport, { table: () => table });
  for (const chunk of chunks) session.feed(chunk);
  session.end();
  await transport.finished;
  return transport.text;
}

test('however the input is cut into pieces, the answers are the same', async () => {
  const line = fc.oneof(
    fc.constantFrom(
      'quiet',
      'echo',
      ' \techo x',
      'echo x\r',
      '',
      '# x',
      'nosuch',
      'echo \u00e9\u20ac',
      'echo a\0b',
      'count 20',
    ),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1').replaceAll('\n', '')),
    fc.integer({ min: 4090, max: 4110 }).map((size) => `quiet${' '.repeat(size)}`),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 6 }),
      fc.array(fc.nat(200), { maxLength: 30 }),
      async (lines, cuts) => {
        const whole = Buffer.from(lines.map((one) => `${one}\n`).join(''));
        const pieces: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          pieces.push(whole.subarray(at, at + cut));
          at += cut;
        }
        pieces.push(whole.subarray(at));
        const expected = await play(whole);
        assert.equal(await play(...pieces), expected);
        // One prompt for each line.
        assert.equal(expected.split('\nvde$ ').length - 1, lines.length);
      },
    ),
    { numRuns: 300 },
  );
});

test('an answer is made as it is read, a little at a time, and others have their turns', async () => {
  const transport = new Recorder();
  const session = new ConsoleSession(transport, { table: () => table });
  counted = 0;
  transport.backlog = 1 << 20;
  session.feed(Buffer.from('count 100000\n'));
  for (let turn = 0; turn < 50; turn++) await new Promise((done) => setImmediate(done));
  assert.deepEqual([counted, transport.reading], [0, false], 'nothing is made for one who does not read');
  transport.backlog = 0;
  session.drained();
  let turns = 0;
  while (!transport.text.endsWith('1000 Success\n\nvde$ ')) {
    turns++;
    await new Promise((done) => setImmediate(done));
  }
  assert.equal(counted, 100_000);
  // A slice is short: there were many, whatever the machine.
  assert.ok(turns > 20, `${turns} turns`);
  await new Promise((done) => setImmediate(done));
  assert.equal(transport.reading, true);
  session.close();
});

test('half a line waits for its other half as long as nobody reads on', async () => {
  const transport = new Recorder();
  const session = new ConsoleSession(transport, { table: () => table });
  transport.backlog = 1 << 20;
  session.feed(Buffer.from('quiet\necho'));
  // Longer than a command without an end of line is waited for.
  await pause(250);
  transport.backlog = 0;
  session.drained();
  while (!transport.reading) await new Promise((done) => setImmediate(done));
  session.feed(Buffer.from(' whole\n'));
  session.end();
  await transport.finished;
  const answers = ['', "0000 DATA END WITH '.'\nwhole\n.\n", ''].join('1000 Success\n\nvde$ ');
  assert.equal(transport.text, answers);
});

test('what has arrived while the process was held up belongs to the line', async () => {
  const transport = new Recorder();
  const session = new ConsoleSession(transport, { table: () => table });
  session.feed(Buffer.from('echo'));
  while (!transport.reading) await new Promise((done) => setImmediate(done));
  const ends = socketPair(SOCK_STREAM, 'console');
  const memory = new Memory(16);
  memory.bytes.set(Buffer.from(' whole\n'));
  const watch = loop().watch(ends[1].fd, EPOLLIN, () => {
    session.feed(memory.bytes.subarray(0, tryReceive(ends[1], memory)));
    session.end();
    watch.close();
    return undefined;
  });
  trySend(ends[0], memory, 7);
  const end = performance.now() + 250;
  while (performance.now() < end);
  await transport.finished;
  for (const one of ends) one.close();
  assert.match(transport.text, /^0000[^\n]*\nwhole\n\.\n1000 Success\n\nvde\$ $/);
});

test('sessions share the turns: a short answer does not wait for a long one', async () => {
  const [long, short] = [new Recorder(), new Recorder()];
  const sessions = [long, short].map((transport) => new ConsoleSession(transport, { table: () => table }));
  sessions[0].feed(Buffer.from('count 1000000\n'));
  sessions[1].feed(Buffer.from('quiet\n'));
  while (!short.text.endsWith('vde$ ')) await new Promise((done) => setImmediate(done));
  assert.equal(long.text.includes('1000 Success'), false);
  for (const session of sessions) session.close();
});
