/**
 * The command line of `vdeq`: which switches a QEMU line names, and what the line becomes (reference: vdeq). Pure.
 *
 * Three generations of QEMU are told apart by the version in `PROGRAM -h`: the first takes `-tun-fd N`, those up to 2.x
 * `-net tap,vlan=N,fd=N`, and those since 3.0, which have no such vlans and want a real tap there, `-net socket,fd=N`.
 */

import { usageError } from './getopt.js';
import { octalMode } from './option-values.js';

/** How a QEMU takes the descriptor of an end. */
export type Syntax = 'tun-fd' | 'tap' | 'socket';

/** One end that QEMU is to have. */
export interface QemuEnd {
  /** Directory of the switch or locator; empty: the default one. */
  switchName: string;
  port: number | undefined;
  /** QEMU's, not of 802.1Q. */
  vlan: number | undefined;
}

export interface QemuLine {
  program: string;
  ends: QemuEnd[];
  /** Permissions of the ends' sockets. */
  mode: number | undefined;
  /** Whether the user wants QEMU in the background. */
  daemonize: boolean;
  /** The arguments for QEMU, given the descriptors of the ends. */
  build: (descriptors: readonly number[]) => string[];
  /** Whether several switches came by one `-sock`, so that they all are one interface to the guest. */
  merged: boolean;
}

/** What is known from the name that the command was called by. */
export interface CallName {
  /** The program, if it is in the name: `vdeqemu` starts `qemu`. */
  program: string | undefined;
  /** `vdeo...`: the oldest syntax. */
  old: boolean;
}

/** Takes a name apart: `vdeq`, `vdeoq`, `vdePROGRAM`, `vdeoPROGRAM`. */
export function readCallName(name: string): CallName {
  const old = name.startsWith('vdeo');
  const rest = name.slice(old ? 4 : 3);
  return { program: rest === 'q' || rest === '' ? undefined : rest, old };
}

/** Which syntax the QEMU takes that says `text` for `-h`. */
export function syntaxOf(text: string): Syntax {
  const version = /version (\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (!version) return 'tun-fd';
  const [major, minor, patch] = version.slice(1).map((part) => Number(part ?? 0));
  if (major >= 3) return 'socket';
  return major > 0 || minor >= 8 ? 'tap' : minor === 7 && patch > 2 ? 'tap' : 'tun-fd';
}

/**
 * Reads QEMU's line.
 * @throws VdeError `EUSAGE` for a parameter of `-net vde` that is none, or a value that is no number.
 */
export function readQemuLine(program: string, args: readonly string[], syntax: Syntax): QemuLine {
  const ends: QemuEnd[] = [];
  /** Arguments as given; a number stands for the end of that index, whose options take its place. */
  const rest: (string | number)[] = [];
  let named: string[] = [];
  let mode: number | undefined;
  for (let i = 0; i < args.length; i++) {
    const word = args[i];
    const next = args[i + 1];
    const net = word === '-net' || word === '--net';
    if (/^--?mod$/.test(word) && next !== undefined) {
      mode = octalMode(word, next);
      i++;
    } else if (/^--?(sock|vdesock|unix)$/.test(word) && next !== undefined) {
      named = next.split(',');
      i++;
    } else if (syntax !== 'tun-fd' && net && next !== undefined && /^vde(,|$)/.test(next)) {
      rest.push(ends.length);
      ends.push(readNet(next));
      i++;
    } else rest.push(word);
  }
  const bySock = ends.length === 0 || named.length > 0;
  const first = ends.length;
  if (bySock) {
    for (const switchName of named.length > 0 ? named : ['']) {
      ends.push({ switchName, port: undefined, vlan: undefined });
    }
  }
  const option = (i: number, fd: number): string[] => {
    const { vlan } = ends[i];
    if (syntax === 'tun-fd') return ['-tun-fd', String(fd)];
    if (syntax === 'tap') return ['-net', `tap,vlan=${vlan ?? 0},fd=${fd}`];
    return ['-net', `socket,${vlan === undefined ? '' : `vlan=${vlan},`}fd=${fd}`];
  };
  const build = (descriptors: readonly number[]): string[] => {
    const leading = bySock ? ends.slice(first).flatMap((_, i) => option(first + i, descriptors[first + i])) : [];
    const card = !bySock ? [] : syntax === 'tun-fd' ? ['-nics', String(ends.length)] : ['-net', 'nic'];
    return [
      ...leading,
      ...card,
      ...rest.flatMap((part) => (typeof part === 'string' ? [part] : option(part, descriptors[part]))),
    ];
  };
  const daemonize = /^--?daemonize$/;
  return {
    program,
    ends,
    mode,
    daemonize: args.some((word) => daemonize.test(word)),
    build,
    merged: syntax !== 'tun-fd' && named.length > 1,
  };
}

function readNet(text: string): QemuEnd {
  const end: QemuEnd = { switchName: '', port: undefined, vlan: undefined };
  for (const part of text.split(',').slice(1)) {
    const [key, value = ''] = splitOnce(part);
    if (key === 'sock') end.switchName = value;
    else if ((key === 'port' || key === 'vlan') && /^\d{1,5}$/.test(value)) end[key] = Number(value);
    else {
      throw usageError('-net vde', `unknown parameter in argument ${part}`, 'there are vlan=N, sock=SWITCH and port=N');
    }
  }
  return end;
}

function splitOnce(text: string): string[] {
  const at = text.indexOf('=');
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
