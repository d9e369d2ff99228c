/** The compliance suite for `vxvdex`; run by vxvdex.test.ts in a network namespace. */

import { totalDrops } from '../../src/plug/plug.js';
import { startBroker } from '../switch/brokered.js';
import { type Compliance, complianceSuite } from './compliance.js';

const openPair: Compliance['openPair'] = async (t) => {
  const { broker, open } = startBroker(t);
  const [a, b] = [await open(), await open()];
  const { ports } = [...broker.networks.values()][0].switch;
  // Port 0 is the way out of the machine, to the same two stations as far as the switch knows.
  const droppedBetween = () => ports.slice(1).reduce((sum, port) => sum + (port ? totalDrops(port.drops) : 0), 0);
  return { a, b, droppedBetween, lose: () => broker.close() };
};

// The broker reads what is sent to it at once: who does not read costs frames beyond it.
complianceSuite({ name: 'vxvdex://, two members of one network', openPair, supports: { backlog: false } });
