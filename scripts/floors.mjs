/**
 * Who may import whom (docs/design.md, "The house"): `node scripts/floors.mjs [tree]`.
 *
 * A room under src/ imports from itself and from the floors below it; src/index.ts stands on top; bin/ imports only
 * scripts/launch.cjs; koffi is for src/sys alone; other packages must be dependencies in package.json (for the dashboard's page,
 * which is bundled, dev dependencies will do). Types count. Each offence is printed as file:line and makes the exit 1.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const FLOORS = [
  'sys',
  'frame',
  'plug',
  'switch',
  'console',
  'wire',
  'stack',
  'gateway',
  'crypto',
  'netns',
  'lab',
  'web',
  'cli',
];
const SOURCES = /\.([cm]?[jt]s|svelte)$/;

const tree = resolve(process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url)));
const manifest = JSON.parse(readFileSync(join(tree, 'package.json'), 'utf8'));
const dependencies = new Set(Object.keys(manifest.dependencies ?? {}));
const bundled = new Set([...dependencies, ...Object.keys(manifest.devDependencies ?? {})]);

/** Imports of a source text: static, side effect, type, re-export, dynamic, require and import.meta.resolve. */
const IMPORTS = [
  /(?:^|[;{}>\n])[ \t]*(?:import|export)\b(?:[\w$\s{},*]|'[^'\n]*'(?=\s+as)|"[^"\n]*"(?=\s+as))*?\bfrom\s*(['"])([^'"\n]+)\1/g,
  /(?:^|[;{}>\n])[ \t]*import\s*(['"])([^'"\n]+)\1/g,
  /(?:\bimport|\brequire|\bimport\.meta\.resolve|\brequire\.resolve)\s*\(\s*(['"`])([^'"`\n$]+)\1/g,
];

/**
 * Blanks out comments and the text of many-line templates (both may quote an import), keeping every line feed.
 * Strings are copied; a template's `${}` parts are code.
 */
function code(text) {
  const blank = (part) => part.replace(/[^\n]/g, ' ');
  const token =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`[^`\\\n$]*`|`|[{}]|<!--[\s\S]*?-->/g;
  let out = '';
  let at = 0;
  // For each open `${`, the depth of braces inside it.
  const holes = [];
  const template = (from) => {
    const end = /(?:\\[\s\S]|\$(?!\{)|[^`\\$])*(`|\$\{|$)/y;
    end.lastIndex = from;
    const [all, how] = end.exec(text);
    out += blank(all);
    if (how === '${') holes.push(0);
    at = from + all.length;
  };
  for (;;) {
    token.lastIndex = at;
    const found = token.exec(text);
    if (!found) return out + text.slice(at);
    const [part] = found;
    out += text.slice(at, found.index);
    at = found.index + part.length;
    if (part === '`') {
      out += ' ';
      template(at);
    } else if (part === '}' && holes.at(-1) === 0) {
      holes.pop();
      out += ' ';
      template(at);
    } else {
      if (part === '{' && holes.length > 0) holes[holes.length - 1]++;
      if (part === '}' && holes.length > 0) holes[holes.length - 1]--;
      out += /^(\/\/|\/\*|<!--)/.test(part) ? blank(part) : part;
    }
  }
}

/** The imports of a file: `{ line, target }`. */
function imports(text) {
  const plain = code(text);
  const found = IMPORTS.flatMap((pattern) => [...plain.matchAll(pattern)]);
  return found
    .map((match) => {
      const at = match.index + match[0].length - match[2].length - 1;
      return { line: plain.slice(0, at).split('\n').length, target: match[2] };
    })
    .sort((a, b) => a.line - b.line);
}

/** Why a file (relative to the tree) may not import `target`; undefined if it may. */
function offence(file, target) {
  const local = target.startsWith('.') || target.startsWith('/');
  const to = local ? relative(tree, resolve(tree, dirname(file), target)) : target;
  if (file.startsWith('bin/')) return to === 'scripts/launch.cjs' ? undefined : 'bin/ imports only scripts/launch.cjs';
  return local ? betweenRooms(file, to) : ofPackage(file, target);
}

function betweenRooms(file, to) {
  const [place, room] = to.split('/');
  if (place !== 'src') return 'src/ imports only from src/ and from packages';
  const from = floor(file.split('/')[1]);
  const target = to.split('/').length > 2 ? floor(room) : FLOORS.length;
  if (target < 0) return `there is no room src/${room}/`;
  if (target > from) {
    return target === FLOORS.length
      ? 'src/index.ts stands above all rooms'
      : `src/${FLOORS[from]}/ is below src/${room}/: a room imports only from its own and from floors below`;
  }
  return undefined;
}

/** The floor of a room, -1 for none; that of src/index.ts is above them all. */
function floor(name) {
  return name === 'index.ts' ? FLOORS.length : FLOORS.indexOf(name);
}

function ofPackage(file, target) {
  if (target.startsWith('node:') || builtinModules.includes(target)) return undefined;
  const name = target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');
  if (name === 'koffi' && !file.startsWith('src/sys/')) return 'only src/sys/ imports koffi';
  const allowed = file.startsWith('src/web/page/') ? bundled : dependencies;
  return allowed.has(name) ? undefined : `${name} is not among the dependencies in package.json`;
}

function files(dir) {
  if (!existsSync(join(tree, dir))) return [];
  return readdirSync(join(tree, dir), { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]))
    .sort();
}

const offences = [];
for (const file of [...files('src').filter((name) => SOURCES.test(name)), ...files('bin')]) {
  const [top, second, ...deeper] = file.split('/');
  if (top === 'src' && (deeper.length > 0 ? !FLOORS.includes(second) : second !== 'index.ts')) {
    offences.push(`${file}:1: src/ holds index.ts and the rooms ${FLOORS.join(', ')} only`);
    continue;
  }
  for (const { line, target } of imports(readFileSync(join(tree, file), 'utf8'))) {
    const why = offence(file, target);
    if (why) offences.push(`${file}:${line}: ${target}: ${why}`);
  }
}
for (const line of offences) console.error(line);
if (offences.length > 0) process.exitCode = 1;
