import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { totalDrops } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { splitUdp } from '../../src/plug/udp.js';
import { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { eventually } from '../support/network.js';
import { Collector, frame, sendAll } from './frames.js';
import { boundSocket, freePorts, RawEnd } from './udp-pair.js';

loop();

const side = (host: string, port: string) => ({ host, port });

for (const [body, own, peer] of [
  ['1234->5678', side('', '1234'), side('', '5678')],
  ['1234->h:5678', side('', '1234'), side('h', '5678')],
  [':1234->h:5678', side('', '1234'), side('h', '5678')],
  ['a:1234->b:5678', side('a', '1234'), side('b', '5678')],
  ['::1:1234->::2:5678', side('::1', '1234'), side('::2', '5678')],
  ['[::1]:1234->[fe80::1%eth0]:ntp', side('::1', '1234'), side('fe80::1%eth0', 'ntp')],
  ['1->a->b:2', side('', '1'), side('a->b', '2')],
  ['->', side('', ''), side('', '')],
] as const) {
  test(`udp://${body} in parts`, () => assert.deepEqual(splitUdp(body), { own, peer }));
}

test('two sides written together come apart again (property)', () => {
  const host = fc.constantFrom('', 'host.example', '10.0.0.1', '::1', 'fe80::1%eth0', '2001:db8::2');
  const port = fc.nat(65_535).map(String);
  fc.assert(
    fc.property(host, port, host, port, fc.boolean(), (h1, p1, h2, p2, brackets) => {
      const shown = (h: string) => (brackets && h.includes(':') ? `[${h}]` : h);
      const body = `${shown(h1)}:${p1}->${shown(h2)}:${p2}`;
      assert.deepEqual(splitUdp(body), { own: side(h1, p1), peer: side(h2, p2) });
    }),
  );
});

test('any text is taken apart, opened or refused with one line (fuzz)', async () => {
  const text = fc.string({ unit: fc.constantFrom(...'->:[]%.@/ a1'), maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(text, async (body) => {
      // Names are not looked up here.
      fc.pre(!/->.*[a@/ %[\]>-].*:|->[\d.]*\.[\d.]*:|^.*[a@/ %[\].-].*:.*->/.test(body));
      try {
        (await openPlug(`udp://${body}`)).close();
      } catch (error) {
        assert.ok(error instanceof VdeError, String(error));
        assert.doesNotMatch(error.message, /\n/);
      }
    }),
  );
});

for (const [locator, code, text] of [
  ['udp://1234', 'EINVAL', /there is no "->".*quoted from the shell/],
  ['udp://1234-', 'EINVAL', /there is no "->"/],
  ['udp://1234->127.0.0.1', 'EINVAL', /no UDP service "127\.0\.0\.1"/],
  ['udp://1234->127.0.0.1:', 'EINVAL', /the peer's port is missing/],
  ['udp://1234->127.0.0.1:0', 'EINVAL', /"0" is not a port.*1 to 65535/],
  ['udp://1234->127.0.0.1:70000', 'EINVAL', /"70000" is not a port/],
  ['udp://1234->:5678', 'EINVAL', /the peer's address is missing/],
  ['udp://1234->5678', 'EINVAL', /the peer's address is missing/],
  ['udp://0->127.0.0.1:9/keepalive=0', 'EINVAL', /parameter "keepalive": "0" is out of range.*1 to 86400/],
  ['udp://0->127.0.0.1:9/kepalive=9', 'EINVAL', /unknown parameter "kepalive" at character 22 .*"keepalive"/],
  ['udp://none->127.0.0.1:5678', 'EINVAL', /no UDP service "none"/],
  ['udp://1234->::g:5678', 'EINVAL', /"::g" is not an address/],
  ['udp://::1:0->127.0.0.1:5678', 'EAFNOSUPPORT', /::1 is not an IPv4 address, which the peer's is/],
  ['udp://127.0.0.1:0->::1:5678', 'EAFNOSUPPORT', /127\.0\.0\.1 is not an IPv6 address/],
  ['udp://192.0.2.1:0->127.0.0.1:5678', 'EADDRNOTAVAIL', /^192\.0\.2\.1:0: Cannot assign requested address/],
  ['udp://0->fe80::1:5678', 'EINVAL', /^\[fe80::1\]:5678: Invalid argument.*needs its interface: fe80::1%eth0/],
  ['udp://0->255.255.255.255:5678', 'EACCES', /Permission denied.*the address of one host/],
] as const) {
  test(`${locator} is refused with one line`, async (t) => {
    leakCheck(t);
    await assert.rejects(openPlug(locator), (error) => {
      assert.ok(error instanceof VdeError);
      assert.equal(error.code, code);
      assert.match(error.message, text);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  });
}

test('with keepalive a NAT on the way hears from us in time; the other end hears nothing', async (t) => {
  leakCheck(t);
  const [here, there] = freePorts(2);
  const peer = RawEnd.connected(t, there, here);
  const plug = await openPlug(`udp://127.0.0.1:${here}->127.0.0.1:${there}/keepalive=1`);
  cleanup(t, () => plug.close());
  const arrived = new Collector(plug);
  let kept: Buffer | undefined;
  await eventually('kept alive', async () => {
    kept ??= peer.receive();
    return kept !== undefined;
  });
  assert.equal(kept?.length, 1);
  peer.send(kept as Buffer);
  peer.send(frame(60, 1));
  await arrived.count(1);
  assert.equal(totalDrops(plug.drops), 0);
});

test('a port that another program has is said', async (t) => {
  leakCheck(t);
  const { port } = boundSocket(t);
  await assert.rejects(
    openPlug(`udp://127.0.0.1:${port}->127.0.0.1:9`),
    /^VdeError: 127\.0\.0\.1:\d+: Address already in use.*another program has it/,
  );
});

for (const [name, first, second] of [
  ['a name', '', ''],
  ['brackets', '[::1]', '[::1]'],
  ['no brackets', '::1', '::1'],
  ['IPv4', '127.0.0.1', '127.0.0.1'],
  ['IPv4 as inet_aton(3) reads it', '127.1', '127.1'],
] as const) {
  test(`two ends meet: ${name}`, async (t) => {
    leakCheck(t);
    const [a, b] = freePorts(2, first.startsWith('127') ? '127.0.0.1' : '::');
    const locators =
      name === 'a name'
        ? [`udp://${a}->localhost:${b}`, `udp://${b}->localhost:${a}`]
        : [`udp://${first}:${a}->${second}:${b}`, `udp://${second}:${b}->${first}:${a}`];
    const plugs = await Promise.all(locators.map((one) => openPlug(one)));
    cleanup(t, () => {
      for (const one of plugs) one.close();
    });
    const arrived = new Collector(plugs[1]);
    sendAll(plugs[0], [frame(60, 1)]);
    await arrived.count(1);
  });
}
