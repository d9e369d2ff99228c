import assert from 'node:assert/strict';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { frame } from '../support/network.js';
import { run, start } from '../support/proc.js';

const PLUG = bin('vde_plug');

/** Frames as they stand in a stream. */
function stream(...sizes: number[]): Buffer {
  return Buffer.concat(
    sizes.map((size) => {
      const one = frame({ tag: 'x', size });
      return Buffer.concat([Buffer.from([one.length >> 8, one.length & 0xff]), one]);
    }),
  );
}

test('--stats says at the end what has passed, as a table or as JSON', async () => {
  const input = stream(60, 100, 1000);
  const plain = await run(PLUG, ['--stats', 'null://'], { input });
  assert.equal(plain.code, 0);
  assert.equal(
    plain.stderr,
    [
      'END               FRAMES  BYTES  FULL  OVERSIZE  RUNT  ERROR',
      'null://                0      0     0         0     0      0',
      'standard streams       3   1160     0         0     0      0',
      '',
    ].join('\n'),
  );
  const json = await run(PLUG, ['--stats', '--json', 'null://'], {
    input: Buffer.concat([input, Buffer.from([0, 1, 7])]),
  });
  const { seconds, ends } = JSON.parse(json.stderr);
  assert.ok(seconds >= 0);
  assert.deepEqual(ends[1], {
    name: 'standard streams',
    frames: 3,
    bytes: 1160,
    drops: { full: 0, oversize: 0, runt: 1, error: 0 },
  });
});

test('--stats=SECONDS says it in between too', async (t) => {
  const plug = start(t, PLUG, ['--stats=0.1', 'null://', '=', 'cat']);
  await plug.waitFor(/vde_plug: from null:\/\/ 0 frames, 0 bytes, 0 dropped there; from .* 0 dropped there\n/);
  plug.kill('SIGTERM');
  await plug.exited;
  assert.match(plug.stderr, /\nEND +FRAMES/);
});

test('--stats is refused where it cannot be', async () => {
  for (const [args, line] of [
    [['--stats=x', 'null://'], /^vde_plug: --stats: "x" is not a time \(seconds, 0\.1 to 86400\)/],
    [['--stats', '-d', 'null://', 'null://'], /^vde_plug: --stats: in the background there is no standard error/],
  ] as const) {
    const { code, stderr } = await run(PLUG, [...args]);
    assert.equal(code, 255);
    assert.match(stderr, line);
  }
});
