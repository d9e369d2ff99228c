/**
 * Tools that one call works with and the next can have again: slabs, scratch memory. What stands on a cable may be nested
 * and may answer within the call that hands a burst over, so a tool that all plugs share must not be taken twice: each
 * depth of calls gets its own, and keeps it for the next time.
 */

/** Idle tools of one kind. */
export class Pool<T> {
  readonly #idle: T[] = [];

  constructor(private readonly make: () => T) {}

  /** A tool that nobody else has now. */
  take(): T {
    return this.#idle.pop() ?? this.make();
  }

  /** Gives a tool back. */
  give(tool: T): void {
    this.#idle.push(tool);
  }
}
