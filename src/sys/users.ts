/** Names of users and groups, through the C library, so that every source of the machine's counts (getpwnam(3)). */

import { native } from './ffi.js';
import { Memory } from './memory.js';

type ByName = (name: string, entry: number, buffer: number, size: number, result: number) => number;
type ById = (id: number, entry: number, buffer: number, size: number, result: number) => number;

const getpwnam = native<ByName>(
  'int getpwnam_r(const char *name, size_t entry, size_t buffer, size_t size, size_t result)',
);
const getgrnam = native<ByName>(
  'int getgrnam_r(const char *name, size_t entry, size_t buffer, size_t size, size_t result)',
);
const getpwuid = native<ById>(
  'int getpwuid_r(unsigned int id, size_t entry, size_t buffer, size_t size, size_t result)',
);
const getgrgid = native<ById>(
  'int getgrgid_r(unsigned int id, size_t entry, size_t buffer, size_t size, size_t result)',
);

// struct passwd: name, password, uid, gid, ...; struct group: name, password, gid, ...: pointers, then 32-bit ids.
const ID = 16;
const ENTRY = 64;
const STRINGS = 128;
const scratch = new Memory(64 << 10);

/** Runs one look-up; true if there is such an entry. */
function found(lookUp: (entry: number, buffer: number, size: number, result: number) => number): boolean {
  const { address, size, view } = scratch;
  scratch.setPointer(ENTRY, 0);
  return (
    lookUp(address, address + STRINGS, size - STRINGS, address + ENTRY) === 0 && view.getBigUint64(ENTRY, true) !== 0n
  );
}

function id(): number {
  return scratch.view.getUint32(ID, true);
}

function name(): string {
  return scratch.cString(Number(scratch.view.getBigUint64(0, true)) - scratch.address, 256);
}

/** Uid of a login name; undefined if there is none. */
export function userId(login: string): number | undefined {
  return found((...rest) => getpwnam(login, ...rest)) ? id() : undefined;
}

/** Gid of a group name; undefined if there is none. */
export function groupId(group: string): number | undefined {
  return found((...rest) => getgrnam(group, ...rest)) ? id() : undefined;
}

/** Login name of a uid; undefined if it has none. */
export function userName(uid: number): string | undefined {
  return found((...rest) => getpwuid(uid, ...rest)) ? name() : undefined;
}

/** Name of a gid; undefined if it has none. */
export function groupName(gid: number): string | undefined {
  return found((...rest) => getgrgid(gid, ...rest)) ? name() : undefined;
}
