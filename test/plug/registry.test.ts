import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullScheme } from '../../src/plug/null.js';
import { isAdoptable, listSchemes, openPlug, registerScheme } from '../../src/plug/registry.js';
import type { ResolvedLocator } from '../../src/plug/resolve.js';
import type { OpenOptions, Scheme } from '../../src/plug/scheme.js';

test('schemes are listed by name, each with what a help text needs', async () => {
  const schemes = await listSchemes();
  const names = schemes.map(({ name }) => name);
  for (const name of ['null', 'tap', 'vde']) assert.ok(names.includes(name), name);
  assert.deepEqual(names, [...names].sort());
  for (const { name, syntax, doc } of schemes) {
    assert.match(name, /^[a-z][a-z0-9]*$/);
    assert.notEqual(syntax, '');
    assert.match(doc, /^[^.]+$/, 'one sentence without full stop');
  }
});

test('a scheme that is registered opens like any other, and gets locator and options', async () => {
  const seen: [ResolvedLocator, OpenOptions][] = [];
  const scheme: Scheme = {
    name: 'mytest',
    syntax: 'NOTHING',
    doc: 'for this test',
    params: [],
    adoptable: true,
    open: (locator, options) => {
      seen.push([locator, options]);
      return nullScheme.open(locator, options);
    },
  };
  registerScheme(scheme);
  assert.throws(() => registerScheme(scheme), { name: 'VdeError', code: 'EEXIST', subject: 'mytest://' });
  const plug = await openPlug('mytest://here', { port: 5 });
  assert.equal(plug.name, 'mytest://here');
  plug.close();
  assert.equal(seen.length, 1);
  assert.deepEqual([seen[0][0].scheme, seen[0][0].body, seen[0][1].port], ['mytest', 'here', 5]);
  assert.ok(await isAdoptable('mytest://here'));
});

test('a scheme that does not exist is named, with the one that was probably meant', async () => {
  await assert.rejects(openPlug('nul://x'), {
    name: 'VdeError',
    code: 'EPROTONOSUPPORT',
    message: /^nul:\/\/x: .*there is no scheme "nul" \(did you mean null:\/\/\?\)$/,
  });
  await assert.rejects(openPlug('quitedifferent://x'), { code: 'EPROTONOSUPPORT', message: /\(there are .*null.*vde/ });
});

test('whether an end can be offered is known before it is opened; a wrong locator cannot', async () => {
  assert.equal(await isAdoptable('tap://t0'), true);
  assert.equal(await isAdoptable('vde:///tmp/none'), false);
  assert.equal(await isAdoptable('nosuch://x'), false);
  assert.equal(await isAdoptable('tap://a\0b'), false);
});
