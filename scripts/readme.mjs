/**
 * Runs the examples of the README: `node scripts/readme.mjs [file]`.
 *
 * A fenced block whose info string is `sh example` is run by `bash -e`, with our commands first in PATH; `js example`
 * and `ts example` by node, with the package importable as `vde`. Each has a fresh directory and 60 seconds. Whatever
 * an example leaves running is ended, and makes it fail: an example shows how to end things too.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { endMarked, mark } from './processes.mjs';
import { root, say, setup } from './setup.mjs';

const TIMEOUT = 60_000;

/** The marked blocks of a Markdown text: `{ line, language, text }`. */
function examples(markdown) {
  const fences = /^( *)(`{3,}|~{3,})(sh|js|ts) example[ \t]*\n([\s\S]*?)^ *\2[ \t]*$/gm;
  return [...markdown.matchAll(fences)].map((match) => {
    const [, indent, , language, body] = match;
    const line = markdown.slice(0, match.index).split('\n').length;
    // A block in a list is indented as a whole.
    const text = body.replaceAll(new RegExp(`^${indent}`, 'gm'), '');
    return { line, language, text };
  });
}

function command(language, text, dir) {
  if (language === 'sh') return ['bash', '-e', '-c', text];
  mkdirSync(join(dir, 'node_modules'));
  symlinkSync(root, join(dir, 'node_modules', 'vde'));
  const file = join(dir, language === 'ts' ? 'example.mts' : 'example.mjs');
  writeFileSync(file, text);
  const loader = language === 'ts' ? ['--import', import.meta.resolve('tsx')] : [];
  return [process.execPath, ...loader, file];
}

/** Runs an example; returns its output and why it failed, if it did. */
async function attempt({ language, text }) {
  const dir = mkdtempSync(join(tmpdir(), 'v-'));
  const own = mark();
  const env = { ...process.env, ...own, PATH: [join(root, 'bin'), process.env.PATH].join(delimiter) };
  try {
    const [program, ...args] = command(language, text, dir);
    const child = spawn(program, args, { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk;
      });
    }
    const problems = [];
    const timer = setTimeout(() => {
      problems.push(`not done in ${TIMEOUT / 1000} s`);
      void endMarked(own, 0);
    }, TIMEOUT);
    const closed = new Promise((done) => child.on('close', done));
    const status = await new Promise((done) => {
      child.on('error', (error) => done(error.message));
      child.on('exit', (code, signal) => done(signal ?? code));
    });
    clearTimeout(timer);
    if (status !== 0 && problems.length === 0) problems.push(`ended with ${status}`);
    for (const { pid, command } of await endMarked(own)) problems.push(`left running: ${pid} ${command}`);
    // Nobody holds the pipes any more, so the rest of the output is here in a moment.
    if (child.pid !== undefined) await closed;
    return { problems, output };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

try {
  setup();
  const file = resolve(process.argv[2] ?? join(root, 'README.md'));
  const found = examples(readFileSync(file, 'utf8'));
  if (found.length === 0) throw new Error(`${file} has no block marked as an example`);
  for (const example of found) {
    const { problems, output } = await attempt(example);
    if (problems.length === 0) continue;
    process.exitCode = 1;
    say(`${file}:${example.line}: an example failed: ${problems.join('; ')}`);
    process.stderr.write(`${example.text}--- its output:\n${output}\n`);
  }
  if (!process.exitCode) say(`${found.length} examples of ${file} work`);
} catch (error) {
  say(error.message);
  process.exitCode = 1;
}
