import { loop } from '../../src/sys/loop.js';
import { complianceSuite } from './compliance.js';
import { openUdpPair } from './udp-pair.js';

loop();

for (const address of ['127.0.0.1', '::1']) {
  complianceSuite({
    name: `udp, ${address}`,
    openPair: () => openUdpPair(address),
    maxFrame: 65_507,
    // A network in between that drops what comes too fast, and tells nobody.
    supports: { loss: 'never', backlog: false, counted: false },
  });
}
