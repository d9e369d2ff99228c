/** A client of a management socket that speaks bytes: also half lines, floods or nothing. */

import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { cleanup, type Owner } from '../support/cleanup.js';
import { type Make, startSwitch } from '../support/network.js';
import type { Running, StartOptions } from '../support/proc.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

export const PROMPT = '\nvde$ ';

export class RawConsole {
  /** All that has come, as UTF-8. */
  text = '';
  ended = false;
  #read = 0;
  readonly #watchers = new Set<() => void>();

  constructor(readonly socket: Socket) {
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      this.text += chunk;
      this.#tell();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
      this.#tell();
    });
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** What has come since the last call, once `done` says that it is all. */
  async take(done: (text: string) => boolean, what: string, timeout = 30_000): Promise<string> {
    await new Promise<void>((good, bad) => {
      const look = () => {
        const enough = done(this.text.slice(this.#read));
        if (!enough && !this.ended) return;
        clearTimeout(timer);
        this.#watchers.delete(look);
        if (enough) good();
        else bad(new Error(`the session ended before ${what}: ${JSON.stringify(this.text.slice(this.#read))}`));
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(look);
        bad(new Error(`no ${what} after ${timeout} ms: ${JSON.stringify(this.text.slice(this.#read).slice(-500))}`));
      }, timeout);
      this.#watchers.add(look);
      look();
    });
    const text = this.text.slice(this.#read);
    this.#read = this.text.length;
    return text;
  }

  /** Everything up to and without the next prompt, which must be the last. */
  async answer(): Promise<string> {
    return (await this.take((text) => text.endsWith(PROMPT), 'prompt')).slice(0, -PROMPT.length);
  }

  /** The answer to a line. */
  ask(line: string): Promise<string> {
    this.write(`${line}\n`);
    return this.answer();
  }

  /** The lines of a command's data block; it must succeed. */
  async data(line: string): Promise<string[]> {
    const text = await this.ask(line);
    const [, block] = /^0000 DATA END WITH '\.'\n([\s\S]*?)^\.\n1000 Success\n$/m.exec(text) ?? [];
    if (block === undefined) throw new Error(`${line}: ${text}`);
    return block.split('\n').slice(0, -1);
  }

  /** Resolves when the other side has closed the connection. */
  async end(): Promise<string> {
    return this.take(() => this.ended, 'end');
  }
}

/** Connects to a management socket; closed with the test. Nothing of the greeting is read. */
export async function rawConsole(t: Owner, path: string): Promise<RawConsole> {
  const socket = connect(path);
  cleanup(t, () => socket.destroy());
  const raw = new RawConsole(socket);
  await new Promise<void>((done, fail) => {
    socket.once('connect', done);
    socket.once('error', fail);
  });
  return raw;
}

/** Connects, and reads the greeting. */
export async function openRawConsole(t: Owner, path: string): Promise<RawConsole> {
  const raw = await rawConsole(t, path);
  await raw.answer();
  return raw;
}

export interface ManagedSwitch {
  dir: string;
  path: string;
  process: Running;
  console: RawConsole;
}

/** A switch with a management socket, and a console on it. */
export async function managedSwitch(
  t: Owner,
  make: Make = 'ours',
  args: readonly string[] = [],
  options: StartOptions = {},
): Promise<ManagedSwitch> {
  const path = join(tmpDir(t), 'mgmt');
  const { dir, process } = await startSwitch(t, make, ['-M', path, ...args], options);
  await waitForSocket(path);
  return { dir, path, process, console: await openRawConsole(t, path) };
}
