/**
 * Which ciphers a process uses. Node's own (`node:crypto`) make an object for each message and a buffer for each result,
 * which for a frame costs several times what its encryption does. The node binary carries OpenSSL and exports its
 * functions, so they are called directly; where that is not so, the same interface stands on `node:crypto`.
 */

import type { CipherLibrary } from './cipher.js';
import { evpCiphers } from './cipher-evp.js';
import { nodeCiphers } from './cipher-node.js';

let library: CipherLibrary | undefined;

/** The fastest ciphers that this process has. */
export function ciphers(): CipherLibrary {
  library ??= evpCiphers() ?? nodeCiphers;
  return library;
}
