import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openConsole } from '../../src/console/client.js';
import { registerNodeSchemes } from '../../src/console/schemes.js';
import { openPlug } from '../../src/plug/registry.js';
import type { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';

loop();
registerNodeSchemes();

for (const node of ['switch', 'hub', 'multi', 'bonding']) {
  test(`${node}:// with mgmt is managed as any switch, and ended from its console`, async (t) => {
    leakCheck(t);
    const [dir, mgmt] = [join(tmpDir(t), 'n'), join(tmpDir(t), 'mgmt')];
    const owner = await openPlug(`${node}://${dir}[mgmt="${mgmt}"/mgmtmode=0660]`);
    cleanup(t, () => owner.close());
    assert.equal(statSync(mgmt).mode & 0o777, 0o660);
    const client = await openPlug(`vde://${dir}`, { description: 'a guest' });
    cleanup(t, () => client.close());
    client.sink = () => {};

    const console = await openConsole(mgmt);
    cleanup(t, () => console.close());
    const { data } = await console.command('port/print');
    assert.ok(
      data.some((line) => line.includes('the process itself')),
      data.join('\n'),
    );
    assert.ok(
      data.some((line) => line.includes('a guest')),
      data.join('\n'),
    );
    assert.ok((await console.command('showinfo')).data.some((line) => line.includes(mgmt)));

    const lost = new Promise<VdeError | undefined>((done) => {
      owner.onLost = done;
    });
    const left = new Promise<void>((done) => {
      client.onLost = () => done();
    });
    await console.command('shutdown').catch(() => {});
    assert.equal((await lost)?.code, 'ESHUTDOWN');
    await left;
    assert.deepEqual([existsSync(dir), existsSync(mgmt)], [false, false]);
  });
}

test('a management socket that cannot be had leaves no switch behind; it goes with the end', async (t) => {
  leakCheck(t);
  const [dir, mgmt] = [join(tmpDir(t), 'n'), join(tmpDir(t), 'mgmt')];
  writeFileSync(mgmt, 'a file of somebody');
  await assert.rejects(openPlug(`switch://${dir}[mgmt="${mgmt}"]`), { code: 'EEXIST' });
  assert.equal(existsSync(dir), false);
  const other = `${mgmt}2`;
  const owner = await openPlug(`switch://${dir}[mgmt="${other}"]`);
  assert.equal(statSync(other).mode & 0o777, 0o600);
  await assert.rejects(openPlug(`hub://${dir}2[mgmt="${other}"]`), { code: 'EADDRINUSE' });
  owner.close();
  assert.deepEqual([existsSync(dir), existsSync(other), existsSync(`${dir}2`)], [false, false, false]);
});
