/** The console client against a server of the test's own, which says what it likes, in pieces of any size. */

import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { type ConsoleEvent, openConsole } from '../../src/console/client.js';
import { type ConsoleReply, ReplyDecoder } from '../../src/console/reply-decoder.js';
import type { VdeError } from '../../src/sys/errors.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';

const GREETING = 'VDE switch V.2.3.2\n(C) Virtual Square Team (coord. R. Davoli) 2005,2006,2007 - GPLv2\n\nvde$ ';
const PROMPT = '\nvde$ ';

/** A server that greets, and answers each line as `answer` says; undefined: it hangs up. */
async function console(t: Owner, answer: (line: string, socket: Socket) => string | undefined, greeting = GREETING) {
  const path = join(tmpDir(t), 'mgmt');
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(greeting);
    let pending = '';
    socket.on('data', (bytes) => {
      pending += bytes;
      for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n')) {
        const reply = answer(pending.slice(0, end), socket);
        pending = pending.slice(end + 1);
        if (reply === undefined) socket.end();
        else socket.write(reply);
      }
    });
  });
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((done) => server.listen(path, done));
  cleanup(t, () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((done) => server.close(done));
  });
  return path;
}

async function opened(t: Owner, path: string, timeout?: number) {
  const client = await openConsole(path, { timeout });
  cleanup(t, () => client.close());
  return client;
}

test('greeting, data, result; commands are sent one at a time, in order', async (t) => {
  leakCheck(t);
  let open = 0;
  const path = await console(t, (line, socket) => {
    assert.equal(++open, 1, 'a command came before the answer to the one before');
    setImmediate(() => {
      open--;
      socket.write(`0000 DATA END WITH '.'\n${line}\n\n.\n1000 Success\n${PROMPT}`);
    });
    return '';
  });
  const client = await opened(t, path);
  assert.deepEqual(client.banner, GREETING.split('\n').slice(0, 2));
  assert.equal(client.prompt, 'vde$ ');
  const lines = ['one', 'two', 'three'];
  const replies = await Promise.all(lines.map((line) => client.command(line)));
  assert.deepEqual(
    replies,
    lines.map((line) => ({ code: 1000, message: 'Success', data: [line, ''] })),
  );
});

test('messages come as events, before, between and behind replies, and never in data', async (t) => {
  leakCheck(t);
  const path = await console(
    t,
    () => `3021 port/+ 01\n0000 DATA END WITH '.'\n3031 data\n.\n1000 Success\n${PROMPT}3022 port/- 01\n`,
  );
  const client = await opened(t, path);
  const events: ConsoleEvent[] = [];
  const two = new Promise<void>((done) =>
    client.on('event', (event) => {
      if (events.push(event) === 2) done();
    }),
  );
  assert.deepEqual(await client.command('x'), { code: 1000, message: 'Success', data: ['3031 data'] });
  await two;
  assert.deepEqual(events, [
    { code: 3021, text: 'port/+ 01' },
    { code: 3022, text: 'port/- 01' },
  ]);
});

test('a refusal is a reply; logout and shutdown end the console; commands after that fail', async (t) => {
  leakCheck(t);
  const path = await console(t, (line, socket) => {
    if (line !== 'logout') return line === 'shutdown' ? undefined : `1017 File exists\n${PROMPT}`;
    socket.end('9999 END OF SESSION');
    return '';
  });
  for (const last of ['logout', 'shutdown']) {
    const client = await opened(t, path);
    const ended = new Promise((done) => client.once('end', done));
    assert.deepEqual(await client.command('port/create 1'), { code: 1017, message: 'File exists', data: [] });
    assert.equal((await client.command(last)).code, 9999);
    assert.equal(await ended, undefined);
    await assert.rejects(client.command('showinfo'), { code: 'ECONNRESET' });
  }
});

test('a console that does not answer in time is given up, with all that waits', async (t) => {
  leakCheck(t);
  const path = await console(t, () => '');
  const client = await opened(t, path, 500);
  const first = client.command('port/print');
  const second = client.command('hash/print');
  await assert.rejects(first, { code: 'ETIMEDOUT', message: /no answer to "port\/print" within 0.5 s/ });
  await assert.rejects(second, { code: 'ETIMEDOUT' });
  assert.equal(client.closed, true);
});

test('a console that hangs up in the middle of an answer', async (t) => {
  leakCheck(t);
  const path = await console(t, (_, socket) => {
    socket.end("0000 DATA END WITH '.'\nhalf a li");
    return '';
  });
  const client = await opened(t, path);
  await assert.rejects(client.command('port/print'), { code: 'ECONNRESET' });
});

test('what is no console: nobody, a regular silence, something that hangs up, something that talks for ever', async (t) => {
  leakCheck(t);
  const missing = join(tmpDir(t), 'nosuch');
  await assert.rejects(openConsole(missing), { code: 'ENOENT', message: /was started with -M/ });
  await assert.rejects(openConsole('x'.repeat(200)), { code: 'ENAMETOOLONG' });
  const hangsUp = await console(t, () => '', '');
  const server = createServer((socket) => socket.end());
  const path = join(tmpDir(t), 's');
  await new Promise<void>((done) => server.listen(path, done));
  cleanup(t, () => new Promise((done) => server.close(done)));
  await assert.rejects(openConsole(path), { code: 'EPROTO', message: /without a greeting/ });
  await assert.rejects(openConsole(hangsUp), { code: 'EPROTO', message: /no greeting within/ });
  const talks = await console(t, () => '', 'no end \n'.repeat(20_000));
  await assert.rejects(openConsole(talks), { code: 'EPROTO', message: /has no end/ });
});

test('lines that are none are refused before they are sent', async (t) => {
  leakCheck(t);
  const seen: string[] = [];
  const path = await console(t, (line) => {
    seen.push(line);
    return `1000 Success\n${PROMPT}`;
  });
  const client = await opened(t, path);
  for (const line of ['a\nb', 'a\r', 'a\0b']) await assert.rejects(client.command(line), { code: 'EINVAL' });
  await assert.rejects(client.command('x'.repeat(128)), { code: 'EMSGSIZE' });
  for (const line of ['', '   ', '# comment']) assert.equal((await client.command(line)).code, 1000);
  await client.command('x'.repeat(127));
  assert.deepEqual(seen, ['x'.repeat(127)]);
});

/** Everything that a decoder finds in a greeting and what follows, each cut at those places. */
function decode(greeting: string, stream: string, cuts: readonly number[], nested = false) {
  const found: unknown[] = [];
  const decoder = new ReplyDecoder({
    onGreeting: (lines, prompt) => found.push({ lines, prompt }),
    onReply: (reply) => found.push(reply ?? 'none'),
    onEvent: (event) => found.push(event),
  });
  decoder.nested = nested;
  for (const bytes of [Buffer.from(greeting), Buffer.from(stream)]) {
    const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
    let from = 0;
    for (const place of [...places, bytes.length]) {
      decoder.push(bytes.subarray(from, place));
      from = place;
    }
  }
  return found;
}

test('an answer means the same however it is cut into pieces', () => {
  const word = fc.stringMatching(/^[a-zA-Z0-9/:= é.$-]{0,20}$/);
  const dataLine = fc.oneof(word, fc.constant('vde$ '), fc.constant('3021 x')).filter((line) => line !== '.');
  const plain = { noNullPrototype: true };
  const event = fc.record({ code: fc.integer({ min: 3000, max: 3777 }), text: word }, plain);
  const reply = fc.record(
    {
      code: fc.constantFrom(1000, 1017, 1022),
      message: fc.constantFrom('Success', 'File exists'),
      data: fc.array(dataLine, { maxLength: 5 }),
    },
    plain,
  );
  const exchange = fc.record({
    before: fc.array(event, { maxLength: 2 }),
    reply,
    after: fc.array(event, { maxLength: 2 }),
  });
  fc.assert(
    fc.property(fc.array(exchange, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 40 }), (exchanges, cuts) => {
      const say = ({ code, text }: ConsoleEvent) => `${code} ${text}\n`;
      const stream = exchanges.map(({ before, reply: { code, message, data }, after }) => {
        const block = data.length > 0 ? `0000 DATA END WITH '.'\n${data.map((line) => `${line}\n`).join('')}.\n` : '';
        return `${before.map(say).join('')}${block}${code} ${message}\n${PROMPT}${after.map(say).join('')}`;
      });
      const expected = exchanges.flatMap(({ before, reply: one, after }) => [...before, one, ...after]);
      assert.deepEqual(decode(GREETING, stream.join(''), cuts).slice(1), expected);
    }),
  );
});

test('the answers of load: one of vde_switch, one of wirefilter, cut anywhere', () => {
  const ours =
    `vde[/rc]: # comment\nvde[/rc]: vlan/create 5\n1000 Success\nvde[/rc]: \n\n1038 Function not implemented\n` +
    `vde[/rc]: vlan/print\n0000 DATA END WITH '.'\nVLAN 0000\n.\n1000 Success\n1000 Success\n${PROMPT}`;
  const wirefilter = '\nVDE wirefilter V.2.3.2\n(C) R.Davoli 2005,2006 - GPLv2\n\nVDEwf$ ';
  const filter =
    `0000 DATA END WITH '.'\n\nVDEwf$  (/rc) delay 5\n` +
    "1000 Success\n\nVDEwf$  (/rc) showinfo\n0000 DATA END WITH '.'\nx\n.\n1000 Success\n.\n1000 Success\n\nVDEwf$ ";
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 40 }), (cuts) => {
      const [, reply, ...more] = decode(GREETING, ours, cuts, true) as ConsoleReply[];
      assert.equal(more.length, 0);
      assert.equal(reply.code, 1000);
      assert.deepEqual(reply.data.slice(1, 6), [
        'vde[/rc]: vlan/create 5',
        '1000 Success',
        'vde[/rc]: ',
        '',
        '1038 Function not implemented',
      ]);
      const [greeting, filtered, ...rest] = decode(wirefilter, filter, cuts, true) as [
        { prompt: string },
        ConsoleReply,
      ];
      assert.equal(rest.length, 0);
      assert.equal(greeting.prompt, 'VDEwf$ ');
      assert.ok(filtered.data.includes('VDEwf$  (/rc) showinfo'));
    }),
  );
});

test('bytes of any kind neither hang nor throw anything but a named error', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), (chunks) => {
      const decoder = new ReplyDecoder({ onGreeting: () => {}, onReply: () => {}, onEvent: () => {} });
      try {
        for (const chunk of chunks) decoder.push(Buffer.from(chunk));
      } catch (error) {
        assert.equal((error as VdeError).code, 'EMSGSIZE');
      }
    }),
  );
});
