/**
 * An interface of a namespace, joined to its network for as long as the command runs.
 *
 * A network that goes is missed at once: the interface loses its carrier, as if a cable had been pulled out, and the
 * locator is opened again and again until it is back. Each change is said once, however often a network comes and goes.
 */

import { setTimeout as pause } from 'node:timers/promises';
import { Cable, openFor } from '../plug/cable.js';
import type { CommandProcess } from '../plug/command.js';
import type { Plug } from '../plug/plug.js';
import { TapPlug } from '../plug/tap.js';
import { splitWords } from '../plug/words.js';
import type { Descriptor } from '../sys/descriptor.js';
import type { VdeError } from '../sys/errors.js';
import { setTapCarrier } from '../sys/tap.js';

/** Longest wait between two attempts, and the wait after the first, in ms. */
const RETRY_MAX_MS = 1000;
const RETRY_MIN_MS = 20;
/** A network that is back for this long is said to be, in ms. */
const SETTLED_MS = 250;
/** How long a command may live after it has closed its output before it is told to end, in ms. */
const FAREWELL_MS = 1000;
const DESCRIPTION = 'vdens';

/** See the head of this file. */
export class Attachment {
  #cable: Cable | undefined;
  #command: CommandProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Whether the last thing said was that the network is lost. */
  #saidLost = false;
  #wait = 0;

  /**
   * @param tap has offload headers and all offloads; stays the caller's.
   * @param locator or `=COMMAND`: a stream of frames over its standard input and output.
   * @param say tells the user.
   */
  constructor(
    readonly interfaceName: string,
    readonly tap: Descriptor,
    readonly locator: string,
    private readonly say: (message: string) => void,
  ) {}

  /** Joins the interface to its network. @throws VdeError as `openPlug`, or of the command. */
  async open(): Promise<void> {
    const end = new TapPlug(this.tap.duplicate(), this.interfaceName, { offloads: true });
    let network: Plug;
    try {
      network = await this.#openNetwork(end);
    } catch (error) {
      end.close();
      throw error;
    }
    const cable = new Cable(end, network);
    this.#cable = cable;
    if (this.#closed) {
      cable.close();
      await this.#endCommand();
      return;
    }
    void cable.ended.then(({ lost, error }) => {
      cable.close();
      if (!this.#closed) void this.#lost(lost === end, error);
    });
  }

  async #openNetwork(end: Plug): Promise<Plug> {
    if (!this.locator.startsWith('=')) {
      return openFor(end, { locator: this.locator, options: { description: DESCRIPTION, onNotice: this.say } });
    }
    const { CommandProcess } = await import('../plug/command.js');
    this.#command = await CommandProcess.start(splitWords(this.locator.slice(1)));
    return this.#command.plug;
  }

  async #lost(interfaceGone: boolean, error: VdeError | undefined): Promise<void> {
    clearTimeout(this.#timer);
    if (interfaceGone) {
      void this.#endCommand();
      this.say(`${this.interfaceName}: the interface has been deleted`);
      return;
    }
    setTapCarrier(this.tap, false);
    const why = error?.reason ?? (await this.#farewell());
    void this.#endCommand();
    if (this.#closed) return;
    if (!this.#saidLost) {
      this.#wait = 0;
      this.say(`${this.interfaceName}: ${this.locator || 'default switch'}: ${why}; waiting for it to come back`);
    }
    this.#saidLost = true;
    this.#retry();
  }

  /** Why a network that had no error is gone: a command may say it by its status, in a moment. */
  async #farewell(): Promise<string> {
    if (this.#command === undefined) return 'the other end has closed the connection';
    const status = await Promise.race([this.#command.ended, pause(FAREWELL_MS, undefined, { ref: false })]);
    return status === undefined ? 'the command has closed its output' : `the command has ended with status ${status}`;
  }

  #retry(): void {
    this.#timer = setTimeout(async () => {
      this.#wait = Math.min(Math.max(this.#wait * 2, RETRY_MIN_MS), RETRY_MAX_MS);
      try {
        await this.open();
      } catch {
        if (!this.#closed) this.#retry();
        return;
      }
      if (this.#closed) return;
      setTapCarrier(this.tap, true);
      this.#timer = setTimeout(() => {
        this.#saidLost = false;
        this.say(`${this.interfaceName}: ${this.locator || 'default switch'} is back`);
      }, SETTLED_MS);
    }, this.#wait);
  }

  async #endCommand(): Promise<void> {
    const command = this.#command;
    this.#command = undefined;
    await command?.end();
  }

  /** Leaves the network. Resolves when a command that was the network has ended. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#cable?.close();
    await this.#endCommand();
  }
}
