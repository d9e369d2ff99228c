/** The pages of all commands; `vde` adds its own, whose subcommands have options too. */

import type { Command, Option } from 'commander';
import { HELP } from './common-options.js';
import { page as dpipe } from './dpipe.js';
import type { OptionSpec } from './getopt.js';
import type { CommandPage } from './page.js';
import { toolPage } from './plug-tool.js';
import { pageOf as unixcmdPage } from './unixcmd.js';
import { page as unixterm } from './unixterm.js';
import { page as vdeAutolink } from './vde_autolink.js';
import { tool as vdePcapplug } from './vde_pcapplug.js';
import { page as vdePlug } from './vde_plug.js';
import { tool as vdePlug2tap } from './vde_plug2tap.js';
import { page as vdeSwitch } from './vde_switch-options.js';
import { page as vdeTunctl } from './vde_tunctl.js';
import { page as vdeVxvdexd } from './vde_vxvdexd.js';
import { page as vdens } from './vdens-options.js';
import { pageOf as vdeqPage } from './vdeq.js';
import { page as vdeterm } from './vdeterm.js';

/** A subcommand of `vde`. */
export interface Subcommand extends CommandPage {
  /** The words that its operand may be, if these are known. */
  choices: readonly string[];
}

/** The page of the umbrella command. */
export interface UmbrellaPage extends CommandPage {
  subcommands: Subcommand[];
}

/** All commands, `vde` first, the others by name. */
export function allPages(umbrella: Command): [UmbrellaPage, ...CommandPage[]] {
  const others = [
    ...[dpipe, unixterm, vdeAutolink, vdePlug, vdeSwitch, vdeTunctl, vdeVxvdexd, vdens, vdeterm],
    ...[toolPage(vdePcapplug), toolPage(vdePlug2tap), unixcmdPage('unixcmd'), unixcmdPage('vdecmd')],
    ...['vdeq', 'vdekvm', 'vdeqemu'].map(vdeqPage),
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
  const names = [umbrella.name(), ...others.map(({ name }) => name)];
  return [umbrellaPage(umbrella, names), ...others];
}

function umbrellaPage(umbrella: Command, names: readonly string[]): UmbrellaPage {
  const [title, summary = title] = umbrella.description().split(': ');
  const usage = `Usage: vde COMMAND [OPTION]... [ARG]...\n\n${title}: ${summary}.\n\n`;
  const subcommands = umbrella.commands.map(
    (command): Subcommand => ({
      name: command.name(),
      summary: command.description(),
      usage: `Usage: vde ${command.name()} ${command.usage().replace('[options]', '[OPTION]...')}\n\n`,
      options: [...command.options.map(optionOf), HELP],
      operands: 'file',
      choices: command.name() === 'man' ? names : (command.registeredArguments[0]?.argChoices ?? []),
    }),
  );
  const options = [...umbrella.options.map(optionOf), HELP];
  return { name: umbrella.name(), summary, usage, options, operands: 'none', subcommands };
}

/** An option of commander's, as one of ours. */
function optionOf({ short, long, required, optional, flags, description }: Option): OptionSpec {
  return {
    name: long?.slice(2) ?? '',
    short: short?.slice(1),
    long: long === undefined ? [] : [long.slice(2)],
    arg: required ? 'required' : optional ? 'optional' : 'none',
    metavar: /[<[](.*)[>\]]/.exec(flags)?.[1]?.toUpperCase(),
    help: description,
  };
}
