/** The end of `qemu://...[listen]`: one peer at a time, and the next when that has left. */

import { FRAME_MAX } from '../frame/burst.js';
import { QEMU_RECORDS } from '../frame/stream.js';
import { Acceptor } from '../sys/acceptor.js';
import type { Descriptor } from '../sys/descriptor.js';
import type { VdeError } from '../sys/errors.js';
import { tuneTcp } from '../sys/inet.js';
import { Missing } from './missing.js';
import { notice } from './notice.js';
import type { Plug } from './plug.js';
import { type OwnFile, removeOwn } from './ptp-place.js';
import type { OpenOptions } from './scheme.js';
import { StreamPlug } from './stream.js';
import { WrapperPlug } from './wrapper.js';

/** See the head of this file. */
export class QemuServer extends WrapperPlug implements Plug {
  readonly #acceptor: Acceptor;
  #taken = false;
  #saidTaken = false;

  /**
   * Takes the listening socket over.
   * @param own its file, if it has one: removed at the end.
   */
  constructor(
    name: string,
    private readonly listener: Descriptor,
    private readonly options: OpenOptions,
    private readonly own?: OwnFile,
  ) {
    super(name, new Missing(name, FRAME_MAX), true);
    this.#acceptor = new Acceptor(
      listener,
      (line) => notice(options, `${name}: ${line}`),
      (stream) => this.#welcome(stream),
    );
  }

  #welcome(stream: Descriptor): void {
    if (this.#taken) this.#turnAway();
    else {
      this.#taken = true;
      this.#saidTaken = false;
      if (this.own === undefined) tuneTcp(stream);
      this.replaceInner(new StreamPlug(this.name, stream.fd, stream.fd, FRAME_MAX, QEMU_RECORDS));
    }
    stream.close();
  }

  /** A cable has two ends. */
  #turnAway(): void {
    if (this.#saidTaken) return;
    this.#saidTaken = true;
    notice(this.options, `${this.name}: a second peer is turned away while the first is there`);
  }

  protected override innerLost(error?: VdeError): void {
    if (error !== undefined && error.code !== 'ECONNRESET') notice(this.options, error.message);
    this.#taken = false;
    this.replaceInner(new Missing(this.name, FRAME_MAX));
    // What waited for the peer is gone: nothing holds the sender back any more.
    this.drained();
  }

  protected override release(): void {
    this.#acceptor.close();
    this.listener.close();
    if (this.own !== undefined) removeOwn(this.own);
    super.release();
  }
}
