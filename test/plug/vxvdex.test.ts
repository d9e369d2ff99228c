import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { describe, it } from 'node:test';
import { openPlug } from '../../src/plug/registry.js';
import { encodeAnswer } from '../../src/plug/vxvdex-protocol.js';
import { sendWithDescriptors } from '../../src/sys/ancillary.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { EPOLLIN } from '../../src/sys/epoll.js';
import { loop } from '../../src/sys/loop.js';
import { AF_UNIX, bindUnix, listen, SOCK_SEQPACKET, SOCK_STREAM, socket, tryAccept } from '../../src/sys/socket.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';
import { runInside } from './inside.js';

test('vxvdex is a plug', { timeout: 120_000 }, (t) => runInside(t, 'vxvdex-compliance.ts', 16));

const REFUSED: [parameters: string, message: RegExp][] = [
  ['net=lab/grp=5', /parameter "net": grp names another network \(give one of the two\)$/],
  ['net=5', /parameter "net": "5" is a number \(grp=5\)$/],
  ['net=-x', /parameter "net": "-x" cannot be the name of a network$/],
  ['net', /parameter "net": "" cannot be/],
  ['grp=no_such_group', /parameter "grp": no group called no_such_group$/],
  ['grp=4294967295', /parameter "grp": "4294967295" is out of range/],
  ['sock=/run/x', /parameter "sock": needs a path in quotes at character 11 \(as in sock="\/run\/x"\)$/],
  ['port=5000', /unknown parameter "port".*valid: vni, grp, ttl, .*sock/],
  ['ttl=256', /parameter "ttl": "256" is out of range/],
];

describe('what a vxvdex locator cannot say', () => {
  for (const [parameters, message] of REFUSED) {
    it(parameters, async () => {
      const locator = `vxvdex:///${parameters}`;
      await assert.rejects(openPlug(locator), { name: 'VdeError', code: 'EINVAL', message });
    });
  }

  it('a group address: it follows from the network', async () => {
    await assert.rejects(openPlug('vxvdex://234.0.0.1'), {
      code: 'EINVAL',
      message: /^vxvdex:\/\/234\.0\.0\.1: the group's address cannot be chosen.*\(vxvdex:\/\/\/grp=GROUP or/,
    });
  });
});

/** A socket of somebody who is no broker: what `answer` does with each connection. */
function impostor(t: Owner, type: number, answer: (connection: Descriptor) => void): string {
  loop();
  const path = join(tmpDir(t), 's');
  leakCheck(t);
  const listener = socket(AF_UNIX, type, path);
  bindUnix(listener, path);
  listen(listener, 4);
  const connections: Descriptor[] = [];
  const watch = loop().watch(listener.fd, EPOLLIN, () => {
    const connection = tryAccept(listener);
    if (typeof connection === 'number') return undefined;
    connections.push(connection);
    answer(connection);
    return undefined;
  });
  cleanup(t, () => {
    watch.close();
    for (const one of [listener, ...connections]) one.close();
  });
  return `vxvdex:///sock="${path}"`;
}

test('a path where no broker is: what to do about it', async (t) => {
  const dir = tmpDir(t);
  await assert.rejects(openPlug(`vxvdex:///sock="${dir}/none"`), {
    code: 'ENOENT',
    message: /No such file or directory \(no vde_vxvdexd answers at .*ask the administrator to start one\)$/,
  });
  writeFileSync(join(dir, 'file'), '');
  await assert.rejects(openPlug(`vxvdex:///sock="${dir}/file"`), { code: 'ECONNREFUSED' });
  const stream = impostor(t, SOCK_STREAM, () => {});
  await assert.rejects(openPlug(stream), { code: 'EPROTOTYPE', message: /socket of something else than vde_vxvdexd/ });
});

const member = { network: 1, maxFrame: 1514, offloads: false, adopted: false };
const ANSWERS: [what: string, answer: Buffer | undefined, code: string, message: RegExp][] = [
  ['nonsense', Buffer.from('welcome'), 'EPROTO', /what answers there is not a broker/],
  ['an admission without a data socket', encodeAnswer(member), 'EPROTO', /gave no data socket/],
  ['an adoption of nothing', encodeAnswer({ ...member, adopted: true }), 'EPROTO', /gave no data socket/],
  ['its leave', undefined, 'ECONNRESET', /the broker has closed the connection$/],
];

for (const [what, answer, code, message] of ANSWERS) {
  test(`one who answers with ${what} is no broker`, async (t) => {
    const locator = impostor(t, SOCK_SEQPACKET, (connection) => {
      if (answer === undefined) connection.close();
      else sendWithDescriptors(connection, answer);
    });
    await assert.rejects(openPlug(locator), { code, message });
  });
}

test('a descriptor that is no datagram socket is not taken for the data socket', async (t) => {
  const locator = impostor(t, SOCK_SEQPACKET, (connection) => {
    sendWithDescriptors(connection, encodeAnswer(member), [connection]);
  });
  await assert.rejects(openPlug(locator), { code: 'EPROTO', message: /gave no data socket/ });
});

test('a refusal is one line: who, what, and whom to ask', async (t) => {
  const locator = impostor(t, SOCK_SEQPACKET, (connection) => {
    const refusal = {
      code: 'EACCES',
      cause: 'uid 5, gid 6 may not\njoin network lab',
      remedy: 'ask the administrator',
    };
    sendWithDescriptors(connection, encodeAnswer(refusal));
  });
  await assert.rejects(openPlug(locator), {
    code: 'EACCES',
    message: `${locator}: uid 5, gid 6 may not\\x0ajoin network lab (ask the administrator)`,
  });
});
