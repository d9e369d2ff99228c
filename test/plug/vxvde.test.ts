import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import fc from 'fast-check';
import { parseSlash } from '../../src/plug/locator.js';
import { openPlug } from '../../src/plug/registry.js';
import { VNI_MAX, VxlanFilter, vxlanHeader } from '../../src/plug/vxlan-header.js';
import { readVxvde, type VxvdeMembership, vxvdeParams } from '../../src/plug/vxvde.js';
import { VdeError } from '../../src/sys/errors.js';
import { AF_INET, AF_INET6 } from '../../src/sys/socket.js';
import { runInside } from './inside.js';

test('vxvde and vxlan are plugs', { timeout: 120_000 }, (t) => runInside(t, 'vxvde-compliance.ts', 60));

test('members of a cloud, and strangers', { timeout: 120_000 }, (t) => runInside(t, 'vxvde-cloud.ts', 13));

test('members that are ours, and who is not', { timeout: 120_000 }, (t) => runInside(t, 'vxvde-hello.ts', 7));

const read = (body: string): Promise<VxvdeMembership> => readVxvde(body, 0, body, `vxvde://${body}`);

describe('what a vxvde locator says', () => {
  it('nothing: the defaults', async () => {
    assert.deepEqual(await read(''), {
      group: { address: '239.0.0.1', port: 14_789, family: AF_INET, interfaceName: undefined },
      vni: 1,
      ttl: 1,
      rcvbuf: undefined,
      bind: undefined,
      from: undefined,
      hashsize: 1024,
      expiretime: 128,
    });
  });

  const groups: [body: string, address: string, vni: number, family?: number][] = [
    ['/v6', 'ff05:56de::1', 1, AF_INET6],
    ['/v4/v6', 'ff05:56de::1', 1, AF_INET6],
    ['/v4', '239.0.0.1', 1],
    ['234.1.2.3/vni=7', '234.1.2.3', 7],
    ['/grp=1000', '239.0.3.232', 1000],
    ['/grp=1000/v6', 'ff05:56de::3e8', 1000, AF_INET6],
    ['/grp=1000/vni=5', '239.0.3.232', 5],
    ['234.5.6.7/grp=16777215', '234.255.255.255', 0xffffff],
    // Only the low 24 bits of a group's number have room.
    ['/grp=16777217', '239.0.0.1', 1],
    ['/grp=root', '239.0.0.0', 0],
    ['/vni=root', '239.0.0.1', 0],
    ['ff02::5/if=lo', 'ff02::5%lo', 1, AF_INET6],
    ['ff02::5%25lo', 'ff02::5%lo', 1, AF_INET6],
  ];
  for (const [body, address, vni, family = AF_INET] of groups) {
    it(`${body}: group ${address}, network ${vni}`, async () => {
      const member = await read(body);
      assert.deepEqual([member.group.address, member.vni, member.group.family], [address, vni, family]);
    });
  }

  it('the other parameters, shortened too; the first of the table is meant', async () => {
    const names = vxvdeParams.map(({ name }) => name);
    const order = ['port', 'vni', 'grp', 'ttl', 'rcvbuf', 'v6', 'v4', 'hashsize', 'expiretime', 'if', 'bind', 'from'];
    assert.deepEqual(names, order);
    const member = await read('/p=5000/v=9/t=3/r=64k/h=7/e=2/b=127.0.0.1/i=lo');
    const { group, ...rest } = member;
    assert.deepEqual([group.port, group.interfaceName], [5000, 'lo']);
    assert.deepEqual(rest, {
      ...{ vni: 9, ttl: 3, rcvbuf: 65_536, hashsize: 7, expiretime: 2, bind: '127.0.0.1' },
      from: undefined,
    });
    assert.equal((await read('/port=domain')).group.port, 53);
    assert.equal((await read('/expiretime=0')).expiretime, 128);
    assert.equal((await read('/grp')).vni, (process.getegid?.() ?? 0) & VNI_MAX);
  });
});

const REFUSED: [locator: string, message: RegExp][] = [
  ['vxvde://10.0.0.1', /10\.0\.0\.1 is not a multicast address \(groups are 224\.0\.0\.0 to 239/],
  ['vxvde://fd00::1', /fd00::1 is not a multicast address/],
  ['vxlan://127.0.0.1', /127\.0\.0\.1 is not a multicast address/],
  ['vxvde://239.0.0.1/v6', /239\.0\.0\.1 is an IPv4 address, v6 asks for IPv6/],
  ['vxlan://ff05::1/v4', /ff05::1 is an IPv6 address, v4 asks for IPv4/],
  ['vxvde://ff02::1', /group of one link only \(say of which: if=INTERFACE\)/],
  ['vxvde:///bind=::1', /parameter "bind": ::1 is not of the family of group 239\.0\.0\.1/],
  ['vxvde:///bind=', /no address for ""/],
  ['vxvde://no.such.invalid', /no address for "no\.such\.invalid"/],
  ['vxvde:///if=nosuch0', /parameter "if": there is no interface called "nosuch0" \(ip link lists them\)/],
  ['vxlan:///if=nosuch0', /there is no interface called "nosuch0"/],
  ['vxvde:///vni=0x10', /parameter "vni": no group called 0x10/],
  ['vxvde:///vni=16777216', /parameter "vni": 16777216 is out of range \(0 to 16777215\)/],
  ['vxlan:///vni=16777216', /parameter "vni": "16777216" is out of range/],
  ['vxlan:///vni=staff', /parameter "vni": "staff" is not a number/],
  ['vxvde:///grp=no-such-group', /parameter "grp": no group called no-such-group/],
  ['vxvde:///port=70000', /parameter "port": 70000 is out of range \(1 to 65535\)/],
  ['vxvde:///port=0', /parameter "port": 0 is out of range/],
  ['vxlan:///port=no-such-service', /"no-such-service" is no port and no UDP service/],
  ["vxvde:///from='10.0.0.0/33'", /parameter "from": "33" is not a prefix length \(0 to 32\)/],
  ["vxvde:///from='10.0.0.0/8,x'", /parameter "from": "x" is no network \(write from='10\.0\.0\.0\/8,192\.0\.2\.7'/],
  ["vxlan:///from='fd00::/8'", /parameter "from": fd00:: is not of the family of the group/],
  ['vxvde:///from=10.0.0.0/8', /unknown parameter "8"/],
  ['vxvde:///ttl=256', /parameter "ttl": "256" is out of range/],
  ['vxvde:///hashsize=1g', /parameter "hashsize": "1g" is not a number/],
  ['vxvde:///hashsize=262145', /parameter "hashsize": "262145" is out of range/],
  ['vxvde:///rcvbuf=x', /parameter "rcvbuf": "x" is not a size/],
  [
    'vxlan:///grp=5',
    /unknown parameter "grp".*valid: port, vni, ttl, rcvbuf, v6, v4, hashsize, expiretime, if, from\)/,
  ],
  ['vxvde:///nonsense', /unknown parameter "nonsense"/],
];

for (const [locator, message] of REFUSED) {
  test(`${locator} is refused by name`, async () => {
    await assert.rejects(openPlug(locator), (error) => {
      assert.ok(error instanceof VdeError);
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(`${locator}: `));
      return true;
    });
  });
}

describe('the VXLAN header', () => {
  it('is flags, reserved octets and the network (RFC 7348, section 5)', () => {
    assert.equal(Buffer.from(vxlanHeader(0x123456)).toString('hex'), '0800000012345600');
  });

  it('vxvde takes one header only; vxlan does not look at reserved octets', () => {
    fc.assert(
      fc.property(fc.nat(VNI_MAX), fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.nat(255), (vni, noise, mask) => {
        const header = vxlanHeader(vni);
        // Each bit of the mask takes an octet of the header over into the noise, so that near misses come up.
        const bytes = noise.map((octet, i) => (mask & (1 << i) ? header[i] : octet));
        const somewhere = Uint8Array.of(1, 2, 3, ...bytes, 4);
        const same = (at: number[]) => at.every((i) => bytes[i] === header[i]);
        assert.equal(new VxlanFilter(vni, true).accepts(somewhere, 3), same([0, 1, 2, 3, 4, 5, 6, 7]));
        assert.equal(new VxlanFilter(vni, false).accepts(somewhere, 3), same([0, 4, 5, 6]));
      }),
    );
  });
});

test('any body is read, or refused by a VdeError', async () => {
  const token = fc.constantFrom(
    '239.0.0.1',
    '/',
    '=',
    'v6',
    'v4',
    'port',
    '1',
    '65536',
    'if',
    'lo',
    'vni',
    'grp',
    '%',
    'ff02::1',
    "'",
  );
  await fc.assert(
    fc.asyncProperty(fc.array(token, { maxLength: 8 }), async (tokens) => {
      const body = tokens.join('');
      // Names would be looked up in the network.
      if (!/^(239\.0\.0\.1|ff02::1|)$/.test(addressOf(body))) return;
      await read(body).catch((error) => assert.ok(error instanceof VdeError, String(error)));
    }),
  );
});

function addressOf(body: string): string {
  try {
    return parseSlash(body).address;
  } catch {
    return '';
  }
}
