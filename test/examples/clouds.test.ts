/** The examples of clouds: a router between them, a node that moves, a program on one. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { bin, root } from '../support/bin.js';
import { requireLab, runExample } from '../support/example.js';
import { twoHosts } from '../support/hosts.js';
import { leakCheck } from '../support/leaks.js';
import { requirePeer } from '../support/peers.js';
import { Station } from '../support/vxvdexd.js';

test('clouds: a router between two clouds and the outside; a node moves, and its clients find it again', async (t) => {
  if (!requireLab(t, 'nft', 'nsenter')) return;
  const output = await runExample(t, 'clouds');
  const [, first, second] = output.split(/^(?:two|three)\$ vdens/m);
  // From both hosts the node reaches the outside, by way of the router.
  for (const part of [first, second]) {
    assert.match(part, /^(?:two|three)# ping -c 3 .* 10\.0\.0\.254\n[\s\S]*?icmp_seq=3 ttl=63[\s\S]*? 3 received/m);
  }
  // Those who were pinging it went on with what they had begun: numbers count on, over the time of its absence.
  for (const [client, ttl] of [
    ['peer', 64],
    ['near', 63],
  ] as const) {
    const [, text] = second.split(`==> ${client}.log <==\n`);
    const answers = [...text.matchAll(/^64 bytes from 10\.0\.2\.5: icmp_seq=(\d+) ttl=(\d+)/gm)].slice(0, 3);
    assert.equal(answers.length, 3, output);
    for (const [, number, hops] of answers) {
      assert.ok(Number(number) > 10, output);
      assert.equal(Number(hops), ttl);
    }
  }
  const masqueraded = Number(second.match(/packets (\d+) bytes \d+ masquerade/)?.[1]);
  assert.ok(masqueraded >= 2, output);
});

test('answer.mjs: twenty lines with nothing but the library answer ARP and ping on a cloud', async (t) => {
  if (!requireLab(t) || !requirePeer(t, 'nsenter', 'unshare')) return;
  leakCheck(t);
  const [near, far] = await twoHosts(t);
  const program = near.net.start(t, process.execPath, [join(root, 'examples/answer.mjs')], { cwd: root });
  await program.waitFor('10.0.0.9 is on vxvde://');
  const station = await Station.in(far.net.start(t, bin('vdens'), ['vxvde://', ...Station.command(1)]));
  assert.equal(await station.reaches(9), true, station.process.output);
  assert.equal(await station.run('ping -q -c 2 -i 0.1 -W 20 -s 1400 10.0.0.9 >/dev/null'), 0, program.output);
  assert.equal(await station.run('ip neigh show 10.0.0.9 | grep -q 02:00:00:00:00:09'), 0);
  // Others it does not answer for.
  assert.equal(await station.run('ping -q -c 1 -W 1 10.0.0.8 >/dev/null'), 1);
  await station.end();
  program.kill('SIGTERM');
  await program.exited;
});
