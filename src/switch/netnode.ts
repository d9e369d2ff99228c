/**
 * `switch://DIRECTORY`, `hub://`, `multi://` and `bonding://`: a switch of this very process, which is itself one of its
 * stations (reference: plugins, section 11). Others connect with `vde://DIRECTORY`; all of it goes when the end is closed.
 * With `multi` and `bonding` the others reach the process alone, see `concentrator.ts`. With `mgmt` it has a console.
 *
 * It is the switch that `vde_switch` runs. The process's own station is a port joined to the end by a socket pair, so that
 * a slow owner holds nobody up; if the end has been offered another one, that is seated in the port instead.
 *
 * As in C's, VLAN tags are passed on as they are, and which port a client asks for does not matter.
 */

import { FRAME_MAX } from '../frame/burst.js';
import { adoptOffer } from '../plug/adoption.js';
import { PlugBase } from '../plug/base.js';
import { type DatagramOptions, DatagramPlug } from '../plug/datagram.js';
import { parsePath } from '../plug/locator.js';
import { notice } from '../plug/notice.js';
import { type ParamSpec, readParams } from '../plug/params.js';
import { groupNumber } from '../plug/permissions.js';
import type { Adoptable, Plug } from '../plug/plug.js';
import type { ResolvedLocator } from '../plug/resolve.js';
import type { OpenOptions, Scheme } from '../plug/scheme.js';
import type { Descriptor } from '../sys/descriptor.js';
import { VdeError } from '../sys/errors.js';
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
  { name: 'mgmt', type: 'string', arg: 'PATH', doc: 'management socket: a console as that of vde_switch' },
  { name: 'mgmtmode', type: 'octal', arg: 'OCTAL', doc: 'permissions of the management socket (0600)' },
] as const satisfies readonly ParamSpec[];

function shutdown(subject: string): VdeError {
  return new VdeError({ code: 'ESHUTDOWN', subject, cause: 'shut down from its console' });
}

/** The owner's station: one end of a socket pair whose other end is a port. */
class StationPlug extends DatagramPlug {
  constructor(
    data: Descriptor,
    options: DatagramOptions,
    private readonly node: Node,
  ) {
    super(data, options);
  }

  /** Ends it because the console said so. */
  shutDown(): void {
    this.lose(shutdown(this.name));
  }

  protected override release(): void {
    super.release();
    this.node.close();
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
    private readonly node: Node,
  ) {
    super();
    attach(node.service, guest);
    const { onLost } = guest;
    guest.onLost = (error) => {
      onLost?.(error);
      this.lose(error);
    };
  }

  /** As `StationPlug.shutDown`. */
  shutDown(): void {
    this.lose(shutdown(this.name));
  }

  protected override transmit(): void {}

  protected override listen(): void {}

  protected override release(): void {
    this.node.close();
  }
}

/** What an end of this file needs of its switch. */
interface Node {
  service: SwitchService;
  /** Ends the switch, and the console if there is one. */
  close: () => void;
}

function attach(service: SwitchService, plug: Plug): void {
  service.switch.attach(plug, { id: 0, module: 'own', description: 'the process itself', user: -1 });
}

function station(name: string, node: Node, offer: Adoptable | undefined): StationPlug | SeatedPlug {
  const { service } = node;
  const guest = offer && adoptOffer(offer, name);
  if (guest !== undefined) return new SeatedPlug(name, guest, node);
  const [own, port] = socketPair(SOCK_DGRAM, name);
  const options = { name, maxFrame: FRAME_MAX, offloads: true };
  attach(service, new DatagramPlug(port, options));
  return new StationPlug(own, options, node);
}

/** Where a node is made if no directory is named (reference: section 11). */
function defaultDirectory(): string {
  const uid = process.geteuid?.() ?? 0;
  return `/tmp/vdenode_${userName(uid) ?? `u${uid}`}`;
}

/** The schemes of this file. */
export type NodeKind = 'switch' | 'hub' | ConcentratorKind;

/** How the console of a node is served, on a management socket. */
export interface NodeConsole {
  path: string;
  /** Permissions and group of the socket; the default if not given. */
  mode: number | undefined;
  group: number | undefined;
  /** What the command `shutdown` does. */
  shutdown: () => void;
}

/** Serves a console of a switch; returns what ends that. Consoles live on the floor above. */
export type OpenNodeConsole = (service: SwitchService, options: NodeConsole) => Promise<() => void>;

async function openNode(
  kind: NodeKind,
  { body, bodyAt, locator, text }: ResolvedLocator,
  options: OpenOptions,
  openConsole: OpenNodeConsole,
): Promise<Plug> {
  const { path, params: given } = parsePath(body, bodyAt, text);
  const { dirmode, hashsize, expiretime, mgmt, mgmtmode, ...settings } = readParams(params, given, text);
  const group = settings.grp ?? options.group;
  const gid = group === undefined ? undefined : groupNumber(group, text, 'grp');
  const mode = settings.mode ?? options.mode;
  const service = new SwitchService(path || defaultDirectory(), {
    // With a mode for the directory alone, the sockets keep theirs.
    mode: mode === undefined ? dirmode && DEFAULT_MODE : mode & 0o666,
    directoryMode: dirmode,
    group: gid,
    ports: PORTS_MAX,
    hub: kind === 'hub' || hashsize === 0,
    concentrator: kind === 'multi' || kind === 'bonding' ? kind : undefined,
    transparent: true,
    anyPort: true,
    log: (line) => notice(options, `${locator}: ${line}`),
  });
  const node: Node = { service, close: () => service.close() };
  try {
    const { table } = service.switch;
    table.expire = expiretime;
    // An address may move at once, as in C's: it need not have been silent at all.
    table.minPersistence = -1;
    let plug: StationPlug | SeatedPlug | undefined;
    if (mgmt !== undefined) {
      const console = { path: mgmt, mode: mgmtmode, group: gid, shutdown: () => plug?.shutDown() };
      const close = await openConsole(service, console);
      node.close = () => {
        close();
        service.close();
      };
    }
    plug = station(locator, node, options.offer);
    return plug;
  } catch (error) {
    node.close();
    throw error;
  }
}

const DOCS: Record<NodeKind, string> = {
  switch: 'a switch in DIRECTORY, which this process runs',
  hub: 'a hub in DIRECTORY, which this process runs',
  multi: 'ends in DIRECTORY that reach this process alone; its own frames go to all of them',
  bonding: 'ends in DIRECTORY that reach this process alone; its own frames go to one after the other',
};

/** A scheme of this file. */
export function nodeScheme(name: NodeKind, openConsole: OpenNodeConsole): Scheme {
  return {
    name,
    syntax: '[DIRECTORY][PARAMETERS]',
    doc: DOCS[name],
    maxFrame: FRAME_MAX,
    params,
    open: (locator, options) => openNode(name, locator, options, openConsole),
  };
}
