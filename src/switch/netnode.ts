/**
 * `switch://DIRECTORY`, `hub://`, `multi://` and `bonding://`: a switch of this very process, which is itself one of its
 * stations (reference: plugins, section 11). Others connect with `vde://DIRECTORY`; all of it goes when the end is closed.
 * With `multi` and `bonding` the others reach the process alone, see `concentrator.ts`.
 *
 * It is the switch that `vde_switch` runs. The process's own station is a port joined to the end by a socket pair, so that
 * a slow owner holds nobody up; if the end has been offered another one, that is seated in the port instead.
 *
 * As in C's, VLAN tags are passed on as they are, and which port a client asks for does not matter.
 */

import { FRAME_MAX } from '../frame/burst.js';
import { adopt } from '../plug/adoption.js';
import { PlugBase } from '../plug/base.js';
import { type DatagramOptions, DatagramPlug } from '../plug/datagram.js';
import { parsePath } from '../plug/locator.js';
import { type ParamSpec, readParams } from '../plug/params.js';
import { groupNumber } from '../plug/permissions.js';
import type { Adoptable, Plug } from '../plug/plug.js';
import type { ResolvedLocator } from '../plug/resolve.js';
import type { OpenOptions, Scheme } from '../plug/scheme.js';
import type { Descriptor } from '../sys/descriptor.js';
import { SOCK_DGRAM, socketPair } from '../sys/socket.js';
import { userName } from '../sys/users.js';
import type { ConcentratorKind } from './concentrator.js';
import { SwitchService } from './service.js';
import { PORTS_MAX } from './switch.js';

const DEFAULT_EXPIRE = 120;
const DEFAULT_MODE = 0o600;

// The order is libvdeplug's: a shortened key means the first that begins with it.
const params = [
  { name: 'mode', type: 'octal', arg: 'OCTAL', doc: 'permissions of the sockets (0600)' },
  { name: 'dirmode', type: 'octal', arg: 'OCTAL', doc: 'permissions of the directory (as the mode asks for, 02700)' },
  { name: 'grp', type: 'group', arg: 'GROUP', doc: 'group that directory and sockets are given to' },
  {
    name: 'hashsize',
    type: 'number',
    default: 256,
    doc: '0 makes a switch a hub; else without effect: the table grows',
  },
  { name: 'hashseed', type: 'number', default: 0, doc: "without effect: the table's seed is random" },
  {
    name: 'expiretime',
    type: 'number',
    min: 1,
    max: 1_000_000,
    default: DEFAULT_EXPIRE,
    arg: 'SECONDS',
    doc: 'how long an address that is silent is remembered',
  },
] as const satisfies readonly ParamSpec[];

/** The owner's station: one end of a socket pair whose other end is a port. */
class StationPlug extends DatagramPlug {
  constructor(
    data: Descriptor,
    options: DatagramOptions,
    private readonly service: SwitchService,
  ) {
    super(data, options);
  }

  protected override release(): void {
    super.release();
    this.service.close();
  }
}

/** The owner's station when another end sits in its port: only the lives of both are watched. */
class SeatedPlug extends PlugBase implements Plug {
  readonly maxFrame = FRAME_MAX;
  readonly takesOffloads = true;
  readonly backlogged = false;
  readonly adopted = true;

  constructor(
    readonly name: string,
    guest: Plug,
    private readonly service: SwitchService,
  ) {
    super();
    attach(service, guest);
    const { onLost } = guest;
    guest.onLost = (error) => {
      onLost?.(error);
      this.lose(error);
    };
  }

  protected override transmit(): void {}

  protected override listen(): void {}

  protected override release(): void {
    this.service.close();
  }
}

function attach(service: SwitchService, plug: Plug): void {
  service.switch.attach(plug, { id: 0, module: 'own', description: 'the process itself', user: -1 });
}

function station(name: string, service: SwitchService, offer: Adoptable | undefined): Plug {
  const guest = offer && adopt(offer.descriptor.duplicate(), name);
  if (guest !== undefined) return new SeatedPlug(name, guest, service);
  const [own, port] = socketPair(SOCK_DGRAM, name);
  const options = { name, maxFrame: FRAME_MAX, offloads: true };
  attach(service, new DatagramPlug(port, options));
  return new StationPlug(own, options, service);
}

/** Where a node is made if no directory is named (reference: section 11). */
function defaultDirectory(): string {
  const uid = process.geteuid?.() ?? 0;
  return `/tmp/vdenode_${userName(uid) ?? `u${uid}`}`;
}

type Kind = 'switch' | 'hub' | ConcentratorKind;

function openNode(kind: Kind, { body, bodyAt, locator, text }: ResolvedLocator, options: OpenOptions): Plug {
  const { path, params: given } = parsePath(body, bodyAt, text);
  const { dirmode, hashsize, expiretime, ...settings } = readParams(params, given, text);
  const group = settings.grp ?? options.group;
  const mode = settings.mode ?? options.mode;
  const service = new SwitchService(path || defaultDirectory(), {
    // With a mode for the directory alone, the sockets keep theirs.
    mode: mode === undefined ? dirmode && DEFAULT_MODE : mode & 0o666,
    directoryMode: dirmode,
    group: group === undefined ? undefined : groupNumber(group, text, 'grp'),
    ports: PORTS_MAX,
    hub: kind === 'hub' || hashsize === 0,
    concentrator: kind === 'multi' || kind === 'bonding' ? kind : undefined,
    transparent: true,
    anyPort: true,
  });
  try {
    const { table } = service.switch;
    table.expire = expiretime;
    // An address may move at once, as in C's: it need not have been silent at all.
    table.minPersistence = -1;
    return station(locator, service, options.offer);
  } catch (error) {
    service.close();
    throw error;
  }
}

function scheme(name: Kind, doc: string): Scheme {
  return {
    name,
    syntax: '[DIRECTORY][PARAMETERS]',
    doc,
    params,
    open: async (locator, options) => openNode(name, locator, options),
  };
}

/** The schemes of this file. */
export const nodeSchemes = {
  switch: scheme('switch', 'a switch in DIRECTORY, which this process runs'),
  hub: scheme('hub', 'a hub in DIRECTORY, which this process runs'),
  multi: scheme('multi', 'ends in DIRECTORY that reach this process alone; its own frames go to all of them'),
  bonding: scheme(
    'bonding',
    'ends in DIRECTORY that reach this process alone; its own frames go to one after the other',
  ),
} satisfies Record<Kind, Scheme>;
