/**
 * `vdens`: a command in a network namespace of its own, joined to virtual networks (reference: vdens).
 *
 * The helper inside starts before anything else does, since it takes longest; what joins the networks is loaded while it
 * comes up. The command runs only when all networks are there.
 */

import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Attachment } from '../netns/attachment.js';
import { ipBatch } from '../netns/interfaces.js';
import { Launch, LaunchError } from '../netns/launch.js';
import { accompany, exitStatus } from '../netns/ward.js';
import { VdeError } from '../sys/errors.js';
import { exitNow } from '../sys/wait.js';
import { complain, runCommand } from './command.js';
import { helpText, printVersion } from './page.js';
import { type Invocation, page, readInvocation, type StartInvocation } from './vdens-options.js';

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vdens', async (args) => {
    const invocation = readInvocation(args, process.env);
    exitNow(await run(invocation));
  });
}

async function run(invocation: Invocation): Promise<number> {
  if (invocation.kind === 'help') {
    writeSync(2, helpText(page));
    return 1; // As C's does.
  }
  if (invocation.kind === 'version') return printVersion(page);
  if (invocation.kind === 'list') return list(invocation.json);
  if (invocation.kind === 'enter') return join(invocation.name, invocation.command);
  return start(invocation);
}

/** The command to run: the shell if none was given. */
function commandOr(command: string[]): string[] {
  if (command.length > 0) return command;
  const shell = process.env.SHELL;
  if (shell) return [shell];
  const remedy = 'set it, or name a command';
  throw new VdeError({ code: 'EINVAL', subject: 'Error', cause: '$SHELL env variable not set', remedy });
}

async function start(invocation: StartInvocation): Promise<number> {
  const { interfaces, loopback, resolv, hostname, sysadmin, name, locators } = invocation;
  const command = commandOr(invocation.command);
  const dhcp = interfaces.some((one) => one.dhcp);
  const names = name === undefined ? undefined : await import('../netns/names.js');
  if (names && name !== undefined) {
    names.checkName(name);
    const other = names.findName(name);
    if (other) throw names.taken(other);
  }
  const lines = ipBatch(interfaces, loopback);
  const plan = { parent: process.pid, interfaces, lines, resolv, hostname, sysadmin, dhcp };
  const launch = new Launch(plan, command);
  const attachments: Attachment[] = [];
  let removeName: (() => void) | undefined;
  const cleanUp = async (): Promise<void> => {
    removeName?.();
    if (launch.agent) {
      const { releaseLeases } = await import('../netns/dhcp-wait.js');
      const taps = attachments.map(({ tap }) => tap);
      await releaseLeases(launch.agent, taps);
    }
    await Promise.all(attachments.map((one) => one.close()));
  };
  const { pid } = launch.child;
  if (pid !== undefined) accompany(pid);
  try {
    const { Attachment } = await import('../netns/attachment.js');
    (await import('../console/schemes.js')).registerNodeSchemes();
    (await import('../crypto/schemes.js')).registerCryptoSchemes();
    const { preloadScheme } = await import('../plug/registry.js');
    await Promise.all(locators.filter((one) => !one.startsWith('=')).map(preloadScheme));
    for (const [i, { name: tap, descriptor }] of (await launch.ready).entries()) {
      attachments.push(new Attachment(tap, descriptor, locators[i], complain));
    }
    // One after the other: who is first gets the lower port of a switch.
    for (const one of attachments) await Promise.race([one.open(), launch.started]);
    if (names && name !== undefined && pid !== undefined) {
      const ends = attachments.map(({ interfaceName, locator }) => ({ name: interfaceName, locator }));
      removeName = names.giveName(name, pid, { interfaces: ends, command, sysadmin });
    }
    if (launch.agent) {
      const { waitForLeases } = await import('../netns/dhcp-wait.js');
      await Promise.race([waitForLeases(launch.agent), launch.started]);
    }
    launch.go();
    await launch.started;
    const end = await launch.ended;
    await cleanUp();
    return exitStatus(end);
  } catch (error) {
    launch.stop();
    const end = await launch.ended;
    await cleanUp();
    if (end.signal !== null) return 128 + constants.signals[end.signal];
    if (!(error instanceof VdeError)) throw error;
    complain(error.message);
    return error instanceof LaunchError ? error.status : 1;
  }
}

async function join(name: string, command: string[]): Promise<number> {
  const { checkName, findName } = await import('../netns/names.js');
  checkName(name);
  const target = findName(name);
  if (target === undefined) {
    const cause = 'there is no namespace of that name';
    throw new VdeError({
      code: 'ENOENT',
      subject: `--enter ${name}`,
      cause,
      remedy: 'vdens --list shows those there are',
    });
  }
  const { enter } = await import('../netns/enter.js');
  return exitStatus(await enter(target, commandOr(command)));
}

async function list(json: boolean): Promise<number> {
  const { listNames } = await import('../netns/names.js');
  const all = listNames();
  const lines = json
    ? JSON.stringify(all, undefined, 2)
    : all
        .map(({ name, pid, interfaces, command }) =>
          [name, pid, interfaces.map((one) => `${one.name}=${one.locator}`).join(',') || '-', command.join(' ')].join(
            '\t',
          ),
        )
        .join('\n');
  if (lines !== '') writeSync(1, `${lines}\n`);
  return 0;
}
