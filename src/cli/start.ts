/**
 * `vde start`, which `npm start` runs: a network to see and use. It is a switch and a second host; on a terminal the user
 * gets a shell in a host of her own beside it, without one that host tries out the network by itself, and ends.
 *
 * Where there can be no network namespaces, the switch is shown alone: with its console on a terminal, else by two ends
 * that exchange frames.
 */

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerLine, type Caller } from '../console/command-table.js';
import { type ConsoleTarget, switchConsole } from '../console/switch-commands.js';
import { startTerminal } from '../console/terminal.js';
import { version } from '../console/version.js';
import { parseMac } from '../frame/mac.js';
import { type End, open } from '../plug/end.js';
import { vdeLocator } from '../plug/vde.js';
import { SwitchService } from '../switch/service.js';
import { VdeError } from '../sys/errors.js';
import { complain, onSignals } from './command.js';
import { Lan } from './lan.js';

/** Frames that the demonstration sends each way. */
const FRAMES = 20_000;
const FRAME_SIZE = 1514;
/** EtherType for local experiments (IEEE 802, 9.2.4). */
const EXPERIMENTAL = 0x88b5;
const DIRECTORY_TRIES = 10;

export interface StartOptions {
  directory?: string;
  /** Whether somebody is there to use it. */
  interactive: boolean;
}

/** Runs the network until its user or the demonstration ends it. Returns the exit status. */
export async function start({ directory, interactive }: StartOptions): Promise<number> {
  const service = directory === undefined ? openSomewhere() : openService(directory);
  const lan = new Lan(service.directory);
  const close = async () => {
    await lan.close();
    service.close();
  };
  onSignals(close);
  try {
    try {
      await lan.startNeighbour();
    } catch (error) {
      if (!(error instanceof VdeError)) throw error;
      say(`No network namespaces here: ${error.reason}\nSo this is the switch alone.\n`);
      return interactive ? await serve(service) : await demonstrate(service);
    }
    return interactive ? await enter(service, lan) : await tryOut(service, lan);
  } finally {
    await close();
  }
}

/** A shell in a host on the network. */
async function enter({ directory }: SwitchService, lan: Lan): Promise<number> {
  say(`A virtual LAN: a switch in ${directory}, a neighbour, and you in a network namespace of your own.

  ping ${lan.neighbourAddress}                the neighbour${lan.hasIperf ? `\n  iperf3 -c ${lan.neighbourAddress}           how fast it is` : ''}
  ip addr                      your interface is vde0

More can plug in from other terminals:

${plugLines(directory)}
Ctrl-D ends the network.
`);
  return lan.shell();
}

/** What a user would try first, and what came of it. */
async function tryOut(service: SwitchService, lan: Lan): Promise<number> {
  say(`switch     ${service.directory} is up (no terminal: a demonstration)
neighbour  ${lan.neighbourAddress}, a network namespace
lab        ${lan.hostAddress}, another one, tries it out:\n`);
  const { output, status } = await lan.tryOut();
  const lines = output.split('\n');
  const told = lines.filter((line) => /packets transmitted|^rtt|sender|receiver/.test(line));
  say(told.map((line) => `  ${line}`).join('\n'));
  if (!lan.hasIperf) say('  (iperf3 is not installed: no throughput)');
  showTables(service);
  return status;
}

function openService(directory: string): SwitchService {
  return new SwitchService(directory, { log: complain });
}

/** A directory of this user's; the next name if a switch runs there already. */
function openSomewhere(): SwitchService {
  const base = join(tmpdir(), `vde-${process.getuid?.() ?? 0}`);
  for (let n = 1; ; n++) {
    try {
      return openService(n === 1 ? base : `${base}-${n}`);
    } catch (error) {
      if (!(error instanceof VdeError) || error.code !== 'EADDRINUSE' || n === DIRECTORY_TRIES) throw error;
    }
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Lines that plug things into a switch. */
function plugLines(directory: string): string {
  return `  bin/vdens --ip 10.0.0.3/24 vde://${directory}             another host
  bin/vde_plug ${directory} tap://tap0                      a tap interface of the kernel
  bin/dpipe bin/vde_plug ${directory} = ssh HOST vde_plug    a switch on another machine
  qemu-system-x86_64 ... -nic vde,sock=${directory}         a virtual machine
`;
}

async function serve(service: SwitchService): Promise<number> {
  const { directory } = service;
  say(`A switch is running in ${directory}. Plug into it from other terminals:

${plugLines(directory)}
Commands: port/print, hash/print, showinfo, help, shutdown. Ctrl-D ends the switch.`);
  return new Promise((done) => {
    const stop = startTerminal(switchConsole(consoleTarget(service, () => finish())).table, () => finish());
    const finish = () => {
      stop();
      done(0);
    };
    process.stdout.write('\nvde$ ');
  });
}

function consoleTarget(service: SwitchService, shutdown: () => void): ConsoleTarget {
  const mac = parseMac('00:ff:00:00:00:01') as Uint8Array;
  return { version, service, mac, hashSize: 128, management: undefined, shutdown };
}

/** Two stations plugged into the switch exchange frames, and what came of it is told. */
async function demonstrate(service: SwitchService): Promise<number> {
  const locator = vdeLocator(service.directory);
  say(`switch   ${service.directory} is up (no terminal: a demonstration)`);
  const [alice, bob] = await Promise.all([
    open(locator, { description: 'alice' }),
    open(locator, { description: 'bob' }),
  ]);
  const toBob = frame('02:00:00:00:00:0b', '02:00:00:00:00:0a');
  const toAlice = frame('02:00:00:00:00:0a', '02:00:00:00:00:0b');
  say('alice    plugged in\nbob      plugged in');
  const begin = performance.now();
  const received = await Promise.all([exchange(alice, toBob), exchange(bob, toAlice)]);
  const seconds = (performance.now() - begin) / 1000;
  const total = received[0] + received[1];
  say(
    `frames   ${total} of ${2 * FRAMES} delivered in ${seconds.toFixed(2)} s: ` +
      `${Math.round(total / seconds)} frames/s, ${((total * FRAME_SIZE * 8) / seconds / 1e9).toFixed(2)} Gbit/s`,
  );
  showTables(service);
  alice.close();
  bob.close();
  return total === 2 * FRAMES ? 0 : 1;
}

/** What the console shows of ports and addresses. */
function showTables(service: SwitchService): void {
  const { table } = switchConsole(consoleTarget(service, () => {}));
  const caller: Caller = { uid: undefined, debug: undefined, depth: 0, inBlock: false };
  for (const command of ['port/print', 'hash/print']) {
    say(`\nvde$ ${command}`);
    const lines = [...answerLine(table(), command, caller)].filter((line) => line !== undefined);
    say(lines.slice(1, -2).join('\n'));
  }
}

function frame(destination: string, source: string): Buffer {
  const bytes = Buffer.alloc(FRAME_SIZE);
  bytes.set(parseMac(destination) as Uint8Array, 0);
  bytes.set(parseMac(source) as Uint8Array, 6);
  bytes.writeUInt16BE(EXPERIMENTAL, 12);
  return bytes;
}

/** Sends `FRAMES` frames, as fast as the end takes them, and counts those that arrive. */
async function exchange(end: End, bytes: Buffer): Promise<number> {
  let received = 0;
  const all = new Promise<void>((done) => {
    // A lost frame must not keep the demonstration waiting.
    const timer = setTimeout(done, 10_000);
    end.on('frame', () => {
      if (++received < FRAMES) return;
      clearTimeout(timer);
      done();
    });
  });
  for (let sent = 0; sent < FRAMES; sent++) {
    if (!end.send(bytes)) await new Promise((done) => end.once('drain', () => done(undefined)));
    else if (sent % 64 === 63) await new Promise((done) => setImmediate(done));
  }
  await all;
  return received;
}
