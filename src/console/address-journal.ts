/** Where `iplog` writes: nowhere, lines at the end of a file, or the system log. */

import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { fromNodeError } from '../sys/errors.js';
import { openSyslog, type Syslog } from '../sys/syslog.js';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** See the head of this file. */
export class AddressJournal {
  #path: string | undefined;
  #fd: number | undefined;
  #syslog: Syslog | undefined;

  /** @param notice told if the file cannot be written any more; from then on it is not. */
  constructor(private readonly notice: (line: string) => void) {}

  /** `log disabled`, `log on file PATH` or `log on syslog`. */
  get status(): string {
    if (this.#path !== undefined) return `log on file ${this.#path}`;
    return this.#syslog ? 'log on syslog' : 'log disabled';
  }

  /**
   * Changes where lines go: a file's name, `-` for the system log, nothing for nowhere.
   * @throws VdeError if the file cannot be opened; then nothing has changed.
   */
  open(name: string): void {
    const { O_WRONLY, O_CREAT, O_APPEND, O_NONBLOCK, O_NOCTTY } = constants;
    const path = resolve(name);
    let fd: number | undefined;
    if (name !== '' && name !== '-') {
      try {
        fd = openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY, 0o600);
      } catch (error) {
        throw fromNodeError(error, path);
      }
    }
    this.close();
    this.#fd = fd;
    this.#path = fd === undefined ? undefined : path;
    if (name === '-') this.#syslog = openSyslog({ ident: 'iplog' });
  }

  write(line: string): void {
    this.#syslog?.log(line);
    if (this.#fd === undefined) return;
    try {
      writeSync(this.#fd, `${stamp(new Date())} ${line}\n`);
    } catch (error) {
      const { message } = fromNodeError(error, this.#path as string);
      this.close();
      this.notice(`${message}: addresses are not logged any more`);
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#syslog?.close();
    this.#fd = undefined;
    this.#path = undefined;
    this.#syslog = undefined;
  }
}

/** `Nov 20 08:26:29`, local time. */
function stamp(time: Date): string {
  const two = (number: number) => String(number).padStart(2, '0');
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':');
  return `${MONTHS[time.getMonth()]} ${two(time.getDate())} ${clock}`;
}
