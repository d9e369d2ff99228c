/**
 * The `pdump` plugin: every frame that passes a port in a classic capture file, once as it arrives and once for each port
 * that it leaves at (reference: management console). A file that cannot be written any more ends the dumping.
 */

import { resolve } from 'node:path';
import { PacketDirection } from '../frame/pcapng-packet.js';
import { CaptureFile } from '../plug/capture-file.js';
import type { ObservedViews } from '../switch/observer.js';
import { VdeError } from '../sys/errors.js';
import { leadingInteger, printable } from './arguments.js';
import { requireOwner } from './caller.js';
import { type Caller, consoleError, MENU } from './command-table.js';
import type { PluginDefinition, PluginHost, PluginParts } from './plugin-host.js';

class Dumper {
  #name = 'vde_dump.cap';
  #file: CaptureFile | undefined;
  #buffered = false;
  #stop: (() => void) | undefined;

  constructor(private readonly host: PluginHost) {}

  setActive(on: boolean, out: string[], caller: Caller): void {
    if (on === (this.#stop !== undefined)) throw consoleError(on ? 'EEXIST' : 'ENOENT');
    if (!on) {
      this.#end();
      return;
    }
    if (this.#file === undefined) this.#open(this.#name, out, caller);
    const record =
      (direction: PacketDirection): ObservedViews =>
      (_, burst, views, count) => {
        this.#file?.record(burst, views, count, direction);
        if (!this.#buffered) this.#file?.flush();
      };
    this.#stop = this.host.observe({
      arrived: record(PacketDirection.inbound),
      leaving: record(PacketDirection.outbound),
    });
  }

  #end(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#file?.flush();
  }

  setName(name: string, out: string[], caller: Caller): void {
    if (name !== '') this.#open(name, out, caller);
    out.push(`dumpfile=${printable(this.#name)}`);
  }

  /** @throws VdeError EINVAL if it cannot be written, EACCES if it is not the caller's to write. */
  #open(name: string, out: string[], caller: Caller): void {
    requireOwner(caller);
    // The same file cannot be begun anew while it is open.
    if (name === this.#name) this.#close();
    let file: CaptureFile;
    try {
      file = new CaptureFile(resolve(name), 'pdump', {
        interfaceName: 'switch',
        format: 'pcap',
        notice: (line) => this.host.log(line),
        onStopped: () => this.#failed(),
      });
    } catch (error) {
      if (!(error instanceof VdeError)) throw error;
      out.push(`set_dumper() open(${printable(name)}): ${error.reason}`, `ERROR: cannot dump to ${printable(name)}`);
      throw consoleError('EINVAL');
    }
    if (file.stopped) throw consoleError('EINVAL');
    this.#close();
    this.#file = file;
    this.#name = name;
  }

  #failed(): void {
    this.#file = undefined;
    this.#stop?.();
    this.#stop = undefined;
  }

  set buffered(on: boolean) {
    this.#buffered = on;
    if (!on) this.#file?.flush();
  }

  #close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  close(): void {
    this.#end();
    this.#close();
  }
}

export const pdumpPlugin: PluginDefinition = {
  name: 'pdump',
  help: 'dump packets to file, in pcap format',
  start(host): PluginParts {
    const dumper = new Dumper(host);
    // Known to those who list them; nothing is ever said there, as in C's.
    host.debugCategory('pdump/packetin', 0o101, 'dump incoming packet to file');
    host.debugCategory('pdump/packetout', 0o102, 'dump outgoing packet to file');
    return {
      commands: [
        { name: 'pdump', syntax: MENU, help: 'DUMP Packets to file' },
        {
          name: 'pdump/active',
          syntax: '0/1',
          help: 'start dumping data',
          data: true,
          run: (argument, out, caller) => dumper.setActive(leadingInteger(argument) !== 0, out, caller),
        },
        {
          name: 'pdump/filename',
          syntax: '<file>',
          help: 'set/show output filename (default: vde_dump.cap)',
          data: true,
          run: (argument, out, caller) => dumper.setName(argument, out, caller),
        },
        {
          name: 'pdump/buffered',
          syntax: '0/1',
          help: 'set buffered/unbuffered dump',
          run: (argument) => {
            dumper.buffered = leadingInteger(argument) !== 0;
          },
        },
      ],
      close: () => dumper.close(),
    };
  },
};
