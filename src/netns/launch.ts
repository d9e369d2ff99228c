/**
 * The outer side of a start: runs the helper in fresh namespaces (`unshare`, since a process with threads, as every
 * program in Node is, cannot enter a user namespace), takes the interfaces' descriptors from it, and lets it become the
 * command when all is ready.
 */

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { receiveWithDescriptors } from '../sys/ancillary.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN } from '../sys/epoll.js';
import { errnoNumber, VdeError } from '../sys/errors.js';
import { loop, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { SOCK_SEQPACKET, SOCK_STREAM, socketPair, trySend } from '../sys/socket.js';
import { AGENT_CHANNEL, type Failure, type FromHelper, MESSAGE_MAX, type Plan, type ToHelper } from './message.js';
import { namespaceFailure } from './remedy.js';
import type { WardEnd } from './ward.js';

const EAGAIN = errnoNumber('EAGAIN');
/** What `unshare` and a helper that does not come up may say, in characters. */
const DIAGNOSIS_MAX = 4096;

/** A tap of the namespace, held from outside. */
export interface ReceivedTap {
  name: string;
  descriptor: Descriptor;
}

/** Why the helper could not go on, and the status that vdens is to end with. */
export class LaunchError extends VdeError {
  readonly status: number;

  constructor({ status, ...details }: Failure) {
    super(details);
    this.status = status;
  }
}

/** A helper that is starting, and the command that it becomes. */
export class Launch {
  readonly child: ChildProcess;
  /** The interfaces, when all of them have arrived and the set-up inside is done. */
  readonly ready: Promise<ReceivedTap[]>;
  /** Resolves when the command runs; rejects, at any time before, if it never will. */
  readonly started: Promise<void>;
  /** How helper or command ended. */
  readonly ended: Promise<WardEnd>;
  /** The outer end of the DHCP agent's connection. */
  readonly agent: Descriptor | undefined;
  readonly #channel: Descriptor;
  readonly #watch: Watch;
  readonly #inbox = new Memory(MESSAGE_MAX);
  readonly #taps: ReceivedTap[] = [];
  #diagnosis = '';
  #going = false;
  #onReady!: { done: (taps: ReceivedTap[]) => void; fail: (error: VdeError) => void };
  #onStarted!: { done: () => void; fail: (error: VdeError) => void };

  constructor(plan: Plan, command: readonly string[]) {
    const [outer, inner] = socketPair(SOCK_SEQPACKET, 'vdens');
    const agents = plan.dhcp ? socketPair(SOCK_STREAM, 'dhcp') : undefined;
    this.#channel = outer;
    this.agent = agents?.[0];
    this.child = this.#spawn(plan, command, inner, agents?.[1]);
    inner.close();
    agents?.[1].close();
    this.started = new Promise((started, fail) => {
      this.#onStarted = { done: started, fail };
    });
    this.ready = new Promise((ready, fail) => {
      this.#onReady = { done: ready, fail };
    });
    // Who waits for one of them only must not be told of the other.
    this.ready.catch(() => {});
    this.started.catch(() => {});
    this.ended = new Promise((done) => {
      this.child.once('close', (code, signal) => {
        done({ code, signal });
        this.#fail(namespaceFailure(this.#diagnosis, signal));
      });
      this.child.once('error', (error: NodeJS.ErrnoException) => {
        done({ code: 1, signal: null });
        this.#fail(namespaceFailure(error.code === 'ENOENT' ? undefined : error.message, null));
      });
    });
    this.#watch = loop().watch(outer.fd, EPOLLIN, () => this.#hear());
    this.#tell({ plan });
  }

  #spawn(plan: Plan, command: readonly string[], inner: Descriptor, agent: Descriptor | undefined): ChildProcess {
    const namespaces = [
      ...['--user', '--map-current-user', '--keep-caps', '--net'],
      ...(plan.sysadmin || plan.resolv ? ['--mount', '--propagation', 'unchanged'] : []),
      ...(plan.hostname === undefined ? [] : ['--uts']),
    ];
    const entry = 'require_module' in process.features ? './helper-start.cjs' : './helper.js';
    const helper = fileURLToPath(new URL(entry, import.meta.url));
    const stdio: StdioOptions = ['inherit', 'inherit', 'pipe', inner.fd, 2];
    if (agent) stdio[AGENT_CHANNEL] = agent.fd;
    const child = spawn('unshare', [...namespaces, '--', process.execPath, '--no-warnings', helper, ...command], {
      stdio,
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#diagnosis = (this.#diagnosis + text).slice(0, DIAGNOSIS_MAX);
    });
    return child;
  }

  #tell(message: ToHelper): void {
    const bytes = new TextEncoder().encode(JSON.stringify(message));
    const memory = new Memory(bytes.length);
    memory.bytes.set(bytes);
    trySend(this.#channel, memory, bytes.length);
  }

  #fail(error: VdeError): void {
    this.#onReady.fail(error);
    this.#onStarted.fail(error);
  }

  /** Lets the helper become the command. */
  go(): void {
    this.#going = true;
    this.#tell({ go: true });
  }

  /** Ends the helper before it has become the command. Idempotent. */
  stop(): void {
    this.#watch.close();
    this.#channel.close();
  }

  #hear(): undefined {
    while (!this.#channel.closed) {
      const { length, descriptors } = receiveWithDescriptors(this.#channel, this.#inbox, 1);
      if (length === -EAGAIN) return;
      if (length <= 0) {
        // The end of the connection: the helper has become the command, or ended; its end says more then.
        this.stop();
        if (this.#going) this.#onStarted.done();
        return;
      }
      this.#take(JSON.parse(new TextDecoder().decode(this.#inbox.bytes.subarray(0, length))), descriptors[0]);
    }
  }

  #take(message: FromHelper, descriptor: Descriptor | undefined): void {
    if ('tap' in message && descriptor) this.#taps.push({ name: message.tap, descriptor });
    else if ('ready' in message) {
      this.#onReady.done(this.#taps);
    } else if ('failure' in message) {
      this.stop();
      this.#fail(new LaunchError(message.failure));
    }
  }
}
