/** `unixterm SOCKET`: standard input to a stream socket, and the socket to standard output, as they are. */

import { connect, type Socket } from 'node:net';
import { fromNodeError } from '../sys/errors.js';
import { checkUnixPath } from '../sys/socket.js';
import { onSignals, runCommand } from './command.js';
import { HELP, VERSION } from './common-options.js';
import { type OptionSpec, parseOptions, usageError } from './getopt.js';
import { answerHelp, type CommandPage } from './page.js';

const EXIT_FAILURE = 255;
/** How long the other end may take to answer what it was sent once there is no more input, in ms of silence. */
const LAST_WORDS_MS = 2000;

type OptionName = 'help' | 'version';

/** unixterm's options. */
export const options: readonly OptionSpec<OptionName>[] = [HELP, VERSION];

export const page: CommandPage = {
  name: 'unixterm',
  summary: 'standard input and output joined to a stream socket',
  usage:
    'Usage: unixterm SOCKET\n\nSends standard input to a stream socket, and what comes from it to standard output.\n\n',
  options,
  operands: 'file',
};

/** The launcher's entry point. */
export function main(): void {
  void runCommand('unixterm', unixterm, { failure: EXIT_FAILURE });
}

async function unixterm(args: string[]): Promise<number> {
  const line = parseOptions(args, options);
  const answered = answerHelp(line, page);
  if (answered !== undefined) return answered;
  const [path] = line.operands;
  if (line.operands.length !== 1 || path === '') {
    throw usageError('unixterm', 'needs one argument, the path of a stream socket', 'unixterm /tmp/sw.mgmt');
  }
  checkUnixPath(path);
  const socket = await reach(path);
  onSignals(() => {
    socket.destroy();
  });
  await copy(socket, path);
  return 0;
}

function reach(path: string): Promise<Socket> {
  return new Promise((done, fail) => {
    const socket = connect({ path, allowHalfOpen: true });
    const refuse = (error: Error) => fail(fromNodeError(error, path, 'is a program listening there?'));
    socket.once('error', refuse);
    socket.once('connect', () => {
      socket.off('error', refuse);
      done(socket);
    });
  });
}

/** Copies both ways until the socket has ended, or falls silent after the end of the input. */
function copy(socket: Socket, path: string): Promise<void> {
  return new Promise((done, fail) => {
    const { stdin, stdout } = process;
    const finish = () => {
      stdin.destroy();
      socket.destroy();
      stdout.write('', () => done());
    };
    socket.pipe(stdout, { end: false });
    socket.once('end', finish);
    socket.once('timeout', finish);
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // It has gone while it was written to: that is its end.
      if (error.code === 'EPIPE' || error.code === 'ECONNRESET') finish();
      else fail(fromNodeError(error, path));
    });
    stdin.pipe(socket, { end: false });
    const onEnd = () => {
      socket.end();
      socket.setTimeout(LAST_WORDS_MS);
    };
    stdin.once('end', onEnd);
    stdin.once('error', onEnd);
  });
}
