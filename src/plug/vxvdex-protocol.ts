/**
 * What a member of a vxvdex network and its broker, `vde_vxvdexd`, say to each other: one request and one answer, each a
 * message on an AF_UNIX socket of type SOCK_SEQPACKET. With the answer comes the member's end of a pair of datagram
 * sockets, which frames pass over (one is one datagram); from then on nothing is said, and the end of the connection is
 * the end of the membership. With the request may come an end that the broker is to serve in place of that pair.
 *
 * A request says which network is wanted, never who asks: that the broker asks the kernel.
 *
 *     request: magic(4) version(2) flags(2) maxFrame(4) kind(1) 0(1) nameLength(2) group(4) name
 *     answer:  magic(4) version(2) flags(2) maxFrame(4) network(4) codeLength(2) causeLength(2) code cause remedy
 *
 * Numbers are little-endian. An answer with a code is a refusal: code, cause and remedy are those of a `VdeError`.
 */

/** Where the broker listens unless told otherwise. */
export const VXVDEX_SOCKET = '/run/vde/vxvdexd.sock';
const VXVDEX_VERSION = 1;
/** Longest message, in bytes. */
export const MESSAGE_MAX = 1024;
/** Longest name of a network, in bytes. */
const NAME_MAX = 63;

const MAGIC = 0x78657876; // "vxex"
const REQUEST_HEADER = 20;
const ANSWER_HEADER = 20;
const FLAG_OFFLOADS = 1;
const FLAG_ADOPT = 2;
const FLAG_V4 = 4;
const FLAG_V6 = 8;
const KINDS = ['own', 'group', 'name'] as const;

/** Which network is wanted. */
export type WantedNetwork =
  /** That of the caller's effective group. */
  { kind: 'own' } | { kind: 'group'; group: number } | { kind: 'name'; name: string };

/** A member's request. */
export interface MemberRequest {
  network: WantedNetwork;
  /** Longest frame that the member takes, in bytes. */
  maxFrame: number;
  /** Whether super-frames can be taken and given. */
  offloads: boolean;
  /** Whether the descriptor that came with it may be served in place of a data socket. */
  adopt: boolean;
  /** Address family that the network's group must have; any if undefined. */
  family: 4 | 6 | undefined;
}

/** The broker's answer to one that it admits. */
export interface Admission {
  /** The network's number: its VNI. */
  network: number;
  maxFrame: number;
  /** Whether each datagram begins with a `struct virtio_net_hdr`. */
  offloads: boolean;
  /** Whether the descriptor is served; then there is no data socket. */
  adopted: boolean;
}

/** The broker's answer to one that it does not. */
export interface Refusal {
  code: string;
  cause: string;
  remedy: string;
}

/** @param request with a name of at most `NAME_MAX` bytes. */
export function encodeMemberRequest({ network, maxFrame, offloads, adopt, family }: MemberRequest): Buffer {
  const name = Buffer.from(network.kind === 'name' ? network.name : '');
  const bytes = Buffer.alloc(REQUEST_HEADER + name.length);
  const flags = (offloads ? FLAG_OFFLOADS : 0) | (adopt ? FLAG_ADOPT : 0);
  writeHeader(bytes, flags | (family === 4 ? FLAG_V4 : family === 6 ? FLAG_V6 : 0), maxFrame);
  bytes.writeUInt8(KINDS.indexOf(network.kind), 12);
  bytes.writeUInt16LE(name.length, 14);
  bytes.writeUInt32LE(network.kind === 'group' ? network.group : 0, 16);
  name.copy(bytes, REQUEST_HEADER);
  return bytes;
}

function writeHeader(bytes: Buffer, flags: number, maxFrame: number): void {
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt16LE(VXVDEX_VERSION, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(maxFrame, 8);
}

/** Reads a request; a text saying why not if it is none. Bytes from a client: nothing about them is believed. */
export function decodeMemberRequest(bytes: Buffer): MemberRequest | string {
  if (bytes.length < 8 || bytes.readUInt32LE(0) !== MAGIC) return 'not a request of this protocol';
  const version = bytes.readUInt16LE(4);
  if (version !== VXVDEX_VERSION) return `version ${version} of the protocol, this is version ${VXVDEX_VERSION}`;
  if (bytes.length < REQUEST_HEADER) return `a request of ${bytes.length} bytes, at least ${REQUEST_HEADER} expected`;
  const network = readNetwork(bytes);
  if (typeof network === 'string') return network;
  const flags = bytes.readUInt16LE(6);
  const families = flags & (FLAG_V4 | FLAG_V6);
  return {
    network,
    maxFrame: bytes.readUInt32LE(8),
    offloads: (flags & FLAG_OFFLOADS) !== 0,
    adopt: (flags & FLAG_ADOPT) !== 0,
    family: families === FLAG_V4 ? 4 : families === FLAG_V6 ? 6 : undefined,
  };
}

function readNetwork(bytes: Buffer): WantedNetwork | string {
  const kind = KINDS[bytes.readUInt8(12)];
  const length = bytes.readUInt16LE(14);
  if (bytes.length !== REQUEST_HEADER + length) return `a request of ${bytes.length} bytes with a name of ${length}`;
  switch (kind) {
    case 'own':
      return { kind };
    case 'group':
      return { kind, group: bytes.readUInt32LE(16) };
    case 'name': {
      const name = bytes.toString('utf8', REQUEST_HEADER);
      if (isNetworkName(name)) return { kind, name };
      return 'a name that no network can have';
    }
    default:
      return `unknown kind of network ${bytes.readUInt8(12)}`;
  }
}

/** Whether a network can be called so: as a group, and not by digits alone. */
export function isNetworkName(name: string): boolean {
  return name.length <= NAME_MAX && /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name) && !/^\d+$/.test(name);
}

/** The answer to a request. A refusal's texts are cut to what a message holds. */
export function encodeAnswer(answer: Admission | Refusal): Buffer {
  if ('code' in answer) {
    const [code, cause, remedy] = [answer.code, answer.cause, answer.remedy].map((text, i) =>
      Buffer.from(text).subarray(0, [32, 500, 400][i]),
    );
    const bytes = Buffer.alloc(ANSWER_HEADER);
    writeHeader(bytes, 0, 0);
    bytes.writeUInt16LE(code.length, 16);
    bytes.writeUInt16LE(cause.length, 18);
    return Buffer.concat([bytes, code, cause, remedy]);
  }
  const bytes = Buffer.alloc(ANSWER_HEADER);
  const { offloads, adopted } = answer;
  writeHeader(bytes, (offloads ? FLAG_OFFLOADS : 0) | (adopted ? FLAG_ADOPT : 0), answer.maxFrame);
  bytes.writeUInt32LE(answer.network, 12);
  return bytes;
}

/** Reads an answer; undefined if it is none. */
export function decodeAnswer(bytes: Buffer): Admission | Refusal | undefined {
  if (bytes.length < ANSWER_HEADER || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  if (bytes.readUInt16LE(4) !== VXVDEX_VERSION) return undefined;
  const codeEnd = ANSWER_HEADER + bytes.readUInt16LE(16);
  const causeEnd = codeEnd + bytes.readUInt16LE(18);
  if (causeEnd > bytes.length) return undefined;
  if (codeEnd > ANSWER_HEADER) {
    const code = bytes.toString('latin1', ANSWER_HEADER, codeEnd);
    if (!/^E[A-Z0-9]{1,30}$/.test(code)) return undefined;
    return { code, cause: bytes.toString('utf8', codeEnd, causeEnd), remedy: bytes.toString('utf8', causeEnd) };
  }
  const flags = bytes.readUInt16LE(6);
  return {
    network: bytes.readUInt32LE(12),
    maxFrame: bytes.readUInt32LE(8),
    offloads: (flags & FLAG_OFFLOADS) !== 0,
    adopted: (flags & FLAG_ADOPT) !== 0,
  };
}
