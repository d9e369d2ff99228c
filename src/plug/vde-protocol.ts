/**
 * The handshake of a VDE switch's control socket, as bytes (reference: VDE switch socket protocol, section 2).
 *
 * The client sends one request, the switch answers with one socket address; then both leave the stream silent, and its
 * end is the end of the connection. Numbers are in host order, which is little-endian on every machine we run on.
 *
 * Our own ends say more to each other. What follows a NUL in a request's description is invisible to a C switch, and
 * what follows the 110 bytes of an answer is only sent to a client that has put it there: an `Extension`, and in a request
 * the settings of an end that it offers.
 */

import { SOCKADDR_UN } from '../sys/layout.js';

const MAGIC = 0xfeedface;
const REQUEST_HEADER = 12;
const ADDRESS_V3 = 12;
const ADDRESS_V1 = 14;
/** Bytes of a request before its description, by version. */
const REQUEST_V3 = 122;
const REQUEST_V1 = 124;
/** A C switch reads this much at once and would take the rest for another request. */
export const REQUEST_MAX = 256;
/** Bytes of an answer. */
export const REPLY_SIZE = SOCKADDR_UN.size;
/** Bytes of description that C clients' buffers hold. */
const DESCRIPTION_MAX = 127;

const NEW_CONTROL = 0;
const NEW_PORT0 = 1;

/** What two ends of ours tell each other beyond the C protocol. */
export interface Extension {
  /** Longest frame that the sender of this takes, in bytes. */
  maxFrame: number;
  /** Request: super-frames can be taken and given. Answer: each datagram begins with a `struct virtio_net_hdr`. */
  offloads: boolean;
  /** Request: the descriptor that came with it may be served in place of the data socket. Answer: it is. */
  adopt: boolean;
}

const EXTENSION_MAGIC = 0x31454456; // "VDE1"
/** Magic, longest frame, flags, as 32-bit words. */
const EXTENSION_SIZE = 12;
const FLAG_OFFLOADS = 1;
const FLAG_ADOPT = 2;
const NO_SETTINGS = Buffer.alloc(0);

/** A client's request for a port. */
export interface Request {
  /** Port wanted; undefined for any free one. */
  port: number | undefined;
  /** Path of the client's data socket; begins with NUL if abstract; undefined if it is unnamed. */
  path: Buffer | undefined;
  /** Text that the client describes itself with; undefined if it sent none. */
  description: string;
  extension: Extension | undefined;
  /** What goes with the descriptors that came with it (`Adoptable.settings`); empty if nothing does. */
  settings: Buffer;
}

/** Why a request is refused; `need` more bytes may make it whole. */
export type RequestError = { error: string; incomplete: boolean };

function writeExtension(bytes: Buffer, offset: number, extension: Extension): void {
  bytes.writeUInt32LE(EXTENSION_MAGIC, offset);
  bytes.writeUInt32LE(extension.maxFrame, offset + 4);
  bytes.writeUInt32LE((extension.offloads ? FLAG_OFFLOADS : 0) | (extension.adopt ? FLAG_ADOPT : 0), offset + 8);
}

function readExtension(bytes: Buffer, offset: number): Extension | undefined {
  if (bytes.length < offset + EXTENSION_SIZE || bytes.readUInt32LE(offset) !== EXTENSION_MAGIC) return undefined;
  const flags = bytes.readUInt32LE(offset + 8);
  return {
    maxFrame: bytes.readUInt32LE(offset + 4),
    offloads: (flags & FLAG_OFFLOADS) !== 0,
    adopt: (flags & FLAG_ADOPT) !== 0,
  };
}

/**
 * A request of version 3.
 * @param port undefined for any; 0 or less asks for port 0.
 * @param path of the client's bound data socket, at most 107 bytes.
 * @param settings follow the extension; they must fit (`hasRoomFor`).
 */
export function encodeRequest(
  port: number | undefined,
  path: string,
  description: string,
  extension?: Extension,
  settings: Uint8Array = NO_SETTINGS,
): Buffer {
  const more = extension ? 1 + EXTENSION_SIZE + settings.length : 0;
  const room = REQUEST_MAX - REQUEST_V3 - more;
  const text = cutUtf8(Buffer.from(description.replaceAll('\0', ' ')), Math.min(room, DESCRIPTION_MAX));
  const bytes = Buffer.alloc(REQUEST_V3 + text.length + more);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(3, 4);
  bytes.writeUInt32LE(port === undefined ? NEW_CONTROL : port > 0 ? port << 8 : NEW_PORT0, 8);
  bytes.writeUInt16LE(1, ADDRESS_V3);
  bytes.write(path, ADDRESS_V3 + SOCKADDR_UN.path, SOCKADDR_UN.pathRoom - 1);
  text.copy(bytes, REQUEST_V3);
  if (extension) {
    writeExtension(bytes, REQUEST_V3 + text.length + 1, extension);
    bytes.set(settings, bytes.length - settings.length);
  }
  return bytes;
}

/** Whether settings fit into a request behind its description and extension, without cutting the description shorter. */
export function hasRoomFor(settings: Uint8Array, description: string): boolean {
  const room = REQUEST_MAX - REQUEST_V3 - 1 - EXTENSION_SIZE;
  return settings.length <= room - Math.min(Buffer.byteLength(description), room);
}

/** Cuts to at most `max` bytes without splitting a character. */
function cutUtf8(text: Buffer, max: number): Buffer {
  if (text.length <= max) return text;
  let end = max;
  while (end > 0 && (text[end] & 0xc0) === 0x80) end--;
  return text.subarray(0, end);
}

/** Reads a request of version 3 or 1. Bytes from a client: nothing about them is believed. */
export function decodeRequest(bytes: Buffer): Request | RequestError {
  if (bytes.length < 8) return { error: `request of ${bytes.length} bytes`, incomplete: true };
  if (bytes.readUInt32LE(0) !== MAGIC)
    return { error: 'not a request of this protocol (wrong magic)', incomplete: false };
  const version = bytes.readUInt32LE(4);
  // Version 1 had no version field: the word is its type, which was 0 or 1.
  if (version === 2 || version > 3) return { error: `unknown protocol version ${version}`, incomplete: false };
  const v3 = version === 3;
  const size = v3 ? REQUEST_V3 : REQUEST_V1;
  if (bytes.length < size)
    return { error: `request of ${bytes.length} bytes, at least ${size} expected`, incomplete: true };
  const type = v3 ? bytes.readInt32LE(REQUEST_HEADER - 4) : version;
  const kind = type & 0xff;
  if (kind > NEW_PORT0) return { error: `unknown request type ${kind}`, incomplete: false };
  const wanted = type >> 8;
  const port = kind === NEW_PORT0 || wanted < 0 ? 0 : wanted === 0 ? undefined : wanted;
  const address = bytes.subarray(v3 ? ADDRESS_V3 : ADDRESS_V1, v3 ? REQUEST_V3 : REQUEST_V1);
  if (address.readUInt16LE(0) !== 1)
    return { error: `address family ${address.readUInt16LE(0)} is not AF_UNIX`, incomplete: false };
  const path = readPath(address.subarray(SOCKADDR_UN.path, SOCKADDR_UN.size));
  const end = bytes.indexOf(0, size);
  const description = bytes.subarray(size, end < 0 ? bytes.length : end).toString('utf8');
  const extension = end < 0 ? undefined : readExtension(bytes, end + 1);
  const settings = extension === undefined ? NO_SETTINGS : bytes.subarray(end + 1 + EXTENSION_SIZE);
  return { port, path, description, extension, settings };
}

function readPath(room: Buffer): Buffer | undefined {
  if (room[0] === 0) {
    // Abstract: all 107 bytes behind the NUL are the name, its zero padding included. All zeros: unnamed.
    return room.every((byte) => byte === 0) ? undefined : Buffer.from(room);
  }
  const end = room.indexOf(0);
  return Buffer.from(end < 0 ? room : room.subarray(0, end));
}

/** The answer: the address of the switch's data socket, and what we add for an end of ours. */
export function encodeReply(path: string, extension?: Extension): Buffer {
  const bytes = Buffer.alloc(REPLY_SIZE + (extension ? EXTENSION_SIZE : 0));
  bytes.writeUInt16LE(1, 0);
  bytes.write(path, SOCKADDR_UN.path, SOCKADDR_UN.pathRoom - 1);
  if (extension) writeExtension(bytes, REPLY_SIZE, extension);
  return bytes;
}

/** Reads an answer; undefined if it is none. */
export function decodeReply(bytes: Buffer): { path: string; extension: Extension | undefined } | undefined {
  if (bytes.length < REPLY_SIZE || bytes.readUInt16LE(0) !== 1) return undefined;
  const path = readPath(bytes.subarray(SOCKADDR_UN.path, SOCKADDR_UN.size));
  if (path === undefined) return undefined;
  return { path: path.toString('utf8'), extension: readExtension(bytes, REPLY_SIZE) };
}
