/**
 * The library's face.
 *
 *     import { open } from 'vde';
 *
 *     const end = await open('vde:///tmp/sw');
 *     for await (const frame of end) end.send(frame);
 */

import { registerSwitchSchemes } from './switch/schemes.js';

export type { Burst } from './frame/burst.js';
export { End, type EndEvents, open } from './plug/end.js';
export type { ParamSpec } from './plug/params.js';
export type { Adoptable, Drops, Plug, Sink } from './plug/plug.js';
export { listSchemes, openPlug, registerScheme } from './plug/registry.js';
export type { OpenOptions, Scheme } from './plug/scheme.js';
export { type ServiceOptions, SwitchService } from './switch/service.js';
export { VdeError, type VdeErrorDetails } from './sys/errors.js';

registerSwitchSchemes();
