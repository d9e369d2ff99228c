/**
 * What a switch tells those who debug it: categories of messages, each with those who listen to it (reference:
 * management console, "debug"). Nobody pays for a category that nobody listens to: ask `wanted` before building a message.
 */

import type { Endpoint } from './port.js';

/** Called with each message of a category. */
export type DebugListener = (category: DebugCategory, message: string) => void;

/** One kind of message. */
export class DebugCategory {
  readonly #listeners = new Set<DebugListener>();

  /**
   * @param path the name that consoles turn it on by.
   * @param tag number that marks its lines.
   * @param help what it is about, in a few words.
   */
  constructor(
    readonly path: string,
    readonly tag: number,
    readonly help: string,
  ) {}

  /** Whether anybody listens. */
  get wanted(): boolean {
    return this.#listeners.size > 0;
  }

  say(message: string): void {
    for (const listener of this.#listeners) listener(this, message);
  }

  listen(listener: DebugListener): void {
    this.#listeners.add(listener);
  }

  unlisten(listener: DebugListener): void {
    this.#listeners.delete(listener);
  }

  /** Nobody listens any more. */
  silence(): void {
    this.#listeners.clear();
  }
}

/** The categories of a switch, in the order in which consoles list them. Parts that come later add theirs to `list`. */
export class DebugCategories {
  readonly hashAdded = new DebugCategory('hash/+', 0o11, 'hash: new element');
  readonly hashRemoved = new DebugCategory('hash/-', 0o12, 'hash: discarded element');
  readonly treeStatus = new DebugCategory('fstp/status', 0o44, 'fstp: status change');
  readonly treeRoot = new DebugCategory('fstp/root', 0o45, 'fstp: rootswitch/port change');
  readonly treeOn = new DebugCategory('fstp/+', 0o41, 'fstp: port becomes active');
  readonly treeOff = new DebugCategory('fstp/-', 0o42, 'fstp: port becomes inactive');
  readonly portAdded = new DebugCategory('port/+', 0o21, 'new port');
  readonly portLeft = new DebugCategory('port/-', 0o22, 'closed port');
  readonly description = new DebugCategory('port/descr', 0o23, 'set port description');
  readonly endpointAdded = new DebugCategory('port/ep/+', 0o31, 'new endpoint');
  readonly endpointLeft = new DebugCategory('port/ep/-', 0o32, 'closed endpoint');
  readonly list: DebugCategory[] = [
    this.hashAdded,
    this.hashRemoved,
    this.treeStatus,
    this.treeRoot,
    this.treeOn,
    this.treeOff,
    this.portAdded,
    this.portLeft,
    this.description,
    this.endpointAdded,
    this.endpointLeft,
  ];

  /** A port was made. */
  created(port: number): void {
    if (this.portAdded.wanted) this.portAdded.say(twoDigits(port));
  }

  /** An endpoint has joined a port. */
  joined(port: number, { id, description }: Endpoint): void {
    if (this.endpointAdded.wanted) this.endpointAdded.say(portAndId(port, id));
    if (this.description.wanted && description !== undefined) {
      this.description.say(`${portAndId(port, id)} -> "${description}"`);
    }
  }

  /** An endpoint has left a port. */
  left(port: number, { id }: Endpoint): void {
    if (this.endpointLeft.wanted) this.endpointLeft.say(portAndId(port, id));
  }

  /** The last endpoint of a port has left it. */
  emptied(port: number): void {
    if (this.portLeft.wanted) this.portLeft.say(twoDigits(port));
  }

  /** Takes a category away that was added, with those who listen to it. */
  remove(category: DebugCategory): void {
    const at = this.list.indexOf(category);
    if (at >= 0) this.list.splice(at, 1);
    category.silence();
  }
}

function twoDigits(number: number): string {
  return String(number).padStart(2, '0');
}

function portAndId(port: number, id: number): string {
  return `Port ${twoDigits(port)} FD ${String(id).padStart(2)}`;
}
