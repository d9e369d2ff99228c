/**
 * A DHCPv4 client: RFC 2131 section 4.4, with the states of its figure 5. It knows frames, timers and chance only by what
 * is passed in, so that a lease of a year passes in a moment of a test.
 *
 * Frames are made whole, since an interface without an address cannot send by itself; while an address is held, nothing is
 * listened to until it must be renewed. Messages of others are told apart by the client's number and hardware address;
 * UDP checksums are not looked at, because those of a server on this machine are not completed when they arrive.
 */

import {
  DHCP_CLIENT_PORT,
  DHCP_SERVER_PORT,
  type DhcpMessage,
  DhcpOption,
  DhcpType,
  dhcpType,
  optionAddresses,
  optionText,
  optionU16,
  optionU32,
  parseDhcp,
  u32Option,
  writeDhcp,
} from '../frame/dhcp.js';
import { EtherType, parseEthernet, writeEthernet } from '../frame/ethernet.js';
import { IpProtocol, parseIpv4, writeIpv4 } from '../frame/ipv4.js';
import { broadcastMac, equalMac, type MacAddress } from '../frame/mac.js';
import { parseUdp, writeUdp } from '../frame/udp.js';

const ANYBODY = 0xffffffff;
/** First wait for an answer, and the longest, in ms; doubled each time, give or take a tenth. */
const WAIT_MIN_MS = 1000;
const WAIT_MAX_MS = 64_000;
/** Requests for an offered address before starting again. */
const REQUESTS_MAX = 4;
/** Renewals are not asked for more often than this, in ms (RFC 2131 section 4.4.5). */
const RENEWAL_STEP_MS = 60_000;
/** Shortest lease that is taken as it is said, in s. */
const LEASE_MIN_S = 10;
/** Stands for ever (RFC 2131 section 3.3). */
const INFINITE = 0xffffffff;
/** Timers hold 31 bits; a longer wait is made of several. */
const TIMER_MAX_MS = 0x7fffffff;
const MESSAGE_SIZE = 1472;

/** What a server has granted. Addresses are 32-bit numbers. */
export interface Lease {
  address: number;
  prefix: number;
  routers: number[];
  nameServers: number[];
  domain: string | undefined;
  /** In bytes; undefined if the server says nothing. */
  mtu: number | undefined;
  server: number;
  /** In s from when it was granted; Infinity for ever. */
  duration: number;
}

/** The world of a client. */
export interface DhcpWorld {
  /** In ms, monotonic. */
  now(): number;
  /** Calls once, `ms` later; returns what prevents it. */
  after(ms: number, call: () => void): () => void;
  /** In [0, 1). */
  random(): number;
  send(frame: Uint8Array): void;
  /** Whether frames are wanted by `receive`. */
  listen(on: boolean): void;
  /** An address may be used, or used on; `changed` if anything but its time is new. */
  bound(lease: Lease, changed: boolean): void;
  /** The address may not be used any more. */
  expired(lease: Lease): void;
}

type State = 'stopped' | 'selecting' | 'requesting' | 'bound' | 'renewing' | 'rebinding';

/** See the head of this file. */
export class DhcpClient {
  #state: State = 'stopped';
  #lease: Lease | undefined;
  #offer: DhcpMessage | undefined;
  #serverMac: MacAddress = broadcastMac();
  #xid = 0;
  #began = 0;
  /** When the lease was asked for, and its times, in ms of the world's clock. */
  #asked = 0;
  #t1 = 0;
  #t2 = 0;
  #end = 0;
  #tries = 0;
  #cancel = (): void => {};

  constructor(
    readonly mac: MacAddress,
    private readonly world: DhcpWorld,
  ) {}

  get state(): State {
    return this.#state;
  }

  get lease(): Lease | undefined {
    return this.#lease;
  }

  /** Looks for a server. */
  start(): void {
    this.#begin('selecting');
    this.#discover();
  }

  /** Falls silent. The lease is not given back: who ends this way takes the network down too. */
  stop(): void {
    this.#cancel();
    this.#state = 'stopped';
    this.world.listen(false);
  }

  #begin(state: State): void {
    this.#state = state;
    this.#tries = 0;
    this.#began = this.world.now();
    this.#xid = Math.floor(this.world.random() * 0x1_0000_0000);
    this.world.listen(true);
  }

  #later(ms: number, call: () => void): void {
    this.#cancel();
    this.#cancel = this.world.after(Math.min(Math.max(0, ms), TIMER_MAX_MS), call);
  }

  #backOff(): number {
    const wait = Math.min(WAIT_MIN_MS * 2 ** this.#tries++, WAIT_MAX_MS);
    return wait * (0.9 + 0.2 * this.world.random());
  }

  #discover(): void {
    this.#later(this.#backOff(), () => this.#discover());
    this.#transmit(DhcpType.discover, []);
  }

  #request(): void {
    const offer = this.#offer as DhcpMessage;
    if (this.#tries >= REQUESTS_MAX) {
      this.start();
      return;
    }
    if (this.#tries === 0) this.#asked = this.world.now();
    this.#later(this.#backOff(), () => this.#request());
    this.#transmit(DhcpType.request, [
      [DhcpOption.requestedAddress, u32Option(offer.yourAddress)],
      [DhcpOption.serverId, u32Option(optionU32(offer, DhcpOption.serverId) ?? 0)],
    ]);
  }

  /** Called from T1 on: to the server that granted the lease, from T2 on to all, until the lease is over. */
  #renew(): void {
    const now = this.world.now();
    if (now >= this.#end) {
      const lease = this.#lease as Lease;
      this.#lease = undefined;
      this.world.expired(lease);
      this.start();
      return;
    }
    if (now < this.#t1) {
      this.#later(this.#t1 - now, () => this.#renew());
      return;
    }
    const state = now >= this.#t2 ? 'rebinding' : 'renewing';
    if (state !== this.#state) this.#begin(state);
    this.#asked = now;
    const limit = state === 'renewing' ? this.#t2 : this.#end;
    this.#later(Math.min(limit - now, Math.max((limit - now) / 2, RENEWAL_STEP_MS)), () => this.#renew());
    this.#transmit(DhcpType.request, []);
  }

  #transmit(type: number, extra: [number, Uint8Array][]): void {
    const held = this.#state === 'renewing' || this.#state === 'rebinding' ? (this.#lease as Lease) : undefined;
    const direct = this.#state === 'renewing';
    const { subnetMask, routers, domainServers, domainName, interfaceMtu, leaseTime, renewalTime, rebindingTime } =
      DhcpOption;
    const wanted = [
      subnetMask,
      routers,
      domainServers,
      domainName,
      interfaceMtu,
      leaseTime,
      renewalTime,
      rebindingTime,
    ];
    const payload = writeDhcp({
      op: 1,
      xid: this.#xid,
      secs: Math.min(0xffff, Math.floor((this.world.now() - this.#began) / 1000)),
      broadcast: held === undefined,
      clientAddress: held?.address ?? 0,
      yourAddress: 0,
      nextServer: 0,
      relay: 0,
      mac: this.mac,
      options: new Map([
        [DhcpOption.messageType, Uint8Array.of(type)],
        [DhcpOption.clientId, Uint8Array.of(1, ...this.mac)],
        ...extra,
        [DhcpOption.maxSize, Uint8Array.of(MESSAGE_SIZE >> 8, MESSAGE_SIZE & 0xff)],
        [DhcpOption.parameterList, Uint8Array.from(wanted)],
      ]),
    });
    const ip = { src: held?.address ?? 0, dst: direct ? (held as Lease).server : ANYBODY };
    const packet = writeIpv4({
      ...{ dscp: 0, ecn: 0, identification: 0, dontFragment: true, moreFragments: false, fragmentOffset: 0 },
      ...{ ttl: 64, protocol: IpProtocol.udp, options: new Uint8Array(), ...ip },
      payload: writeUdp({ srcPort: DHCP_CLIENT_PORT, dstPort: DHCP_SERVER_PORT, payload }, ip),
    });
    const dst = direct ? this.#serverMac : broadcastMac();
    this.world.send(writeEthernet({ dst, src: this.mac, type: EtherType.ipv4, payload: packet }));
  }

  /** Takes a frame that has arrived; anything that is not an answer to us is passed over. */
  receive(frame: Uint8Array): void {
    const ethernet = parseEthernet(frame);
    if (ethernet?.type !== EtherType.ipv4) return;
    const ip = parseIpv4(ethernet.payload);
    if (ip?.protocol !== IpProtocol.udp || ip.moreFragments || ip.fragmentOffset !== 0) return;
    const udp = parseUdp(ip.payload);
    if (udp?.srcPort !== DHCP_SERVER_PORT || udp.dstPort !== DHCP_CLIENT_PORT) return;
    const message = parseDhcp(udp.payload);
    if (message?.op !== 2 || message.xid !== this.#xid || !equalMac(message.mac, this.mac)) return;
    this.#answer(message, ethernet.src.slice());
  }

  #answer(message: DhcpMessage, from: MacAddress): void {
    const type = dhcpType(message);
    if (this.#state === 'selecting') {
      if (type !== DhcpType.offer || readLease(message) === undefined) return;
      this.#offer = message;
      this.#state = 'requesting';
      this.#tries = 0;
      this.#request();
    } else if (this.#state === 'requesting' || this.#state === 'renewing' || this.#state === 'rebinding') {
      if (type === DhcpType.nak) this.#refused();
      else if (type === DhcpType.ack) {
        const lease = readLease(message, this.#lease?.server);
        if (lease) this.#bind(lease, from);
      }
    }
  }

  #refused(): void {
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease) this.world.expired(lease);
    this.start();
  }

  #bind(lease: TimedLease, from: MacAddress): void {
    const before = this.#lease;
    const changed = before === undefined || !sameLease(before, lease);
    if (before && before.address !== lease.address) this.world.expired(before);
    this.#lease = lease;
    this.#serverMac = from;
    this.#state = 'bound';
    const ms = lease.duration * 1000;
    this.#end = this.#asked + ms;
    this.#t1 = this.#asked + (lease.t1 ?? lease.duration / 2) * 1000;
    this.#t2 = this.#asked + (lease.t2 ?? lease.duration * 0.875) * 1000;
    this.world.listen(false);
    this.#cancel();
    if (lease.duration !== Number.POSITIVE_INFINITY) this.#later(this.#t1 - this.world.now(), () => this.#renew());
    this.world.bound(lease, changed);
  }
}

interface TimedLease extends Lease {
  /** In s, if the server says them and they make sense. */
  t1: number | undefined;
  t2: number | undefined;
}

/** What a message grants; undefined if it has no address that a host can have, or no server that it came from. */
function readLease(message: DhcpMessage, knownServer?: number): TimedLease | undefined {
  const { yourAddress } = message;
  const server = optionU32(message, DhcpOption.serverId) ?? knownServer;
  const first = yourAddress >>> 24;
  if (server === undefined || first === 0 || first === 127 || first >= 224) return undefined;
  const seconds = optionU32(message, DhcpOption.leaseTime);
  const duration =
    seconds === undefined || seconds === INFINITE ? Number.POSITIVE_INFINITY : Math.max(seconds, LEASE_MIN_S);
  const t2 = optionU32(message, DhcpOption.rebindingTime);
  const t1 = optionU32(message, DhcpOption.renewalTime);
  const sensible = t1 !== undefined && t2 !== undefined && t1 > 0 && t1 <= t2 && t2 <= duration;
  return {
    address: yourAddress,
    prefix: prefixOf(optionU32(message, DhcpOption.subnetMask), yourAddress),
    routers: optionAddresses(message, DhcpOption.routers),
    nameServers: optionAddresses(message, DhcpOption.domainServers),
    domain: optionText(message, DhcpOption.domainName),
    mtu: optionU16(message, DhcpOption.interfaceMtu),
    server,
    duration,
    t1: sensible ? t1 : undefined,
    t2: sensible ? t2 : undefined,
  };
}

/** Length of a mask; without one, or with one that has holes, that of the address's class. */
function prefixOf(mask: number | undefined, address: number): number {
  if (mask !== undefined && mask !== 0) {
    const length = Math.clz32(~mask >>> 0);
    if (length === 32 || (mask << length) >>> 0 === 0) return length;
  }
  const first = address >>> 24;
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

function sameLease(a: Lease, b: Lease): boolean {
  const key = ({ address, prefix, routers, nameServers, domain, mtu }: Lease) =>
    JSON.stringify([address, prefix, routers, nameServers, domain, mtu]);
  return key(a) === key(b);
}
