/** What a locator scheme is: a name, a table of parameters, and a way to open an end. */

import { FRAME_MAX } from '../frame/burst.js';
import { describeParams, type ParamSpec } from './params.js';
import type { Adoptable, Plug } from './plug.js';
import type { ResolvedLocator } from './resolve.js';

/** What the opener of a locator may add to it. What the locator itself says comes first. */
export interface OpenOptions {
  /** What a switch shows for the connection; `vde` if not given. */
  description?: string;
  /** Port of a switch; 0 or less asks for port 0. */
  port?: number;
  /** Group, by name or number, that the end's socket is given to. */
  group?: string | number;
  /** Permissions of the end's socket; 0 means the default, 0700. */
  mode?: number;
  /**
   * The end at the other side of the cable, if it is nothing but a descriptor. What is opened may serve that itself, and
   * says so by `Plug.adopted`.
   */
  offer?: Adoptable;
  /**
   * Called with what the user should know of an end that works, or may yet: one line, such as a key file that others can
   * read. If not given, it is a warning of the process.
   */
  onNotice?: (line: string) => void;
  /** How many locators the one to be opened is nested in; set by what is wrapped round it. */
  nesting?: number;
}

/** A scheme. Adding one to the registry makes every command and the library understand it. */
export interface Scheme {
  /** What stands before `://`. */
  readonly name: string;
  /** How the part after `://` is written, e.g. `DIRECTORY[parameters]`. */
  readonly syntax: string;
  /** One sentence for people. */
  readonly doc: string;
  /** Longest frame that may be sent to its ends, in bytes, or what that depends on; what is longer is dropped and counted. */
  readonly maxFrame?: number | string;
  readonly params: readonly ParamSpec[];
  /** Whether its ends are adoptable: such an end of a cable is opened first, and offered to the other. */
  readonly adoptable?: boolean;
  /**
   * Opens an end.
   * @throws VdeError naming the locator.
   */
  open(locator: ResolvedLocator, options: OpenOptions): Promise<Plug>;
}

/** The `maxFrame` of what ends at an interface of the kernel's. */
export const INTERFACE_LIMIT = `the interface's MTU and header; super-frames ${FRAME_MAX} bytes`;

/** A scheme as help text: what it is, the longest frame, and a line for each parameter. */
export function describeScheme({ doc, maxFrame, params }: Scheme): string[] {
  const limit = typeof maxFrame === 'number' ? `${maxFrame} bytes` : maxFrame;
  return [doc, ...(limit === undefined ? [] : [`longest frame: ${limit}`]), ...describeParams(params)];
}
