/** `vde man` and `vde completion`: manual pages and shell completion, made from the option tables of all commands. */

import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import type { Command } from 'commander';
import { registerNodeSchemes } from '../console/schemes.js';
import { version } from '../console/version.js';
import { registerCryptoSchemes } from '../crypto/schemes.js';
import { listSchemes, schemeNames } from '../plug/registry.js';
import { describeScheme } from '../plug/scheme.js';
import { nearestName } from '../sys/nearest.js';
import { completionScript, type Shell } from './completion.js';
import { usageError } from './getopt.js';
import { type ManSection, manPage } from './man-page.js';
import { helpText } from './page.js';
import { allPages } from './pages.js';

/** The manual page of each command, by its name. */
export async function manPages(umbrella: Command): Promise<Map<string, string>> {
  const pages = allPages(umbrella);
  const names = pages.map(({ name }) => name);
  const locators = [await locatorSection()];
  return new Map(
    pages.map((page) => [page.name, manPage(page, version, names, page.operands === 'locator' ? locators : [])]),
  );
}

async function locatorSection(): Promise<ManSection> {
  registerNodeSchemes();
  registerCryptoSchemes();
  const entries = (await listSchemes()).map((scheme) => ({
    head: `${scheme.name}://${scheme.syntax}`,
    lines: describeScheme(scheme),
  }));
  return { heading: 'LOCATORS', entries };
}

/**
 * Shows the manual page of a command: on a terminal by man(1), otherwise its source. Without a name, says what there is.
 * @throws VdeError `EUSAGE` for a command that there is not.
 */
export async function man(umbrella: Command, name: string | undefined): Promise<number> {
  const pages = allPages(umbrella);
  if (name === undefined) {
    const width = Math.max(...pages.map((page) => page.name.length)) + 2;
    print(pages.map((page) => `${page.name.padEnd(width)}${page.summary}\n`).join(''));
    return 0;
  }
  const page = pages.find((one) => one.name === name);
  if (page === undefined) {
    const guess = nearestName(
      name,
      pages.map((one) => one.name),
    );
    throw usageError(`man ${name}`, 'no such command', guess && `did you mean ${guess}?`);
  }
  const source = (await manPages(umbrella)).get(name) as string;
  if (process.stdout.isTTY !== true) {
    print(source);
    return 0;
  }
  const { status, error } = spawnSync('man', ['-l', '-'], { input: source, stdio: ['pipe', 'inherit', 'inherit'] });
  if (error === undefined) return status ?? 1;
  // There is no man(1).
  print(helpText(page));
  return 0;
}

/** Prints the completion script for a shell. */
export function completion(umbrella: Command, shell: Shell): number {
  registerNodeSchemes();
  registerCryptoSchemes();
  print(completionScript(shell, allPages(umbrella), schemeNames()));
  return 0;
}

function print(text: string): void {
  const bytes = Buffer.from(text);
  for (let sent = 0; sent < bytes.length; ) sent += writeSync(1, bytes, sent);
}
