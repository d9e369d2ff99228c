/** The numbers and lines of `vde top`. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { drawTable, type PortSample, RateMeter, samples, scaled, sparkline } from '../../src/cli/vde-top-view.js';
import { parseDrops, parsePorts } from '../../src/console/parse-ports.js';

function sample(port: number, frames: number, bytes: number): PortSample {
  const none = { frames: 0, bytes: 0 };
  return {
    port,
    active: true,
    vlan: 0,
    description: `end ${port}`,
    in: { frames, bytes },
    out: none,
    drops: undefined,
  };
}

test('rates are differences over time; new ports and counters that went back begin at 0', () => {
  const meter = new RateMeter();
  assert.equal(meter.update(10, [sample(1, 100, 1000)])[0].inBits, 0);
  const [one, two] = meter.update(12, [sample(1, 300, 2000), sample(2, 50, 50)]);
  assert.deepEqual([one.inFrames, one.inBits, two.inFrames], [100, 4000, 0]);
  assert.deepEqual([one.history, two.history], [[4000], []]);
  assert.equal(meter.update(13, [sample(1, 0, 0)])[0].inFrames, 0);
});

test('numbers have three digits and a prefix', () => {
  const cases: [number, string][] = [
    [0, '0'],
    [7, '7'],
    [0.5, '0.50'],
    [99.96, '100'],
    [999.4, '999'],
    [999.6, '1.00k'],
    [12_345, '12.3k'],
    [999_600, '1.00M'],
    [1.5e9, '1.50G'],
    [2e18, '2000P'],
  ];
  for (const [value, text] of cases) assert.equal(scaled(value), text);
});

test('a sparkline is as wide as asked, its highest bar full', () => {
  assert.equal(sparkline([0, 1, 4, 8], 4), '▁▁▄█');
  assert.equal(sparkline([1, 2], 4), '  ▄█');
  assert.equal(sparkline([9, 9, 1, 2], 2), '▄█');
  assert.equal(sparkline([0, 0], 2), '▁▁');
});

test('the table keeps to the width and height of the terminal', () => {
  const rates = new RateMeter().update(
    0,
    Array.from({ length: 50 }, (_, i) => sample(i + 1, 1, 1)),
  );
  const lines = drawTable(rates, 'title', 40, 10);
  assert.equal(lines.length, 10);
  assert.ok(lines.every((line) => [...line].length <= 40));
  assert.equal(lines[0], 'title');
  assert.match(lines[9], /50 ports in all/);
  assert.equal(drawTable(rates, 'title', 80, 1).length, 1);
});

test('ports are what the console shows, with drops where it tells', () => {
  const ports = parsePorts([
    'Port 0001 untagged_vlan=0005 ACTIVE - Unnamed Allocatable',
    ' Current User: root Access Control: (User: NONE - Group: games)',
    ' IN:  pkts          2          bytes                  274',
    ' OUT: pkts          1          bytes                   60',
    '  -- endpoint ID 0006 module unix prog   : demo: A',
    'Port 0007 untagged_vlan=4095 INACTIVE - NOT Unnamed Allocatable',
  ]);
  const drops = parseDrops([
    'Port 0001',
    ' IN:  malformed 1 vlan 2 blocked 100 hairpin 9',
    ' OUT: full 5 oversize 1 runt 0 error 0',
  ]);
  const [one, seven] = samples(ports, drops);
  assert.deepEqual([one.description, one.in.bytes, one.drops, one.vlan], ['demo: A', 274, 9, 5]);
  assert.deepEqual([seven.active, seven.in.bytes, seven.drops, seven.vlan], [false, 0, undefined, null]);
  const lines = drawTable(new RateMeter().update(0, [one, seven]), 'title', 200, 10);
  assert.match(lines[1], /drops/);
  assert.match(lines[2], / 9 .*demo: A$/);
  assert.match(lines[3], / - .*\(inactive\)$/);
});
