/**
 * The socket of a vxvdex broker: a path where everybody may connect. Its directory is made if it is not there; the place of
 * a broker that has died is taken over.
 */

import { chmodSync, lstatSync, mkdirSync, rmdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Descriptor } from '../sys/descriptor.js';
import { fromNodeError } from '../sys/errors.js';
import {
  AF_UNIX,
  bindUnix,
  checkUnixPath,
  clearUnixPath,
  listen,
  SOCK_SEQPACKET,
  socket,
  unlinkQuietly,
} from '../sys/socket.js';

/** Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn. */
const BACKLOG = 4096;

/** See the head of this file. */
export class PublicSocket {
  /** Absolute. */
  readonly path: string;
  readonly listener: Descriptor;
  readonly #inode: bigint | undefined;
  readonly #madeDirectory: boolean;

  /** @throws VdeError `EADDRINUSE` if somebody answers there; what the kernel says if the socket cannot be made. */
  constructor(path: string) {
    this.path = resolve(path);
    checkUnixPath(this.path);
    this.#madeDirectory = makeDirectory(dirname(this.path));
    try {
      clearUnixPath(this.path, SOCK_SEQPACKET, {
        alive: 'a vde_vxvdexd is running: stop it, or give this one another --sock',
        foreign: 'remove it, or choose another --sock',
      });
      this.listener = socket(AF_UNIX, SOCK_SEQPACKET, this.path);
    } catch (error) {
      this.#removeDirectory();
      throw error;
    }
    try {
      bindUnix(this.listener, this.path);
      this.#inode = inodeOf(this.path);
      chmodSync(this.path, 0o666);
      listen(this.listener, BACKLOG);
    } catch (error) {
      this.close();
      throw fromNodeError(error, this.path);
    }
  }

  /** Stops to listen, and removes the socket unless another has taken its name. Idempotent. */
  close(): void {
    if (this.listener.closed) return;
    if (this.#inode !== undefined && inodeOf(this.path) === this.#inode) unlinkQuietly(this.path);
    this.listener.close();
    this.#removeDirectory();
  }

  #removeDirectory(): void {
    if (!this.#madeDirectory) return;
    try {
      rmdirSync(dirname(this.path));
    } catch {
      // Not empty: what is in it is somebody else's.
    }
  }
}

function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true })?.ino;
}

/** True if it was not there. */
function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path);
    chmodSync(path, 0o755);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fromNodeError(error, path, 'the directory of the socket');
  }
}
