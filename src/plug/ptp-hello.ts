/**
 * How two ends of ours find each other at a point-to-point link, and what they agree on.
 *
 * The newcomer sends the other end an empty datagram that carries one end of a connection. To a C end an empty datagram
 * says that its peer has left, which a newcomer's has, and the kernel closes descriptors that nobody asks for: then the
 * connection ends, and that is the answer. An end of ours finds the newcomer's request in it and answers there. Both then
 * keep it: its end is the end of the session. So no name is needed beside the files, and whoever may send to a file may ask.
 */

import { FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { receiveWithDescriptors, sendWithDescriptors } from '../sys/ancillary.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { loop } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import {
  AF_UNIX,
  getOption,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOL_SOCKET,
  socketPair,
} from '../sys/socket.js';
import { adoptAll, OFFERED_MAX } from './adoption.js';
import { DatagramPlug } from './datagram.js';
import { type Adoptable, type Drops, offeredDescriptors, type Plug } from './plug.js';

/** How long an answer is waited for, in ms: a stopped end is then taken for one of C. */
const ANSWER_MS = 1000;

/** What is said in both directions: magic, longest frame, flags, as 32-bit words; with an offer, its settings. */
const MESSAGE_SIZE = 12;
const MAGIC = 0x31505450; // "PTP1"
const NO_SETTINGS = new Uint8Array(0);
/** What comes along, descriptors and settings, is the sender's other end: it may be served in place of the sender. */
const FLAG_OFFER = 1;
/** Answer: the other's offer is accepted, no frame need be sent. */
const FLAG_SERVED = 2;

const scratch = new Memory(512);

/** What an end brings to a session. */
export interface Party {
  readonly name: string;
  readonly drops: Drops;
  /** The end at the other side of its cable, if that can be served by whoever gets it. */
  readonly offer: Adoptable | undefined;
}

/** A session of two ends of ours. */
export interface Session {
  /** Its end is the session's. */
  control: Descriptor;
  /** Leads to the other end, or is what the other end gave to be served; undefined if the other serves ours. */
  peer: Plug | undefined;
  /** Socket that frames come from, if they do; the peer's. */
  data: Descriptor | undefined;
}

interface Message {
  maxFrame: number;
  flags: number;
}

/** What a message brought. */
interface Arrived {
  message: Message;
  settings: Buffer;
  descriptors: readonly Descriptor[];
}

function encode({ maxFrame, flags }: Message, settings: Uint8Array = NO_SETTINGS): Buffer {
  const bytes = Buffer.alloc(MESSAGE_SIZE + settings.length);
  bytes.set(settings, MESSAGE_SIZE);
  for (const [i, word] of [MAGIC, maxFrame, flags].entries()) bytes.writeUInt32LE(word, i * 4);
  return bytes;
}

/** Reads what has come on a control connection; bytes of another process: nothing about them is believed. */
function receive(control: Descriptor): Arrived | undefined {
  const { length, descriptors, truncated } = receiveWithDescriptors(control, scratch, OFFERED_MAX);
  const { bytes, view } = scratch;
  if (length >= MESSAGE_SIZE && length < scratch.size && !truncated && view.getUint32(0, true) === MAGIC) {
    const maxFrame = Math.min(view.getUint32(4, true), FRAME_MAX);
    const settings = Buffer.from(bytes.subarray(MESSAGE_SIZE, length));
    if (maxFrame >= FRAME_MIN) return { message: { maxFrame, flags: view.getUint32(8, true) }, settings, descriptors };
  }
  discardAll(descriptors);
  return undefined;
}

/** Closes what another process gave. That may take its time. */
function discardAll(descriptors: readonly Descriptor[]): void {
  for (const one of descriptors) one.discard();
}

function sendMessage(control: Descriptor, message: Message, descriptors: readonly Descriptor[] = []): boolean {
  return sendWithDescriptors(control, encode(message), descriptors) === MESSAGE_SIZE;
}

/** Sends the offer, if there is one. */
function sendOffer(control: Descriptor, offer: Adoptable | undefined): boolean {
  if (offer === undefined) return sendMessage(control, { maxFrame: FRAME_MAX, flags: 0 });
  const bytes = encode({ maxFrame: FRAME_MAX, flags: FLAG_OFFER }, offer.settings);
  return sendWithDescriptors(control, bytes, offeredDescriptors(offer)) === bytes.length;
}

function isUnix(descriptor: Descriptor, type: number): boolean {
  const { fd } = descriptor;
  return getOption(fd, SOL_SOCKET, SO_DOMAIN) === AF_UNIX && getOption(fd, SOL_SOCKET, SO_TYPE) === type;
}

function dataPlug(data: Descriptor, party: Party, maxFrame: number): Plug {
  return new DatagramPlug(data, { name: party.name, maxFrame, offloads: true, drops: party.drops });
}

/**
 * Asks who is at the other end of a connected datagram socket.
 * @returns undefined if that is no end of ours.
 */
export async function sayHello(socket: Descriptor, party: Party): Promise<Session | undefined> {
  const [control, theirs] = socketPair(SOCK_SEQPACKET, party.name);
  const asked = sendOffer(control, party.offer) && sendWithDescriptors(socket, new Uint8Array(0), [theirs]) === 0;
  theirs.close();
  if (asked && (await hasAnswer(control))) {
    const session = readAnswer(control, party);
    if (session !== undefined) return session;
  }
  control.close();
  return undefined;
}

function hasAnswer(control: Descriptor): Promise<boolean> {
  return new Promise((done) => {
    const settle = (answered: boolean) => {
      clearTimeout(timer);
      watch.close();
      done(answered);
    };
    const timer = setTimeout(() => settle(false), ANSWER_MS);
    const watch = loop().watch(control.fd, EPOLLIN | EPOLLRDHUP, (events) => {
      settle((events & EPOLLIN) !== 0);
      return undefined;
    });
  });
}

function readAnswer(control: Descriptor, party: Party): Session | undefined {
  const received = receive(control);
  if (received === undefined) return undefined;
  const { message, settings, descriptors } = received;
  if (message.flags & FLAG_SERVED) {
    discardAll(descriptors);
    return party.offer && { control, peer: undefined, data: undefined };
  }
  if (message.flags & FLAG_OFFER) {
    const peer = adoptAll(descriptors, settings, party.name, party.drops);
    if (peer !== undefined) return { control, peer, data: undefined };
  } else if (descriptors.length === 1 && isUnix(descriptors[0], SOCK_DGRAM)) {
    const [data] = descriptors;
    return { control, peer: dataPlug(data, party, message.maxFrame), data };
  }
  discardAll(descriptors);
  return undefined;
}

/**
 * Answers what has come with an empty datagram.
 * @param control taken over.
 * @returns undefined if that was no hello.
 */
export function answerHello(control: Descriptor, party: Party): Session | undefined {
  const received = isUnix(control, SOCK_SEQPACKET) ? receive(control) : undefined;
  const session = received && answer(control, party, received);
  if (session === undefined) control.close();
  return session;
}

function answer(control: Descriptor, party: Party, received: Arrived): Session | undefined {
  const { message: request, settings, descriptors } = received;
  const offered = (request.flags & FLAG_OFFER) !== 0;
  const given = offered ? adoptAll(descriptors, settings, party.name, party.drops) : undefined;
  if (given !== undefined) {
    if (sendMessage(control, { maxFrame: FRAME_MAX, flags: FLAG_SERVED })) {
      return { control, peer: given, data: undefined };
    }
    given.close();
    return undefined;
  }
  discardAll(descriptors);
  if (party.offer !== undefined) {
    return sendOffer(control, party.offer) ? { control, peer: undefined, data: undefined } : undefined;
  }
  const [data, theirs] = socketPair(SOCK_DGRAM, party.name);
  const sent = sendMessage(control, { maxFrame: FRAME_MAX, flags: 0 }, [theirs]);
  theirs.close();
  if (sent) return { control, peer: dataPlug(data, party, request.maxFrame), data };
  data.close();
  return undefined;
}
