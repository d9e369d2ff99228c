/**
 * `unixcmd [-s SOCKET] [-f RCFILE] [-v] COMMAND...`: one command for a console, by the state machine in a file
 * (reference: unixcmd); under the name `vdecmd`, for a switch, with a machine of its own if there is no file.
 */

import { readFileSync, writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { fromNodeError } from '../sys/errors.js';
import { checkUnixPath } from '../sys/socket.js';
import { onSignals, runCommand } from './command.js';
import { HELP, VERSION } from './common-options.js';
import { type OptionSpec, parseOptions, usageError } from './getopt.js';
import { answerHelp, type CommandPage } from './page.js';
import { print } from './print.js';
import { type MachineChannel, parseMachine, runMachine } from './unixcmd-machine.js';

const EXIT_FAILURE = 255;

type OptionName = 'socket' | 'rcfile' | 'verbose' | 'help' | 'version';

/** unixcmd's options. */
export const options: readonly OptionSpec<OptionName>[] = [
  { name: 'socket', short: 's', arg: 'required', metavar: 'SOCKET', help: 'management socket (/var/run/NAME)' },
  { name: 'rcfile', short: 'f', arg: 'required', metavar: 'FILE', help: 'state machine (/etc/vde2/NAME)' },
  { name: 'verbose', short: 'v', arg: 'none', help: 'say which state is entered with which text' },
  HELP,
  VERSION,
];

/** What the command says about itself, under either name. */
export function pageOf(name: string): CommandPage {
  const what = name === 'vdecmd' ? 'the console of a switch' : 'a console';
  return {
    name,
    summary: `have ${what} carry out a command`,
    usage: `Usage: ${name} [OPTION]... COMMAND [ARG]...\n\nHas ${what} carry out a command.\n\n`,
    options: options.map((option) => ({ ...option, help: option.help.replace('NAME', name) })),
    operands: 'none',
  };
}

/** The machine of `vdecmd` where /etc/vde2/vdecmd is not installed: the exit status is 0, or the errno of the answer. */
const VDECMD = `TIMEOUT 5000
1 IN '$ ' 100
2 SEND '$*\\n'
5 THROW
6 IN '\\n' 100
7 IF '0000 DATA END WITH \\'.\\'' 10
8 IF '10' 20
9 GOTO 5
10 THROW
11 IN '\\n' 100
12 IF '.\\n' 5
13 COPY
14 GOTO 10
20 SKIP 1
21 RVATOI
22 SEND 'logout\\n'
23 EXITRV
100 EXIT -1
`;

/** The launcher's entry point. @param name of the command: `unixcmd` or `vdecmd`. */
export function main(name = 'unixcmd'): void {
  void runCommand(name, (args) => unixcmd(name, args), { failure: EXIT_FAILURE });
}

async function unixcmd(name: string, args: string[]): Promise<number> {
  const line = parseOptions(args, options, { mode: 'posix' });
  const answered = answerHelp(line, pageOf(name), { status: EXIT_FAILURE });
  if (answered !== undefined) return answered;
  if (line.operands.length === 0) throw usageError(name, 'there is no command to send', `${name} -s SOCKET showinfo`);
  const vdecmd = name === 'vdecmd';
  const machine = readMachine(line.value('rcfile'), `/etc/vde2/${name}`, vdecmd);
  const channel = await SocketChannel.open(line.value('socket') ?? `/var/run/${name}`);
  onSignals(() => channel.close());
  const trace = (state: number, buffer: string) => writeSync(1, `NOW ${state} parsing ${buffer}\n`);
  try {
    const { status, output } = await runMachine(
      machine,
      line.operands,
      channel,
      line.has('verbose') ? trace : undefined,
    );
    // C's program has a NUL after each line, which users of vdecmd complain about.
    print(output.map((one) => (vdecmd ? one : `${one}\0`)).join(''), 'latin1');
    return status;
  } finally {
    await channel.flush();
    channel.close();
  }
}

function readMachine(file: string | undefined, standard: string, vdecmd: boolean) {
  const path = file ?? standard;
  try {
    return parseMachine(readFileSync(path, 'latin1'), path);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (missing && vdecmd && file === undefined) return parseMachine(VDECMD, 'vdecmd');
    throw fromNodeError(error, path, 'name the file of a state machine with -f');
  }
}

/** A stream socket, character by character. */
class SocketChannel implements MachineChannel {
  #text = '';
  #at = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(private readonly socket: Socket) {
    socket.on('data', (bytes) => {
      this.#text = this.#text.slice(this.#at) + bytes.toString('latin1');
      this.#at = 0;
      this.#wake?.();
    });
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on('close', end);
    socket.on('end', end);
    socket.on('error', end);
  }

  static open(path: string): Promise<SocketChannel> {
    checkUnixPath(path);
    return new Promise((done, fail) => {
      const socket = connect({ path });
      const refuse = (error: Error) => fail(fromNodeError(error, path, 'name the management socket with -s'));
      socket.once('error', refuse);
      socket.once('connect', () => {
        socket.off('error', refuse);
        done(new SocketChannel(socket));
      });
    });
  }

  send(text: string): void {
    if (!this.#ended) this.socket.write(Buffer.from(text, 'latin1'));
  }

  async receive(ms: number): Promise<string | undefined> {
    if (this.#at >= this.#text.length && !this.#ended) {
      await new Promise<void>((done) => {
        const timer = setTimeout(done, ms);
        this.#wake = () => {
          clearTimeout(timer);
          done();
        };
      });
      this.#wake = undefined;
    }
    return this.#text[this.#at++];
  }

  /** Waits until what was sent is out. */
  flush(): Promise<void> {
    return new Promise((done) => {
      if (this.#ended || this.socket.writableLength === 0) done();
      else this.socket.write('', () => done());
    });
  }

  close(): void {
    this.socket.destroy();
  }
}
