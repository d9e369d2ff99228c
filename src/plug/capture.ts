/**
 * `capture://FILE[parameters]{LOCATOR}`: records whatever crosses the end inside, both ways, as pcapng (draft-ietf-opsawg-
 * pcapng): the direction of each frame, inbound for what arrives from there, and times in nanoseconds.
 *
 * Frames pass as they are, super-frames whole; they are recorded as the frames of the wire that they stand for.
 * FILE may be a FIFO, or `-` for standard output, to watch live. The file is sound whenever it is looked at.
 */

import { ALL_VIEWS, type Burst } from '../frame/burst.js';
import { PacketDirection } from '../frame/pcapng-packet.js';
import { CaptureFile } from './capture-file.js';
import { locatorError, parsePath, shownLocator, splitNested } from './locator.js';
import { notice } from './notice.js';
import { type ParamSpec, readParams } from './params.js';
import type { Plug } from './plug.js';
import type { Scheme } from './scheme.js';
import { openInner, WrapperPlug } from './wrapper.js';

const params = [
  {
    name: 'snaplen',
    type: 'number',
    max: 262_144,
    default: 0,
    arg: 'BYTES',
    doc: 'bytes kept of each frame; 0 for all',
  },
  {
    name: 'size',
    type: 'size',
    default: 0,
    doc: 'bytes after which a new file is begun, FILE.1 is the one before; 0 for never',
  },
  { name: 'files', type: 'number', min: 1, max: 1000, default: 2, doc: 'with size=: how many files are kept' },
] as const satisfies readonly ParamSpec[];

/** See the head of this file. */
class CapturePlug extends WrapperPlug {
  readonly #file: CaptureFile;

  /** Takes both over. */
  constructor(name: string, inner: Plug, file: CaptureFile) {
    super(name, inner, true);
    this.#file = file;
  }

  protected override outward(burst: Burst, views: Uint8Array, count: number): void {
    this.#file.record(burst, views, count, PacketDirection.outbound);
    this.forward(burst, views, count);
  }

  protected override inward(burst: Burst): void {
    this.#file.record(burst, ALL_VIEWS, burst.count, PacketDirection.inbound);
    this.deliver(burst);
  }

  protected override release(): void {
    this.#file.close();
    super.release();
  }
}

export const captureScheme: Scheme = {
  name: 'capture',
  syntax: 'FILE[PARAMETERS]{LOCATOR}',
  doc: 'records as pcapng what crosses the end inside; FILE may be a FIFO, or - for standard output',
  maxFrame: 'what LOCATOR takes',
  params,
  open: async (locator, options) => {
    const { body, bodyAt, text } = locator;
    const { outer, nested = '' } = splitNested(body, bodyAt, text);
    const { path, params: given } = parsePath(outer, bodyAt, text);
    const settings = readParams(params, given, text);
    if (path === '') {
      throw locatorError('EINVAL', text, bodyAt, 'no file to record to', 'capture:///tmp/name.pcapng{LOCATOR}');
    }
    const inner = await openInner(locator, options);
    try {
      const tell = (line: string): void => notice(options, line);
      const file = new CaptureFile(path, locator.locator, {
        ...settings,
        interfaceName: shownLocator(nested),
        notice: tell,
      });
      return new CapturePlug(locator.locator, inner, file);
    } catch (error) {
      inner.close();
      throw error;
    }
  },
};
