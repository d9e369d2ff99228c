/**
 * A program started inside another process's namespaces, with capabilities there.
 *
 * A process with threads, as ours is, cannot enter a user namespace, and what `nsenter` starts for an ordinary user has
 * no capabilities left: entering clears the ambient set, and `exec` all others. So a child is made that never runs any
 * JavaScript: `clone` with CLONE_VM and CLONE_VFORK, as posix_spawn(3) uses it, shares our memory while we stand still,
 * and works off a chain of contexts (makecontext(3)), each one call of the C library: enter the namespaces, set the
 * capabilities, `execve`. A context that fails cannot stop the chain: the program must see for itself where it is.
 */

import { capabilityBlock, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE } from './capabilities.js';
import { VdeError } from './errors.js';
import { check, hasNative, native } from './ffi.js';
import { Memory } from './memory.js';
import { closesOnExec, setCloseOnExec } from './process.js';

const CLONE_VM = 0x100;
const CLONE_VFORK = 0x4000;
const SIGCHLD = 17;

/** `CLONE_NEW*` of the kinds of namespaces, in the order in which they are entered: the user's first. */
const CLONE_NEW = { user: 0x10000000, net: 0x40000000, mnt: 0x00020000, uts: 0x04000000 } as const;

/** `ucontext_t` of glibc: flags, link, `stack_t` (pointer, flags, size), then what the machine needs. */
const UCONTEXT = { link: 8, stack: 16, stackSize: 32, room: 8192 } as const;
const STACK = 64 << 10;
const LAST_RESORT = 126;

/** Open descriptors of the namespaces to enter. */
export type NamespaceDescriptors = Partial<Record<keyof typeof CLONE_NEW, number>>;

const PROTOTYPES = {
  getcontext: 'int getcontext(size_t context)',
  makecontext:
    'void makecontext(size_t context, size_t function, int count, size_t a, size_t b, size_t c, size_t d, size_t e)',
  clone: 'int clone(size_t function, size_t stack, int flags, size_t argument)',
  dlsym: 'size_t dlsym(size_t handle, const char *name)',
};

function bind(subject: string) {
  // musl has none of the functions of ucontext.h.
  const missing = Object.entries(PROTOTYPES).find(([, prototype]) => !hasNative(prototype))?.[0];
  if (missing !== undefined) {
    const cause = `the C library of this Node.js has no ${missing}(3), so it cannot enter a user namespace`;
    const remedy = 'use a Node.js built for glibc; as root, nsenter(1) will do';
    throw new VdeError({ code: 'ENOSYS', subject, cause, remedy });
  }
  return {
    getcontext: native<(context: number) => number>(PROTOTYPES.getcontext),
    makecontext: native<(context: number, fn: number, count: number, ...args: number[]) => void>(
      PROTOTYPES.makecontext,
    ),
    clone: native<(fn: number, stack: number, flags: number, argument: number) => number>(PROTOTYPES.clone),
    dlsym: native<(handle: number, name: string) => number>(PROTOTYPES.dlsym),
  };
}

/** NUL-terminated strings, and the NULL-terminated array that points at them. */
class Strings {
  readonly memory: Memory;
  readonly array: number;

  constructor(strings: readonly string[]) {
    const texts = strings.map((text) => Buffer.from(`${text}\0`));
    const table = (texts.length + 1) * 8;
    this.memory = new Memory(table + texts.reduce((sum, text) => sum + text.length, 0));
    this.array = this.memory.address;
    let at = table;
    for (const [i, text] of texts.entries()) {
      this.memory.setPointer(i * 8, this.memory.address + at);
      this.memory.bytes.set(text, at);
      at += text.length;
    }
  }

  /** Address of the first string. */
  get first(): number {
    return Number(this.memory.view.getBigUint64(0, true));
  }
}

/**
 * Starts a program in the namespaces, with `capabilities` there. Its standard streams are ours; descriptors above stay as
 * their close-on-exec flags say. The caller reaps it.
 * @param argv begins with the program's absolute path.
 * @param subject what error messages speak of.
 * @returns its pid.
 * @throws VdeError `ENOSYS` where the C library is not glibc, or if no process can be made. Whether it is where it should be it must find out itself.
 */
export function spawnInside(
  namespaces: NamespaceDescriptors,
  capabilities: readonly number[],
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  subject: string,
): number {
  const { getcontext, makecontext, clone, dlsym } = bind(subject);
  const { header, sets, memory } = capabilityBlock(capabilities);
  const args = new Strings(argv);
  const environment = new Strings(Object.entries(env).map(([key, value]) => `${key}=${value}`));
  const kinds = Object.keys(CLONE_NEW) as (keyof typeof CLONE_NEW)[];
  const calls: [string, ...number[]][] = [
    ...kinds.flatMap((kind): [string, ...number[]][] => {
      const fd = namespaces[kind];
      return fd === undefined ? [] : [['setns', fd, CLONE_NEW[kind]]];
    }),
    ['capset', header, sets],
    ...capabilities.map((one): [string, ...number[]] => ['prctl', PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, one, 0, 0]),
    ['execve', args.first, args.array, environment.array],
    ['_exit', LAST_RESORT],
  ];
  const stacks = new Memory((calls.length + 1) * STACK);
  const contexts = new Memory(calls.length * UCONTEXT.room);
  for (const [i, [name, ...given]] of calls.entries()) {
    const at = i * UCONTEXT.room;
    const address = contexts.address + at;
    const fn = dlsym(0, name);
    if (fn === 0) throw new VdeError({ code: 'ENOSYS', subject, cause: `this C library has no ${name}` });
    check(getcontext(address), 'getcontext', subject);
    contexts.setPointer(at + UCONTEXT.link, i + 1 < calls.length ? address + UCONTEXT.room : 0);
    contexts.setPointer(at + UCONTEXT.stack, stacks.address + i * STACK);
    contexts.setPointer(at + UCONTEXT.stackSize, STACK);
    makecontext(address, fn, given.length, ...Array.from({ length: 5 }, (_, k) => given[k] ?? 0));
  }
  const closing = [0, 1, 2].filter(closesOnExec);
  for (const fd of closing) setCloseOnExec(fd, false);
  try {
    const top = stacks.address + stacks.size - 16;
    const pid = clone(dlsym(0, 'setcontext'), top - (top % 16), CLONE_VM | CLONE_VFORK | SIGCHLD, contexts.address);
    return check(pid, 'clone', subject);
  } finally {
    for (const fd of closing) setCloseOnExec(fd, true);
    // The child worked with these until now.
    void [memory, args, environment, stacks, contexts].length;
  }
}
