/** An end in memory for tests of the switch: what it is sent is kept as bytes, what arrives at it comes from the test. */

import { Burst } from '../../src/frame/burst.js';
import { noDrops, type Plug, type Sink } from '../../src/plug/plug.js';
import { NO_VLAN, type Port } from '../../src/switch/port.js';
import { PORTS_MAX, Switch, type SwitchOptions } from '../../src/switch/switch.js';
import { NOT_MEMBER, UNTAGGED, Vlan } from '../../src/switch/vlan.js';
import type { VdeError } from '../../src/sys/errors.js';

const burst = new Burst();

export class MemoryPlug implements Plug {
  readonly maxFrame = 65_549;
  readonly takesOffloads = false;
  readonly drops = noDrops();
  readonly backlogged = false;
  sink: Sink | undefined;
  onLost: ((error?: VdeError) => void) | undefined;
  onDrained: (() => void) | undefined;
  receiving = true;
  closed = false;
  /** Frames that it was sent, in order. */
  readonly got: Buffer[] = [];
  /** Called at the begin of each `send`. */
  onSend: (() => void) | undefined;
  /** How often `send` was called. */
  sends = 0;

  constructor(readonly name = 'memory') {}

  send(frames: Burst, views: Uint8Array, count: number): void {
    if (this.closed) return;
    this.sends++;
    this.onSend?.();
    for (let k = 0; k < count; k++) this.got.push(Buffer.from(frames.viewBytes(views[k])));
  }

  close(): void {
    this.closed = true;
  }

  /** Lets frames arrive here, as one burst. */
  receive(...frames: Uint8Array[]): void {
    burst.count = 0;
    for (const frame of frames) if (!burst.add(frame)) throw new Error('more than a burst holds');
    this.sink?.(burst);
  }

  /** What it was sent since the last call. */
  take(): Buffer[] {
    return this.got.splice(0);
  }

  /** As an end whose peer has gone. */
  lose(): void {
    const { onLost } = this;
    this.onLost = undefined;
    this.close();
    onLost?.();
  }
}

export interface VirtualSwitch {
  sw: Switch;
  /** The switch's clock, in seconds. */
  clock: { now: number };
  /** Seats a new plug: at a port, or at any that is free. */
  seat(port?: number, user?: number): MemoryPlug;
}

/** A switch in virtual time. */
export function virtualSwitch(options: Partial<SwitchOptions> = {}): VirtualSwitch {
  const clock = { now: 0 };
  const sw = new Switch({ now: () => clock.now, random: () => 0.5, ...options });
  let id = 100;
  const seat = (port?: number, user = -1) => {
    const plug = new MemoryPlug(`plug ${id}`);
    sw.attach(plug, { port, id: id++, module: 'memory', user });
    return plug;
  };
  return { sw, clock, seat };
}

/** A station's address: 02:00:00:00:00:nn. */
export function station(n: number): Buffer {
  return Buffer.from([2, 0, 0, 0, n >> 8, n & 0xff]);
}

export const BROADCAST = Buffer.alloc(6, 0xff);

/** An Ethernet frame; `tci` gives it an 802.1Q tag. */
export function frame(
  to: Uint8Array,
  from: Uint8Array,
  { tci, type = 0x88b5, payload = 'payload' }: { tci?: number; type?: number; payload?: string | Uint8Array } = {},
): Buffer {
  const tag = tci === undefined ? [] : [0x81, 0, tci >> 8, tci & 0xff];
  return Buffer.concat([to, from, Buffer.from([...tag, type >> 8, type & 0xff]), Buffer.from(payload)]);
}

/** The port of that number, which must be there. */
export function portOf(sw: Switch, number: number): Port {
  const port = sw.ports[number];
  if (port === undefined) throw new Error(`no port ${number}`);
  return port;
}

/** Makes a port a member of a VLAN, as the console's commands do. */
export function join(sw: Switch, vid: number, number: number, membership: number): void {
  let vlan = sw.vlans.get(vid);
  if (vlan === undefined) {
    vlan = new Vlan(vid, PORTS_MAX + 1);
    sw.vlans.set(vid, vlan);
  }
  const port = portOf(sw, number);
  if (membership === UNTAGGED) {
    const old = sw.vlans.get(port.untaggedVlan);
    if (old) {
      old.member[number] = NOT_MEMBER;
      old.refresh(sw.ports);
    }
    port.untaggedVlan = vid;
  }
  vlan.member[number] = membership;
  vlan.refresh(sw.ports);
}

/** Takes a port's untagged VLAN away. */
export function noUntagged(sw: Switch, number: number): void {
  join(sw, portOf(sw, number).untaggedVlan, number, NOT_MEMBER);
  portOf(sw, number).untaggedVlan = NO_VLAN;
}
