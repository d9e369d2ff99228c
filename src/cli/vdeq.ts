/**
 * `vdeq QEMU ... -net vde[,vlan=N][,sock=SWITCH][,port=N]`: starts a QEMU that knows nothing of VDE, with a socket for
 * each end, and carries the frames between these and the switches (reference: vdeq). By a link `vdePROGRAM` it starts
 * PROGRAM.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { constants, machine } from 'node:os';
import { basename } from 'node:path';
import { registerNodeSchemes } from '../console/schemes.js';
import { FRAME_MAX } from '../frame/burst.js';
import { Cable } from '../plug/cable.js';
import { DatagramPlug } from '../plug/datagram.js';
import { openPlug } from '../plug/registry.js';
import type { Descriptor } from '../sys/descriptor.js';
import { execError, VdeError } from '../sys/errors.js';
import { SOCK_DGRAM, socketPair } from '../sys/socket.js';
import { complain, onSignals, runCommand } from './command.js';
import { daemonize } from './daemon.js';
import { usageError } from './getopt.js';
import { isInstalled } from './lan.js';
import { type CommandPage, printVersion } from './page.js';
import { type QemuEnd, readCallName, readQemuLine, syntaxOf } from './vdeq-line.js';

/** What shells report for a command that cannot be executed. */
const EXIT_NOT_EXECUTED = 127;
/** Of a QEMU that is asked for its version, in ms and bytes. */
const VERSION_MS = 20_000;
const VERSION_MAX = 1 << 20;
/** First descriptor for QEMU. */
const FIRST_FD = 3;

/** What the command says about itself under a name. Its options are QEMU's. */
export function pageOf(name: string): CommandPage {
  const { program } = readCallName(name);
  const line = program === undefined ? `${name} PROGRAM` : name;
  const usage = `Usage: ${line} [--mod MODE] QEMU-OPTION... -net vde[,vlan=N][,sock=SWITCH][,port=N] ...
       ${line} [--mod MODE] [-sock SWITCH[,SWITCH]...] QEMU-OPTION...

Starts ${program ?? 'a QEMU'} with network interfaces on switches; -net vde may be given several times.
No SWITCH means the default one.

`;
  const summary = `start ${program ?? 'a QEMU'} with network interfaces on virtual switches`;
  return { name, summary, usage, options: [], operands: program === undefined ? 'command' : 'file' };
}

/** The launcher's entry point. @param name that the command was called by. */
export function main(name = basename(process.argv[1] ?? 'vdeq')): void {
  registerNodeSchemes();
  void runCommand(name, (args) => vdeq(name, args), { usage: 255 });
}

async function vdeq(name: string, args: string[]): Promise<number> {
  const call = readCallName(name);
  const [program, ...rest] = call.program === undefined ? args : [installed(call.program), ...args];
  if (call.program === undefined && program === '--version') return printVersion(pageOf(name));
  if (program === undefined || [program, ...rest].some((word) => /^--?h(elp)?$/.test(word))) {
    return help(name, call.program && program);
  }
  if (call.program === undefined && program.startsWith('-')) {
    throw usageError(program, 'unknown option', `${name} is followed by the program to start`);
  }
  // In the background the second process says it again: once is enough.
  const daemon = await daemonize(rest.some((word) => /^--?daemonize$/.test(word)));
  if (!daemon.background)
    writeSync(2, `NOTE: QEMU has "-netdev vde" and "-net vde" of its own: ${name} is for those that lack it.\n`);
  const wires: Wire[] = [];
  const cleanUp = () => {
    for (const wire of wires) wire.close();
  };
  let kill = (_: NodeJS.Signals): unknown => undefined;
  onSignals(async (signal) => {
    await kill(signal);
    cleanUp();
  });
  try {
    if (rest.length === 1 && /^--?version$/.test(rest[0])) {
      const { status, error } = spawnSync(program, rest, { stdio: 'inherit' });
      if (error !== undefined) throw error;
      return status ?? 1;
    }
    const line = readQemuLine(program, rest, call.old ? 'tun-fd' : syntaxOf(askVersion(program)));
    if (line.merged) complain('the switches will be connected to one interface of the guest: use -net vde for several');
    for (const end of line.ends) wires.push(await Wire.open(end, line.mode));
    const descriptors = wires.map((_, i) => FIRST_FD + i);
    const child = spawn(program, line.build(descriptors), {
      stdio: ['inherit', 'inherit', 'inherit', ...wires.map(({ guest }) => guest.fd)],
    });
    const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    kill = (signal) => {
      child.kill(signal);
      return ended;
    };
    const [status, signal] = await ended.finally(() => {
      for (const { guest } of wires) guest.close();
    });
    const result = status ?? 128 + constants.signals[signal ?? 'SIGKILL'];
    if (!line.daemonize || result !== 0) return result;
    // QEMU lives on in the background, and so do its cables.
    daemon.ready();
    await Promise.all(wires.map(({ ended: over }) => over));
    return 0;
  } catch (error) {
    cleanUp();
    if (error instanceof VdeError) {
      if (daemon.background) return daemon.fail(error);
      throw error;
    }
    if (program !== '' && !(error as NodeJS.ErrnoException).syscall?.startsWith('spawn')) throw error;
    return daemon.fail(execError(error, program, 'the program cannot be run'), EXIT_NOT_EXECUTED);
  } finally {
    cleanUp();
  }
}

/** The program of a name. `qemu` has had the machine in its name since QEMU 1.0: that of this machine stands in for it. */
function installed(program: string): string {
  return program === 'qemu' && !isInstalled(program) ? `qemu-system-${machine()}` : program;
}

/** A switch's port, the socket before QEMU, and what joins them. */
class Wire {
  private constructor(
    /** QEMU's side; closed once QEMU has it. */
    readonly guest: Descriptor,
    private readonly cable: Cable,
  ) {}

  static async open({ switchName, port }: QemuEnd, mode: number | undefined): Promise<Wire> {
    const plug = await openPlug(switchName, { description: 'vdeqemu', port, mode, onNotice: complain });
    const [own, guest] = socketPair(SOCK_DGRAM, 'socket for QEMU');
    const cable = new Cable(plug, new DatagramPlug(own, { name: 'QEMU', maxFrame: FRAME_MAX }));
    void cable.ended.then(({ lost, error }) => {
      if (lost === plug) complain(error?.message ?? `${plug.name}: the switch has left`);
      cable.close();
    });
    return new Wire(guest, cable);
  }

  get ended(): Promise<unknown> {
    return this.cable.ended;
  }

  close(): void {
    this.cable.close();
    this.guest.close();
  }
}

/** @throws Error of the spawn if the program cannot be run. */
function askVersion(program: string): string {
  const { stdout, stderr, error } = spawnSync(program, ['-h'], {
    encoding: 'latin1',
    timeout: VERSION_MS,
    maxBuffer: VERSION_MAX,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  if (error !== undefined && code !== 'ETIMEDOUT' && code !== 'ENOBUFS') throw error;
  return `${stdout ?? ''}${stderr ?? ''}`;
}

function help(name: string, program: string | undefined): number {
  writeSync(2, pageOf(name).usage.trimEnd().concat('\n'));
  if (program !== undefined) {
    writeSync(2, `\n${name} starts ${program}; this is what "${program} -h" says:\n\n`);
    spawnSync(program, ['-h'], { stdio: 'inherit', timeout: VERSION_MS });
  }
  return 0;
}
