/**
 * The part of vdens that runs inside the fresh namespaces, started by `unshare`: makes the interfaces, hands their
 * descriptors out, sets up what was asked for, and becomes the command. See `message.ts` for the conversation.
 *
 * It imports only what it needs, since every start of vdens waits for it, and runs no event loop.
 */

import { sendWithDescriptors } from '../sys/ancillary.js';
import { Descriptor } from '../sys/descriptor.js';
import { Memory } from '../sys/memory.js';
import { setHostname, signalOnParentDeath } from '../sys/namespace.js';
import { dup2, setCloseOnExec } from '../sys/process.js';
import { tryReceive } from '../sys/socket.js';
import { openTap, setTapOffloads, TAP_OFFLOADS } from '../sys/tap.js';
import { exitNow, waitReadable } from '../sys/wait.js';
import { become, failureStatus } from './inside.js';
import { CHANNEL, ERROR_OUTPUT, type FromHelper, failure, MESSAGE_MAX, type Plan, type ToHelper } from './message.js';

const FAILED = 1;

const channel = new Descriptor(CHANNEL, 'vdens');
const inbox = new Memory(MESSAGE_MAX);

function tell(message: FromHelper, descriptors: Descriptor[] = []): void {
  sendWithDescriptors(channel, Buffer.from(JSON.stringify(message)), descriptors);
}

/** The next message; ends the process if the outer one has gone or does not go on. */
function hear(): ToHelper {
  waitReadable(CHANNEL);
  const n = tryReceive(channel, inbox);
  if (n <= 0) exitNow(FAILED);
  return JSON.parse(new TextDecoder().decode(inbox.bytes.subarray(0, n)));
}

function makeTaps(plan: Plan): void {
  for (const { name } of plan.interfaces) {
    const { descriptor, interfaceName } = openTap(name, `interface ${name}`, { offloadHeader: true });
    setTapOffloads(descriptor, TAP_OFFLOADS);
    tell({ tap: interfaceName }, [descriptor]);
    descriptor.close();
  }
}

async function setUp(plan: Plan): Promise<void> {
  if (plan.resolv !== undefined) (await import('./resolvconf.js')).mountResolvConf(plan.resolv);
  if (plan.hostname !== undefined) setHostname(plan.hostname);
  const { lines } = plan;
  if (lines.length > 0) (await import('../sys/ip.js')).runIpSync(lines);
  if (plan.dhcp) {
    const names = plan.interfaces.filter(({ dhcp }) => dhcp).map(({ name }) => name);
    const resolv = plan.resolv !== undefined && 'writable' in plan.resolv;
    (await import('./agent.js')).startAgent(names, resolv);
  }
}

async function main(command: string[]): Promise<void> {
  setCloseOnExec(CHANNEL, true);
  dup2(ERROR_OUTPUT, 2);
  setCloseOnExec(ERROR_OUTPUT, true);
  const first = hear();
  if (!('plan' in first)) exitNow(FAILED);
  const { plan } = first;
  try {
    signalOnParentDeath('SIGHUP');
    // Had it ended before, nobody would tell us.
    if (process.ppid !== plan.parent) exitNow(FAILED);
    makeTaps(plan);
    await setUp(plan);
    tell({ ready: true });
    if ('go' in hear()) become(command, plan.sysadmin);
  } catch (error) {
    tell(failure(error, failureStatus(error)));
  }
  exitNow(FAILED);
}

void main(process.argv.slice(2));
