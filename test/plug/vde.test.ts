import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import type { Plug } from '../../src/plug/plug.js';
import { totalDrops } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { StreamPlug } from '../../src/plug/stream.js';
import { SwitchService } from '../../src/switch/service.js';
import { close, pipe } from '../../src/sys/process.js';
import { AF_UNIX, bindUnix, listen, SOCK_STREAM, socket } from '../../src/sys/socket.js';
import { bin, debian, root } from '../support/bin.js';
import { cleanup } from '../support/cleanup.js';
import { need, requirePeer } from '../support/peers.js';
import { type Running, start } from '../support/proc.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { complianceSuite } from './compliance.js';

/** A switch in this process. */
function service(t: TestContext): SwitchService {
  const own = new SwitchService(join(tmpDir(t), 's'));
  cleanup(t, () => own.close());
  return own;
}

function inside(own: SwitchService): number {
  return own.switch.ports.reduce((sum, port) => {
    const { malformed = 0, vlan = 0, blocked = 0, hairpin = 0 } = port?.inputDrops ?? {};
    return sum + malformed + vlan + blocked + hairpin + (port ? totalDrops(port.drops) : 0);
  }, 0);
}

complianceSuite({
  name: 'vde, our switch in this process',
  openPair: async (t) => {
    const own = service(t);
    const [a, b] = await Promise.all([openPlug(`vde://${own.directory}`), openPlug(own.directory)]);
    return { a, b, lose: () => own.close(), droppedBetween: () => inside(own) };
  },
  // The switch never waits for a slow port: it is there that frames are dropped. Runts are, too.
  supports: { tags: false, backlog: false, runtsCounted: false },
});

/** A switch as a command. */
async function command(t: TestContext, file: string): Promise<{ directory: string; running: Running }> {
  const directory = join(tmpDir(t), 's');
  const running = start(t, file, ['-s', directory], { cwd: root });
  await waitForSocket(join(directory, 'ctl'));
  return { directory, running };
}

for (const [name, file, built] of [
  ['our vde_switch', bin('vde_switch'), join(root, 'dist/cli/vde_switch.js')],
  ['the vde_switch of VDE 2', debian('vde_switch'), debian('vde_switch')],
]) {
  complianceSuite({
    name: `vde, ${name}`,
    skip: (t) => !need(t, existsSync(built), built),
    openPair: async (t) => {
      const { directory, running } = await command(t, file);
      const [a, b] = [await openPlug(`vde://${directory}`), await openPlug(`vde://${directory}`)];
      return {
        a,
        b,
        lose: () => {
          running.kill('SIGKILL');
          return running.exited;
        },
      };
    },
    // 14 + 1504 is what the receive buffer of the C switch holds.
    maxFrame: 1518,
    supports: { tags: false, backlog: false, counted: false, runtsCounted: false },
  });
}

complianceSuite({
  name: 'vde, our switch, the other end is vde_plug with libvdeplug',
  skip: (t) => !requirePeer(t, debian('vde_plug')),
  openPair: async (t) => {
    const own = service(t);
    const a = await openPlug(`vde://${own.directory}`);
    const [toIt, fromIt] = [pipe(), pipe()];
    const running = start(t, debian('vde_plug'), [own.directory], { stdio: [toIt.read, fromIt.write, 'pipe'] });
    const b = new StreamPlug('vde_plug', fromIt.read, toIt.write, 9236);
    for (const fd of [toIt.read, toIt.write, fromIt.read, fromIt.write]) close(fd);
    while (own.switch.ports.filter((port) => port?.active).length < 2) {
      assert.ok(running.running, running.output);
      await immediate();
    }
    return { a, b, lose: () => own.close() };
  },
  // libvdeplug's buffer.
  maxFrame: 9234,
  oneByOne: true,
  supports: { tags: false, backlog: false, counted: false, runtsCounted: false },
});

async function opened(t: TestContext, locator: string, options = {}): Promise<Plug> {
  const plug = await openPlug(locator, options);
  cleanup(t, () => plug.close());
  return plug;
}

test('the port asked for is the port given; it is described by who we are', async (t) => {
  const own = service(t);
  await opened(t, `vde://${own.directory}[7]`, { description: 'my end' });
  await opened(t, `vde://${own.directory}`, { port: 9 });
  await opened(t, `vde://${own.directory}[port=0]`);
  await opened(t, `vde://${own.directory}`);
  assert.deepEqual(
    own.switch.ports.flatMap((port) => (port?.active ? [port.number] : [])),
    [0, 1, 7, 9],
  );
  assert.match(own.switch.ports[7]?.endpoints[0].description ?? '', new RegExp(`^my end user=\\S+ pid=${process.pid}`));
});

test('nothing of an end stays behind in the directory, not even while it is open', async (t) => {
  const own = service(t);
  const plug = await opened(t, own.directory);
  assert.deepEqual(
    readdirSync(own.directory).filter((name) => name.startsWith('.')),
    [],
  );
  plug.close();
  while (readdirSync(own.directory).length > 1) await immediate();
  assert.deepEqual(readdirSync(own.directory), ['ctl']);
});

test('a directory without a switch, and one with a dead switch, are told apart', async (t) => {
  const dir = tmpDir(t);
  await assert.rejects(openPlug(`vde://${dir}`), {
    name: 'VdeError',
    code: 'ENOENT',
    message: `vde://${dir}: No such file or directory (is a switch running there? There is no ${dir}/ctl)`,
  });
  const listener = socket(AF_UNIX, SOCK_STREAM, 'ctl');
  bindUnix(listener, join(dir, 'ctl'));
  listen(listener, 1);
  listener.close();
  await assert.rejects(openPlug(dir), { code: 'ECONNREFUSED', message: /the switch that made .* is gone/ });
});

test('a port that the switch does not have is refused, with what to do, and nothing is left', async (t) => {
  const own = service(t);
  await assert.rejects(openPlug(`vde://${own.directory}[4000]`), { code: 'ECONNREFUSED', message: /no such port/ });
  assert.deepEqual(readdirSync(own.directory), ['ctl']);
});

test('wrong parameters are named', async (t) => {
  const own = service(t);
  await assert.rejects(openPlug(`vde://${own.directory}[prot=3]`), { code: 'EINVAL', message: /prot.*port/ });
  await assert.rejects(openPlug(`vde://${own.directory}[group=no-such-group]`), {
    code: 'EINVAL',
    message: /no group called no-such-group/,
  });
  await assert.rejects(openPlug(`vde://${own.directory}[port=..]`), { code: 'EINVAL', message: /port group/ });
});
