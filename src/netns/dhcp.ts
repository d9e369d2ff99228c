/**
 * A DHCPv4 client: RFC 2131 section 4.4, with the states of its figure 5. It knows frames, timers and chance only by what
 * is passed in, so that a lease of a year passes in a moment of a test. A new address is probed for before it is used,
 * and declined if somebody has it.
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
  optionU32,
  parseDhcp,
  u32Option,
  writeDhcp,
} from '../frame/dhcp.js';
import { EtherType, parseEthernet, writeEthernet } from '../frame/ethernet.js';
import { IpProtocol, parseIpv4, writeIpv4 } from '../frame/ipv4.js';
import { broadcastMac, equalMac, formatMac, type MacAddress } from '../frame/mac.js';
import { parseUdp, writeUdp } from '../frame/udp.js';
import { AddressProbe, announcement } from './address-probe.js';
import { type Lease, readLease, sameLease, type TimedLease } from './dhcp-lease.js';

const ANYBODY = 0xffffffff;
/** First wait for an answer, and the longest, in ms; doubled each time, give or take a tenth. */
const WAIT_MIN_MS = 1000;
const WAIT_MAX_MS = 64_000;
/** Requests for an offered address before starting again. */
const REQUESTS_MAX = 4;
/** Renewals are not asked for more often than this, in ms (RFC 2131 section 4.4.5). */
const RENEWAL_STEP_MS = 60_000;
/** Wait after an address has been declined, in ms (RFC 2131 section 3.1). */
const DECLINED_MS = 10_000;
/** From the first announcement of an address to the second, in ms (RFC 5227 section 1.1). */
const ANNOUNCE_INTERVAL_MS = 2000;
/** Timers hold 31 bits; a longer wait is made of several. */
const TIMER_MAX_MS = 0x7fffffff;
const MESSAGE_SIZE = 1472;
/** Classless routes must come before the routers that they stand in for (RFC 3442). */
const WANTED = [
  DhcpOption.subnetMask,
  DhcpOption.classlessRoutes,
  DhcpOption.routers,
  DhcpOption.domainServers,
  DhcpOption.domainName,
  DhcpOption.interfaceMtu,
  DhcpOption.leaseTime,
  DhcpOption.renewalTime,
  DhcpOption.rebindingTime,
];

/** What a client listens to: nothing, answers of servers, or who else has its address. */
export type Hearing = 'nothing' | 'dhcp' | 'arp';

/** The world of a client. */
export interface DhcpWorld {
  /** In ms, monotonic. */
  now(): number;
  /** Calls once, `ms` later; returns what prevents it. */
  after(ms: number, call: () => void): () => void;
  /** In [0, 1). */
  random(): number;
  send(frame: Uint8Array): void;
  /** Which frames are wanted by `receive`. */
  listen(to: Hearing): void;
  /** An address may be used, or used on; `changed` if anything but its time is new. */
  bound(lease: Lease, changed: boolean): void;
  /** The address may not be used any more. */
  expired(lease: Lease): void;
  /** An address was granted that `other` has already; the client will ask for another one. */
  declined(lease: Lease, other: MacAddress): void;
}

type State = 'stopped' | 'selecting' | 'requesting' | 'probing' | 'declined' | 'bound' | 'renewing' | 'rebinding';

/** What a message says besides its type and the client's number. */
interface Outgoing {
  /** The address that the client has: its sender's. */
  held?: number;
  /** To the server alone, at this address. */
  server?: number;
  secs?: number;
  options: [number, Uint8Array][];
}

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
  #probe: AddressProbe | undefined;
  #cancelAnnouncement = (): void => {};

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

  /** Gives the lease back, if there is one, and falls silent (RFC 2131 section 4.4.6). */
  release(): void {
    const lease = this.#lease;
    this.#quiet('stopped');
    this.#lease = undefined;
    if (lease === undefined) return;
    this.#xid = this.#number();
    const options: [number, Uint8Array][] = [[DhcpOption.serverId, u32Option(lease.server)]];
    this.#transmit(DhcpType.release, { held: lease.address, server: lease.server, options });
  }

  #begin(state: State): void {
    this.#state = state;
    this.#tries = 0;
    this.#began = this.world.now();
    this.#xid = this.#number();
    this.world.listen('dhcp');
  }

  /** Stops whatever goes on. */
  #quiet(state: State): void {
    this.#state = state;
    this.#cancel();
    this.#cancelAnnouncement();
    this.#probe?.stop();
    this.#probe = undefined;
    this.world.listen('nothing');
  }

  #number(): number {
    return Math.floor(this.world.random() * 0x1_0000_0000);
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
    this.#ask(DhcpType.discover);
  }

  #request(): void {
    const offer = this.#offer as DhcpMessage;
    if (this.#tries >= REQUESTS_MAX) {
      this.start();
      return;
    }
    if (this.#tries === 0) this.#asked = this.world.now();
    this.#later(this.#backOff(), () => this.#request());
    this.#ask(DhcpType.request, [
      [DhcpOption.requestedAddress, u32Option(offer.yourAddress)],
      [DhcpOption.serverId, u32Option(optionU32(offer, DhcpOption.serverId) ?? 0)],
    ]);
  }

  /** Called from T1 on: to the server that granted the lease, from T2 on to all, until the lease is over. */
  #renew(): void {
    const now = this.world.now();
    if (now >= this.#end) {
      this.#refused();
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
    this.#ask(DhcpType.request);
  }

  /** Asks for something: in a message that says what is wanted, and how long an answer may be. */
  #ask(type: number, options: [number, Uint8Array][] = []): void {
    const held = this.#state === 'renewing' || this.#state === 'rebinding' ? this.#lease : undefined;
    this.#transmit(type, {
      held: held?.address,
      server: this.#state === 'renewing' ? held?.server : undefined,
      secs: Math.min(0xffff, Math.floor((this.world.now() - this.#began) / 1000)),
      options: [
        ...options,
        [DhcpOption.maxSize, Uint8Array.of(MESSAGE_SIZE >> 8, MESSAGE_SIZE & 0xff)],
        [DhcpOption.parameterList, Uint8Array.from(WANTED)],
      ],
    });
  }

  #transmit(type: number, { held = 0, server, secs = 0, options }: Outgoing): void {
    const payload = writeDhcp({
      ...{ op: 1, xid: this.#xid, secs, mac: this.mac },
      broadcast: held === 0 && type !== DhcpType.decline,
      ...{ clientAddress: held, yourAddress: 0, nextServer: 0, relay: 0 },
      options: new Map([
        [DhcpOption.messageType, Uint8Array.of(type)],
        [DhcpOption.clientId, Uint8Array.of(1, ...this.mac)],
        ...options,
      ]),
    });
    const ip = { src: held, dst: server ?? ANYBODY };
    const packet = writeIpv4({
      ...{ dscp: 0, ecn: 0, identification: 0, dontFragment: true, moreFragments: false, fragmentOffset: 0 },
      ...{ ttl: 64, protocol: IpProtocol.udp, options: new Uint8Array(), ...ip },
      payload: writeUdp({ srcPort: DHCP_CLIENT_PORT, dstPort: DHCP_SERVER_PORT, payload }, ip),
    });
    const dst = server === undefined ? broadcastMac() : this.#serverMac;
    this.world.send(writeEthernet({ dst, src: this.mac, type: EtherType.ipv4, payload: packet }));
  }

  /** Takes a frame that has arrived; anything that is not an answer to us is passed over. */
  receive(frame: Uint8Array): void {
    if (this.#probe !== undefined) {
      this.#probe.receive(frame);
      return;
    }
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
        if (lease) this.#granted(lease, from);
      }
    }
  }

  /** The lease is over, or was never to be. */
  #refused(): void {
    const lease = this.#lease;
    this.#lease = undefined;
    this.#quiet('stopped');
    if (lease) this.world.expired(lease);
    this.start();
  }

  #granted(lease: TimedLease, from: MacAddress): void {
    const before = this.#lease;
    this.#quiet('probing');
    this.#serverMac = from;
    if (before?.address === lease.address) {
      this.#bind(lease);
      return;
    }
    this.#lease = undefined;
    if (before) this.world.expired(before);
    this.world.listen('arp');
    this.#probe = new AddressProbe(
      this.mac,
      lease.address,
      this.world,
      () => {
        this.#bind(lease);
        this.#announce(lease);
      },
      (other) => this.#decline(lease, other),
    );
  }

  #decline(lease: Lease, other: MacAddress): void {
    this.#quiet('declined');
    this.#xid = this.#number();
    this.#transmit(DhcpType.decline, {
      options: [
        [DhcpOption.requestedAddress, u32Option(lease.address)],
        [DhcpOption.serverId, u32Option(lease.server)],
        [DhcpOption.message, new TextEncoder().encode(`in use by ${formatMac(other)}`)],
      ],
    });
    this.#later(DECLINED_MS, () => this.start());
    this.world.declined(lease, other);
  }

  #bind(lease: TimedLease): void {
    const before = this.#lease;
    const changed = before === undefined || !sameLease(before, lease);
    this.#quiet('bound');
    this.#lease = lease;
    const ms = lease.duration * 1000;
    this.#end = this.#asked + ms;
    this.#t1 = this.#asked + (lease.t1 ?? lease.duration / 2) * 1000;
    this.#t2 = this.#asked + (lease.t2 ?? lease.duration * 0.875) * 1000;
    if (lease.duration !== Number.POSITIVE_INFINITY) this.#later(this.#t1 - this.world.now(), () => this.#renew());
    this.world.bound(lease, changed);
  }

  #announce({ address }: Lease): void {
    this.world.send(announcement(this.mac, address));
    this.#cancelAnnouncement = this.world.after(ANNOUNCE_INTERVAL_MS, () => {
      this.world.send(announcement(this.mac, address));
    });
  }
}
