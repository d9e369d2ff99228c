/** Manual pages: what a command says about itself, in the language of man(7). */

import type { OptionSpec } from './getopt.js';
import type { CommandPage } from './page.js';
import type { UmbrellaPage } from './pages.js';

/** A section that is added to a page: a heading, and paragraphs with a head each. */
export interface ManSection {
  heading: string;
  entries: { head: string; lines: readonly string[] }[];
}

/**
 * The page as groff(1) and mandoc(1) read it.
 * @param others names of the commands to see also.
 */
export function manPage(
  page: CommandPage | UmbrellaPage,
  version: string,
  others: readonly string[],
  sections: readonly ManSection[] = [],
): string {
  const { name, summary, options } = page;
  const { synopsis, text } = splitUsage(page.usage);
  const see = others.filter((other) => other !== name);
  const blocks = [
    `.TH ${name.toUpperCase()} 1 "" "vde ${version}" "Virtual Distributed Ethernet"`,
    `.SH NAME\n${name} \\- ${roff(summary)}`,
    `.SH SYNOPSIS\n${verbatim(synopsis)}`,
    `.SH DESCRIPTION\n${text.map(paragraph).join('\n.PP\n')}`,
    ...(options.length > 0 ? [`.SH OPTIONS\n${options.map(optionEntry).join('\n')}`] : []),
    ...('subcommands' in page ? [`.SH COMMANDS\n${page.subcommands.map(subcommandEntry).join('\n')}`] : []),
    ...sections.map(
      ({ heading, entries }) =>
        `.SH ${heading}\n${entries.map(({ head, lines }) => tagged(bold(head), lines.map(line).join('\n.br\n'))).join('\n')}`,
    ),
    `.SH SEE ALSO\n${see.map((other) => `.BR ${roff(other)} (1)`).join(' ,\n')}`,
  ];
  return `${blocks.join('\n')}\n`;
}

/** Takes a usage text apart: its first lines, and its paragraphs. */
function splitUsage(usage: string): { synopsis: string[]; text: string[][] } {
  const [head, ...rest] = usage.trimEnd().split('\n\n');
  return {
    synopsis: head.split('\n').map((one) => one.replace(/^(Usage:| {6}) /, '')),
    text: rest.map((block) => block.split('\n')),
  };
}

/** Paragraphs are filled, unless they are indented or their lines are what each is. */
function paragraph(lines: string[]): string {
  return lines.some((one) => one.startsWith(' ')) ? verbatim(lines) : lines.map(line).join('\n');
}

function verbatim(lines: readonly string[]): string {
  return ['.nf', ...lines.map(line), '.fi'].join('\n');
}

function tagged(head: string, text: string): string {
  return `.TP\n${head}\n${text}`;
}

function optionEntry({ short, long = [], arg, metavar = 'VALUE', help }: OptionSpec): string {
  const names = [...(short ? [`-${short}`] : []), ...long.map((name) => `--${name}`)].map(bold).join(', ');
  const value = `\\fI${roff(metavar)}\\fR`;
  const equals = long.length > 0 ? '=' : '';
  const suffix = arg === 'required' ? ` ${value}` : arg === 'optional' ? `[${equals}${value}]` : '';
  return tagged(names + suffix, line(help));
}

function subcommandEntry({ name, usage, summary, options }: UmbrellaPage['subcommands'][number]): string {
  const rest = splitUsage(usage).synopsis[0].slice(`vde ${name} `.length);
  const inner = options.length > 0 ? `\n.RS\n${options.map(optionEntry).join('\n')}\n.RE` : '';
  return tagged(`${bold(`vde ${name}`)} ${roff(rest)}`, line(summary) + inner);
}

function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

/** A line of text that is not taken for a request. */
function line(text: string): string {
  return /^[.']/.test(text) ? `\\&${roff(text)}` : roff(text);
}

const SPECIAL: Readonly<Record<string, string>> = {
  ...{ '\\': '\\e', '-': '\\-', "'": '\\(aq', '`': '\\(ga', '^': '\\(ha', '~': '\\(ti', '"': '\\(dq' },
};

/** Text as roff has to be told it: each character stands for itself. */
function roff(text: string): string {
  return text
    .replace(/[\\\-'`^~"]/g, (char) => SPECIAL[char])
    .replace(/[^\x00-\x7f]/gu, (char) => `\\[u${char.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}]`);
}
