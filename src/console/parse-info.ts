/** What the `showinfo` commands, `help`, `debug/list` and `plugin/list` show, of ours and of C switches, read back. */

export interface ShownSwitch {
  version: string;
  copyright: string;
  pid: number;
  mac: string;
  /** Seconds. */
  uptime: number;
  /** The management socket; `mode` in octal. */
  management?: { path: string; mode: string };
}

/** Reads the lines of `showinfo`; undefined if they are others. */
export function parseShowinfo(lines: readonly string[]): ShownSwitch | undefined {
  const text = lines.join('\n');
  const match = /^VDE switch V\.(.*)\n(.*)\n\npid (\d+) MAC ([\da-f:]{17}) uptime (\d+)$/m.exec(text);
  if (!match) return undefined;
  const [, version, copyright, pid, mac, uptime] = match;
  const shown: ShownSwitch = { version, copyright, pid: Number(pid), mac, uptime: Number(uptime) };
  const management = /^mgmt (.*) perm 0(\d+)$/m.exec(text);
  return management ? { ...shown, management: { path: management[1], mode: management[2] } } : shown;
}

const SETTINGS = [/^(\w+)=(.*)$/, /^(ctl dir|std mode) (.*)$/, /^(.+) (-?\d+)(?: secs)?$/];

/** Reads lines of names and values, such as those of `port/showinfo` (`HUB=false`) and `hash/showinfo` (`Hash size 128`). */
export function parseSettings(lines: readonly string[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    lines.flatMap((line) => {
      const match = SETTINGS.map((pattern) => pattern.exec(line)).find((found) => found !== null);
      return match ? [[camelCase(match[1]), value(match[2])]] : [];
    }),
  );
}

function value(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?(0|[1-9]\d*)$/.test(text) ? Number(text) : text;
}

function camelCase(words: string): string {
  const [first, ...rest] = words.toLowerCase().split(' ');
  return first + rest.map((word) => word[0].toUpperCase() + word.slice(1)).join('');
}

export interface ShownCommand {
  command: string;
  syntax: string;
  help: string;
}

/** Columns of `help` (reference: management console, "Console"); a longer name pushes the others to the right. */
const NAME_WIDTH = 18;
const SYNTAX_WIDTH = 15;

/** Reads the lines of `help`; headings of menus are left out. */
export function parseHelp(lines: readonly string[]): ShownCommand[] {
  return lines.slice(2).flatMap((line) => {
    const name = Math.max(NAME_WIDTH, line.indexOf(' '));
    const syntax = line.slice(name + 1, name + 1 + SYNTAX_WIDTH).trimEnd();
    if (syntax.startsWith('===')) return [];
    return [{ command: line.slice(0, name).trimEnd(), syntax, help: line.slice(name + SYNTAX_WIDTH + 2) }];
  });
}

export interface ShownCategory {
  category: string;
  /** Number that marks its messages. */
  tag: number;
  on: boolean;
  help: string;
}

/** Reads the lines of `debug/list`. */
export function parseDebugList(lines: readonly string[]): ShownCategory[] {
  return lines.flatMap((line) => {
    const match = /^(\S+) +([0-7]{3}) +(ON|OFF) +(.*)$/.exec(line);
    if (!match) return [];
    return [{ category: match[1], tag: Number.parseInt(match[2], 8), on: match[3] === 'ON', help: match[4] }];
  });
}

/** Reads the lines of `plugin/list`. */
export function parsePlugins(lines: readonly string[]): { name: string; help: string }[] {
  return lines.slice(2).map((line) => {
    const [, name, help] = /^(\S+) +(.*)$/.exec(line) ?? ['', line, ''];
    return { name, help };
  });
}
