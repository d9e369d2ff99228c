/**
 * `pcap://INTERFACE`: what a packet capture of an interface of the host sees, and sending into it (reference: plugins,
 * section 13); `pcap://FILE`, which a slash in it tells from an interface: a capture file, replayed or written.
 *
 *     pcap:///tmp/in.pcapng[speed=fast]       its frames, as fast as they are taken
 *     pcap:///tmp/in.pcapng[write=/tmp/out]   its frames; what is sent goes into another
 *     pcap:///tmp/out.pcapng[out]             what is sent goes into the file, nothing arrives
 *
 * Of an interface, frames from its own address do not arrive: they are the host's. Those of other programs that send by it
 * do. libpcap has no part in any of this.
 */

import { FRAME_MAX } from '../frame/burst.js';
import { CaptureFile } from './capture-file.js';
import { parsePath } from './locator.js';
import { notice } from './notice.js';
import { hostParam, openPacketPlug } from './packet.js';
import { type ParamSpec, type Params, paramError, readParams } from './params.js';
import { PcapFilePlug, readCaptureFile } from './pcap-file.js';
import type { Plug } from './plug.js';
import { INTERFACE_LIMIT, type OpenOptions, type Scheme } from './scheme.js';

const params = [
  { ...hostParam, doc: `of an interface: ${hostParam.doc}` },
  { name: 'speed', type: 'string', default: 'real', doc: 'of a file: real, fast, or how many times faster, e.g. 2.5' },
  { name: 'loop', type: 'flag', doc: 'of a file: begins again at its end' },
  { name: 'write', type: 'string', arg: 'FILE', doc: 'of a file: what is sent is recorded there as pcapng' },
  { name: 'out', type: 'flag', doc: 'of a file: it is written, with what is sent, instead of read' },
] as const satisfies readonly ParamSpec[];

type PcapParams = Params<typeof params>;

/** How much faster than real time. */
function readSpeed(text: string, locator: string): number {
  if (text === 'real') return 1;
  if (text === 'fast') return Number.POSITIVE_INFINITY;
  const speed = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (speed > 0 && speed <= 1e9) return speed;
  throw paramError(locator, { name: 'speed' }, `"${text.slice(0, 60)}" is no speed`, 'real, fast, or a number');
}

async function openFile(path: string, given: PcapParams, locator: string, options: OpenOptions): Promise<Plug> {
  const { speed, loop, write, out, host } = given;
  if (host) throw paramError(locator, { name: 'host' }, `${path} is a file`, 'it is for interfaces');
  if (write === '') throw paramError(locator, { name: 'write' }, 'needs the name of a file');
  if (out && (write !== undefined || loop)) {
    throw paramError(locator, { name: 'out' }, 'the file cannot be written and read', 'use write=FILE for another');
  }
  const tell = (line: string): void => notice(options, line);
  const replay = { speed: readSpeed(speed, locator), loop, notice: tell };
  // Read before anything is written: both could be the same file.
  const source = out ? undefined : await readCaptureFile(path, locator);
  const target = out ? path : write;
  const output = target ? new CaptureFile(target, locator, { interfaceName: locator, notice: tell }) : undefined;
  return new PcapFilePlug(locator, source, replay, output);
}

export const pcapScheme: Scheme = {
  name: 'pcap',
  syntax: 'INTERFACE[PARAMETERS] or FILE[PARAMETERS]',
  doc: 'packet capture of an interface (needs CAP_NET_RAW), or of a file whose name has a slash',
  maxFrame: `${INTERFACE_LIMIT}; in a file ${FRAME_MAX} bytes`,
  params,
  adoptable: true,
  open: async ({ body, bodyAt, text, locator }, options) => {
    const { path, params: list } = parsePath(body, bodyAt, text);
    const given = readParams(params, list, text);
    if (path.includes('/')) return openFile(path, given, locator, options);
    const { host, speed, loop, write, out } = given;
    if (loop || out || write !== undefined || speed !== 'real') {
      const name = list.map(([key]) => key).find((key) => !'host'.startsWith(key)) ?? 'speed';
      const remedy = `the name of a file has a slash: pcap://./${path}`;
      throw paramError(locator, { name }, `${path} is an interface, and this is for files`, remedy);
    }
    return openPacketPlug(path, locator, { outgoing: true, own: host });
  },
};
