/** `vde_tunctl`: makes tun and tap interfaces that stay, for a user, and removes them (reference: vde_tunctl). */

import { writeSync } from 'node:fs';
import { setInterface, TUN_DEVICE } from '../sys/tap-settings.js';
import { groupId, userId } from '../sys/users.js';
import { runCommand } from './command.js';
import { HELP, VERSION } from './common-options.js';
import { type OptionSpec, parseOptions, usageError } from './getopt.js';
import { answerHelp, type CommandPage } from './page.js';

type OptionName = 'brief' | 'delete' | 'clone' | 'group' | 'tun' | 'name' | 'owner' | 'help' | 'version';

/** vde_tunctl's options. */
export const options: readonly OptionSpec<OptionName>[] = [
  { name: 'brief', short: 'b', arg: 'none', help: 'print the name of the interface only' },
  { name: 'delete', short: 'd', arg: 'required', metavar: 'NAME', help: 'remove an interface' },
  { name: 'clone', short: 'f', arg: 'required', metavar: 'DEVICE', help: `the clone device (${TUN_DEVICE})` },
  { name: 'group', short: 'g', arg: 'required', metavar: 'GROUP', help: 'group whose members may open it' },
  { name: 'tun', short: 'n', arg: 'none', help: 'a tun interface, also if its name does not begin with tun' },
  { name: 'name', short: 't', arg: 'required', metavar: 'NAME', help: 'its name (tapN, tunN)' },
  { name: 'owner', short: 'u', arg: 'required', metavar: 'USER', help: 'user who may open it (you)' },
  HELP,
  VERSION,
];

const USAGE = `Usage: vde_tunctl [-b] [-u USER] [-g GROUP] [-n] [-t NAME] [-f DEVICE]
       vde_tunctl -d NAME [-f DEVICE]

Makes an interface that stays until it is removed, or removes it.

`;

export const page: CommandPage = {
  ...{ name: 'vde_tunctl', summary: 'make and remove tun and tap interfaces that stay', usage: USAGE, options },
  operands: 'none',
};

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vde_tunctl', vdeTunctl);
}

function vdeTunctl(args: string[]): number {
  const line = parseOptions(args, options);
  const answered = answerHelp(line, page, { to: 2, status: 1 });
  if (answered !== undefined) return answered;
  if (line.operands.length > 0) {
    throw usageError(`"${line.operands[0]}"`, 'vde_tunctl takes options only', 'the name goes after -t or -d');
  }
  const device = line.value('clone');
  const removed = line.value('delete');
  if (removed !== undefined) {
    setInterface(removed, kindOf(removed, line.has('tun')), { persistent: false }, device);
    writeSync(1, `Set '${removed}' nonpersistent\n`);
    return 0;
  }
  const kind = kindOf(line.value('name') ?? '', line.has('tun'));
  const owner = ownerNumber(line.value('owner'));
  const group = groupNumber(line.value('group'));
  const name = setInterface(line.value('name') ?? `${kind}%d`, kind, { persistent: true, owner, group }, device);
  const groupText = group === undefined ? '' : ` gid ${group}`;
  writeSync(1, line.has('brief') ? `${name}\n` : `Set '${name}' persistent and owned by uid ${owner}${groupText}\n`);
  return 0;
}

function kindOf(name: string, tun: boolean): 'tun' | 'tap' {
  return tun || name.startsWith('tun') ? 'tun' : 'tap';
}

function ownerNumber(user: string | undefined): number {
  if (user === undefined) return process.geteuid?.() ?? 0;
  const uid = userId(user) ?? idNumber(user);
  if (uid === undefined) throw usageError('-u', `'${user}' is neither a username nor a numeric uid`);
  return uid;
}

function groupNumber(group: string | undefined): number | undefined {
  if (group === undefined) return undefined;
  const gid = groupId(group) ?? idNumber(group);
  if (gid === undefined) throw usageError('-g', `'${group}' is neither the name of a group nor a numeric gid`);
  return gid;
}

function idNumber(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff ? Number(text) : undefined;
}
