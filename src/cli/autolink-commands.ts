/** The console commands of `vde_autolink` (reference: vde_autolink): every answer has a data block. */

import { answerLine, type ConsoleCommand, consoleError, isBlank } from '../console/command-table.js';
import { readScript } from '../console/script.js';
import type { Autolink, Link } from './autolink-model.js';

export const PROMPT = '\nVDEal$ ';

/** The table, in the order in which lines are matched. */
export function autolinkCommands(model: Autolink, shutdown: () => void): ConsoleCommand[] {
  const table: ConsoleCommand[] = [];
  const add = (name: string, help: string, run: ConsoleCommand['run'], args = '') =>
    table.push({ name, syntax: args, help: `${help}${args && ` [args: ${args}]`}`, data: true, run });
  add('help', 'print a summary of mgmt commands', (_, out) => {
    for (const { name, help } of table) out.push(`${`${name}:`.padEnd(13)} ${help}`);
  });
  table.push({ name: 'shutdown', syntax: '', help: 'terminate', ends: true, run: () => shutdown() });
  add('runscript', 'load a config file', (path, _, caller) => runScript(() => table, path, caller), 'PATH');
  add('showwires', 'list inserted wires', (_, out) => {
    for (const { name, command } of model.wires) out.push(`TYPE = ${name}`, `CMD = ${command}`, '');
    if (out.length === 0) out.push('no wire defined');
  });
  add('addwire', 'add a type of wire, with variables', (text) => model.addWire(...firstWord(text)), 'TYPE CMD');
  add('delwire', 'delete a type of wire', (text) => model.deleteWire(firstWord(text)[0]), 'TYPE');
  add('showlinks', 'list inserted autolinks', (_, out) => {
    for (const link of model.links) out.push(...showLink(link));
    if (out.length === 0) out.push('no autolink defined');
  });
  add('runninglinks', 'print running links', (_, out) => {
    for (const { name, running } of model.links) {
      if (running === undefined) continue;
      const { host, wire, pid } = running;
      out.push(`NAME = ${name} , RHOST = ${host.name} , WIRE = ${wire.name} , PID: ${pid}`, '');
    }
  });
  add('addlink', 'add an autolink', (text) => waiting(model.addLink(...nameAndRest(text))), 'NAME REMOTEHOSTS');
  add('dellink', 'delete an autolink', (text) => model.deleteLink(firstWord(text)[0]), 'NAME');
  add('addtypelink', 'add a type of wire to named link', (text) => model.addLinkWire(...twoWords(text)), 'NAME TYPE');
  add(
    'deltypelink',
    'delete a type of wire from named link',
    (text) => model.deleteLinkWire(...twoWords(text)),
    'NAME TYPE',
  );
  add(
    'linkonoff',
    'activate/deactivate autolink',
    (text) => {
      const [name, value] = twoWords(text);
      model.switchLink(name, Number.parseInt(value, 10) > 0);
    },
    'NAME 1/0',
  );
  add('jobsqueue', 'print status of job queue', (_, out) => {
    for (const { link, seconds } of model.jobs) out.push(`TIME: ${seconds}, ACTION: check, LINK: ${link.name}`, '');
    if (out.length === 0) out.push('jobs queue is empty');
  });
  return table;
}

function showLink({ name, port, hosts, running, alive }: Link): string[] {
  const lines = [`NAME = ${name} (PORT: ${port}${running !== undefined && alive ? ' - ACTIVE' : ''})`];
  for (const { name: host, wires } of hosts) {
    lines.push(`RHOST: ${host}`);
    if (wires.length > 0) lines.push('WIRES:', ...wires.map((wire) => `${wire.name}: ${wire.command}`), '');
  }
  return [...lines, ''];
}

function firstWord(text: string): [string, string] {
  const [, first = '', rest = ''] = /^(\S*)\s*(.*?)\s*$/.exec(text) ?? [];
  return [first, rest];
}

function nameAndRest(text: string): [string, string[]] {
  const [name, rest] = firstWord(text);
  return [name, rest.split(/\s+/).filter((word) => word !== '')];
}

function twoWords(text: string): [string, string] {
  const [name, [second, ...more]] = nameAndRest(text);
  if (second === undefined || more.length > 0) throw consoleError('EINVAL');
  return [name, second];
}

/** Lets others have their turns until a promise is settled; throws what it was rejected with. */
function* waiting(promise: Promise<void>): Generator<undefined> {
  let state: { error?: unknown } | undefined;
  promise.then(
    () => {
      state = {};
    },
    (error) => {
      state = { error };
    },
  );
  while (state === undefined) yield undefined;
  if ('error' in state) throw (state as { error: unknown }).error;
}

/** Each line of a script, and the answer to it. */
function* runScript(
  table: () => readonly ConsoleCommand[],
  path: string,
  caller: Parameters<NonNullable<ConsoleCommand['run']>>[2],
): Generator<string | undefined> {
  if (path === '') throw consoleError('ENOENT');
  // One script does not run another: they could run each other.
  if (caller.depth > 0) throw consoleError('ELOOP');
  const lines = readScript(path, caller.uid);
  caller.depth++;
  try {
    for (const line of lines) {
      yield `vde_autolink[${path}]: ${line}`;
      if (isBlank(line) || /^\s*shutdown/.test(line)) continue;
      yield* answerLine(table(), line, caller);
    }
  } finally {
    caller.depth--;
  }
}
