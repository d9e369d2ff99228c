/** The default switch: started without -s, found by commands that name no network; for root and for others. */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin, root } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { command, emptyHome, FrameStream, frame, MAKES, type Make } from '../support/network.js';
import { requirePeer, requireUserNamespaces } from '../support/peers.js';
import { type Running, type StartOptions, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

/** /run and /tmp become directories of the test's own. What is under test may be in /tmp: that stays visible. */
const PRIVATE = `set -e
new=$1 tree=$2
shift 2
case "$tree" in
/tmp/*) top=\${tree#/tmp/}; top=\${top%%/*}; mkdir "$new/$top"; mount --bind "/tmp/$top" "$new/$top" ;;
esac
mount --rbind "$new" /tmp
mount -t tmpfs tmpfs /run
exec "$@"`;

/**
 * Starts a shell with /run and /tmp of its own, running `script` with our switch as $0 and the rest as $1... In a network
 * namespace of its own it sees no sockets of others.
 */
function privately(t: Owner, script: string, args: string[], options: StartOptions = {}): Running {
  const dir = join(tmpDir(t), 'tmp');
  mkdirSync(dir);
  const user = process.geteuid?.() === 0 ? [] : ['--user', '--map-current-user', '--keep-caps'];
  const line = [...user, '--mount', '--net', 'sh', '-c', PRIVATE, 'sh', dir, root];
  return start(t, 'unshare', [...line, 'sh', '-c', script, bin('vde_switch'), ...args], options);
}

for (const one of MAKES) {
  for (const other of MAKES) {
    test(`vde_plug (${one}) and vde_plug (${other}) meet on our default switch`, async (t) => {
      if (!requirePeer(t, '/usr/bin/vde_plug', 'unshare') || !requireUserNamespaces(t)) return;
      leakCheck(t);
      const plug = (make: Make) => command(make, 'vde_plug');
      // The second is a mirror: what comes in goes out again.
      // A socket is there a moment before it listens: then it has the flag __SO_ACCEPTCON.
      const script = `"$0" --nostdin &
        until grep -q ' 00010000 0001 .*/vde.ctl/ctl$' /proc/net/unix; do sleep 0.02; done
        "$2" = cat &
        while [ "$(echo /run/vde.ctl/001.* /tmp/vde.ctl/001.*)" = '/run/vde.ctl/001.* /tmp/vde.ctl/001.*' ]; do sleep 0.02; done
        exec "$1"`;
      const shell = privately(t, script, [plug(one), plug(other)], { env: { HOME: emptyHome(t) } });
      const stream = new FrameStream(shell);
      stream.send(frame({ tag: 'mirrored' }));
      assert.deepEqual(await stream.receive('mirrored'), frame({ tag: 'mirrored' }));
    });
  }
}

test("root's default is in /run, that of others in /tmp", async (t) => {
  if (!requirePeer(t, 'unshare') || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const shell = privately(t, 'exec "$0"', []);
  shell.stdin.write('ds/showinfo\n');
  const [, dir] = await shell.waitFor(/ctl dir (.*)\n/);
  assert.equal(dir, process.geteuid?.() === 0 ? '/run/vde.ctl' : '/tmp/vde.ctl');
});
