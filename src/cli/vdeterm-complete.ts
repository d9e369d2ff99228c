/**
 * What can follow on the line of a console: commands, from its own `help`, and arguments, from what is there: ports,
 * VLANs, endpoints, debugging categories, plugins, files.
 */

import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** One command as `help` lists it. */
export interface HelpRow {
  name: string;
  syntax: string;
  help: string;
}

/** Asks the console; the lines of the answer, none if it refuses. */
export type Ask = (line: string) => Promise<string[]>;

/** How long the list of commands is taken for true, in ms: plugins add to it. */
const COMMANDS_MS = 2000;

/**
 * The commands in the answer to `help`, without the headings of menus. vde_switch has columns; wirefilter and
 * vde_autolink have `name: text`.
 */
function parseHelp(lines: readonly string[]): HelpRow[] {
  const rows: HelpRow[] = [];
  for (const line of lines) {
    const colon = /^([a-z][\w-]*):?\s+(.*)$/.exec(line);
    if (/^[a-z][\w-]*:/.test(line) && colon) {
      rows.push({ name: colon[1], syntax: /\[args: (.*)\]/.exec(line)?.[1] ?? '', help: colon[2] });
      continue;
    }
    const columns = /^(\S{1,18}|\S+)\s+(.*)$/.exec(line);
    if (!columns || !/^[a-z]/.test(line)) continue;
    const syntax = line.slice(19, 34).trim();
    if (syntax.startsWith('====')) continue;
    rows.push({ name: columns[1], syntax, help: line.slice(35).trim() });
  }
  return rows;
}

/** See the head of this file. */
export class Completer {
  #rows: HelpRow[] = [];
  #asked = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly ask: Ask,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Readline's completer: what can stand in place of the last word, and that word. */
  async complete(line: string): Promise<[string[], string]> {
    const text = line.trimStart();
    const words = text.split(/\s+/);
    const last = words.at(-1) ?? '';
    const rows = await this.#commands();
    const candidates =
      words.length === 1
        ? rows.map(({ name }) => name)
        : await this.#candidates(
            rows.find(({ name }) => name === words[0]),
            words,
            last,
          );
    const hits = [...new Set(candidates)].filter((one) => one.startsWith(last));
    // A word that is complete gets its blank, except a directory.
    return [hits.length === 1 && !hits[0].endsWith('/') ? [`${hits[0]} `] : hits, last];
  }

  async #commands(): Promise<HelpRow[]> {
    if (this.now() - this.#asked > COMMANDS_MS) {
      this.#rows = parseHelp(await this.ask('help'));
      this.#asked = this.now();
    }
    return this.#rows;
  }

  async #candidates(row: HelpRow | undefined, words: readonly string[], last: string): Promise<string[]> {
    if (row === undefined) return [];
    const place = words.length - 2;
    const { name } = row;
    if (name === 'help') return place === 0 ? this.#rows.map((one) => one.name) : [];
    if (name === 'load' || name === 'runscript') return place === 0 ? files(last) : [];
    if (name === 'debug/add' || name === 'debug/del') return place === 0 ? this.#firstWords('debug/list') : [];
    if (name === 'plugin/del') return place === 0 ? this.#firstWords('plugin/list') : [];
    const word = row.syntax.replace(/[[\]]/g, '').split(/\s+/)[place] ?? '';
    const menu = name.split('/')[0];
    if (/^[01]\/[01]$/.test(word)) return ['0', '1'];
    if (word === 'VLAN' || (word === 'N' && (menu === 'vlan' || menu === 'fstp'))) {
      return /create/.test(name) ? [] : this.#numbers('vlan/allprint', /^VLAN (\d+)/);
    }
    if (word === 'PORT' || (word === 'N' && menu === 'port')) {
      return /create|numports/.test(name) ? [] : this.#numbers('port/allprint', /^Port (\d+)/);
    }
    if (word === 'ID') return this.#numbers(`port/allprint ${words[1]}`, /endpoint ID (\d+)/);
    return [];
  }

  async #numbers(command: string, pattern: RegExp): Promise<string[]> {
    const lines = await this.ask(command);
    return lines.flatMap((line) => {
      const found = pattern.exec(line);
      return found ? [String(Number(found[1]))] : [];
    });
  }

  async #firstWords(command: string): Promise<string[]> {
    const lines = await this.ask(command);
    return lines.map((line) => line.split(/\s/)[0]).filter((word) => /^[a-z]/.test(word));
  }
}

/** Files and directories whose paths begin so. */
function files(begin: string): string[] {
  const directory = begin.endsWith('/') ? begin : dirname(begin);
  const shown = begin.includes('/') ? (path: string) => path : basename;
  try {
    return readdirSync(directory, { withFileTypes: true }).map(
      (entry) => shown(join(directory, entry.name)) + (entry.isDirectory() ? '/' : ''),
    );
  } catch {
    return [];
  }
}
