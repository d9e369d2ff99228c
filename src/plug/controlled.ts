/**
 * An end whose life is that of a control connection: the other side keeps that open for as long as the end is served, and
 * says nothing more on it. Frames pass beside it, over a datagram socket, or not here at all.
 */

import { FRAME_MAX } from '../frame/burst.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLRDHUP } from '../sys/epoll.js';
import { VdeError } from '../sys/errors.js';
import { loop, type Watch } from '../sys/loop.js';
import { PlugBase } from './base.js';
import { type DatagramOptions, DatagramPlug } from './datagram.js';
import type { Plug } from './plug.js';

/** A data socket, and the control connection whose end is its own. */
export class ControlledPlug extends DatagramPlug {
  readonly #control: Descriptor;
  readonly #watch: Watch;

  /**
   * Takes both over.
   * @param lost what to tell when the connection has ended.
   */
  constructor(data: Descriptor, control: Descriptor, lost: string, options: DatagramOptions) {
    super(data, options);
    this.#control = control;
    this.#watch = watchEnd(control, options.name, lost, (error) => this.lose(error));
  }

  /** The control connection tells. */
  override probe(): void {}

  protected override release(): void {
    super.release();
    this.#watch.close();
    this.#control.close();
  }
}

/** An end that the other side serves itself, by the descriptor that it was given: only its life is watched here. */
export class AdoptedPlug extends PlugBase implements Plug {
  readonly maxFrame = FRAME_MAX;
  readonly takesOffloads = true;
  readonly backlogged = false;
  readonly adopted = true;
  readonly #control: Descriptor;
  readonly #watch: Watch;

  /**
   * Takes the connection over.
   * @param lost what to tell when it has ended.
   */
  constructor(
    control: Descriptor,
    readonly name: string,
    lost: string,
  ) {
    super();
    this.#control = control;
    this.#watch = watchEnd(control, name, lost, (error) => this.lose(error));
  }

  protected override transmit(): void {}

  protected override listen(): void {}

  protected override release(): void {
    this.#watch.close();
    this.#control.close();
  }
}

function watchEnd(control: Descriptor, name: string, lost: string, onEnd: (error: VdeError) => void): Watch {
  return loop().watch(control.fd, EPOLLRDHUP, () => {
    onEnd(new VdeError({ code: 'ECONNRESET', subject: name, cause: lost }));
    return undefined;
  });
}
