/** The compliance suite for `vxvde`, and for end points of VXLAN; run by vxvde.test.ts in a network namespace. */

import { openPlug } from '../../src/plug/registry.js';
import { Vtep } from '../../src/plug/vtep.js';
import { bindInet, joinMulticast, udpSocket } from '../../src/sys/inet.js';
import { AF_INET, setReceiveBuffer } from '../../src/sys/socket.js';
import { complianceSuite } from './compliance.js';
import { INSIDE_V4 } from './inside.js';

// Nobody tells a member that another is gone, and the kernel drops what it has no room for.
const supports = { loss: 'never', backlog: false, counted: false } as const;

let network = 0;

for (const parameters of ['', '/v6/if=v0', '/hashsize=0']) {
  complianceSuite({
    name: `vxvde://${parameters}, two members on one machine`,
    openPair: async () => {
      const locator = `vxvde://${parameters === '' ? '/' : `${parameters}/`}vni=${++network}`;
      const [a, b] = await Promise.all([openPlug(locator), openPlug(locator)]);
      return { a, b };
    },
    supports,
  });
}

/** An end point at one of the machine's addresses, so that two have room. */
function vxlanAt(address: string, vni: number): Vtep {
  const group = { address: '239.0.0.1', port: 4789 };
  const [multicast, unicast] = [group.address, address].map((at) => {
    const socket = udpSocket(AF_INET, 'vxlan', { reuseAddress: true });
    bindInet(socket, { address: at, port: group.port });
    setReceiveBuffer(socket, 2 << 20);
    return socket;
  });
  joinMulticast(multicast, group.address, 'v0');
  const own = INSIDE_V4.indexOf(address) + 1;
  // The last octet of an address is enough to tell it from the others.
  const isSelf = (words: Uint32Array, at: number) => words[at + 1] >>> 24 === own;
  const options = { vni, vxvde: false, hashsize: 16, expiretime: 100 };
  return new Vtep({ family: AF_INET, multicast, unicast, group, isSelf }, `vxlan at ${address}`, options);
}

complianceSuite({
  name: 'vxlan, two end points',
  openPair: async () => {
    network++;
    return { a: vxlanAt(INSIDE_V4[1], network), b: vxlanAt(INSIDE_V4[2], network) };
  },
  supports,
});
