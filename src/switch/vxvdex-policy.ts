/**
 * Who may join which vxvdex network. Without a file: everybody that of her effective group, and no other. A file of the
 * administrator's says more, one network in a line:
 *
 *     # name      number   who
 *     network lab 5000     groups=students,staff users=alice
 *     network ops ops      groups=ops
 *
 * The number is the network's VNI and the end of its group's address; a group's name stands for its gid. What the file says
 * of a number is all that counts for it: members of the group with that gid are not admitted beside those who are named.
 *
 * Numbers of groups may be longer than a VNI, which has 24 bits. Cut, two groups would share a network: users who own
 * ranges of gids (subgid(5)) could so make themselves members of any. Such groups have none.
 */

import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { VNI_MAX } from '../plug/vxlan-header.js';
import { isNetworkName, type WantedNetwork } from '../plug/vxvdex-protocol.js';
import { fromNodeError, VdeError } from '../sys/errors.js';
import { groupId, groupName, userId, userName } from '../sys/users.js';

/** Largest file that is read, in bytes. */
const FILE_MAX = 1 << 20;
/** The kernel's last id means none. */
const ID_MAX = 0xffff_fffe;
/** What the kernel says for an id that has no number in this user namespace, unless it was told otherwise. */
const OVERFLOW_ID = 65_534;

/** Who asks, as the kernel knows her. */
export interface Person {
  uid: number;
  /** Effective group. */
  gid: number;
  /** Supplementary ones. */
  groups: readonly number[];
}

/** One line of the file. */
export interface Network {
  name: string;
  number: number;
  groups: ReadonlySet<number>;
  users: ReadonlySet<number>;
}

/** Names of users and groups, for tests; the machine's by default. */
export interface Names {
  userId(name: string): number | undefined;
  groupId(name: string): number | undefined;
}

const machineNames: Names = { userId, groupId };

/** See the head of this file. */
export class Policy {
  readonly #byName = new Map<string, Network>();
  readonly #byNumber = new Map<number, Network>();
  readonly #overflow: Readonly<{ uid: number; gid: number }>;

  /** @param path of the file that they are from, for messages. */
  constructor(
    readonly networks: readonly Network[] = [],
    readonly path = '',
    private readonly names: Names = machineNames,
  ) {
    for (const network of networks) {
      this.#byName.set(network.name, network);
      this.#byNumber.set(network.number, network);
    }
    this.#overflow = { uid: overflowId('uid'), gid: overflowId('gid') };
  }

  /** How a network is shown: by the file's name for it, else by the group's, and its number. */
  shown(number: number): string {
    const name = this.#byNumber.get(number)?.name ?? groupName(number);
    return name === undefined ? String(number) : `${name} (${number})`;
  }

  /**
   * The number of the network that somebody wants.
   * @throws VdeError `EACCES` if she may not join it, its subject being she; `ENOENT` if there is none of that name.
   */
  admit(wanted: WantedNetwork, person: Person): number {
    const who = describe(person);
    if (person.uid === this.#overflow.uid || person.gid === this.#overflow.gid) {
      const remedy = 'join as a user and with a group that have numbers here';
      throw new VdeError({ code: 'EACCES', subject: who, cause: 'is nobody that this machine knows', remedy });
    }
    const number = this.#find(wanted, person);
    if (number > VNI_MAX) {
      const cause = `may not join network ${number}: above ${VNI_MAX} there are none`;
      const remedy = 'ask the administrator for one of another number';
      throw new VdeError({ code: 'EACCES', subject: who, cause, remedy });
    }
    const network = this.#byNumber.get(number);
    if (network === undefined ? number === person.gid : isMember(network, person, this.#overflow.gid)) return number;
    throw this.#refusal(who, number, network);
  }

  #find(wanted: WantedNetwork, person: Person): number {
    switch (wanted.kind) {
      case 'own':
        return person.gid;
      case 'group':
        return wanted.group;
      case 'name': {
        const { name } = wanted;
        const number = this.#byName.get(name)?.number ?? this.names.groupId(name);
        if (number !== undefined) return number;
        const cause = `there is no network "${name}", and no group`;
        const remedy = `ask the administrator for a line "network ${name} ..." in ${this.path || 'its --config file'}`;
        throw new VdeError({ code: 'ENOENT', subject: '', cause, remedy });
      }
    }
  }

  #refusal(who: string, number: number, network: Network | undefined): VdeError {
    const file = this.path || 'its --config file';
    const cause = `may not join network ${this.shown(number)}`;
    const wish = network === undefined ? `a line for it in ${file}` : `a place in its line in ${file}`;
    const remedy = `ask the administrator for ${wish}: groups=..., users=...`;
    return new VdeError({ code: 'EACCES', subject: who, cause, remedy });
  }
}

function isMember({ groups, users }: Network, person: Person, overflow: number): boolean {
  if (users.has(person.uid) || groups.has(person.gid)) return true;
  return person.groups.some((gid) => gid !== overflow && groups.has(gid));
}

/** `alice (uid 1000, gid 1000)`. */
export function describe({ uid, gid }: Person): string {
  const name = userName(uid);
  return name === undefined ? `uid ${uid}, gid ${gid}` : `${name} (uid ${uid}, gid ${gid})`;
}

/** See `OVERFLOW_ID`. */
function overflowId(kind: 'uid' | 'gid'): number {
  try {
    return Number(readFileSync(`/proc/sys/kernel/overflow${kind}`, 'latin1'));
  } catch {
    return OVERFLOW_ID;
  }
}

/**
 * Reads a file of networks.
 * @throws VdeError if it cannot be read, if others may write it, or naming the line that is wrong.
 */
export function readPolicy(path: string): Policy {
  let text: string;
  try {
    const fd = openSync(path, 'r');
    try {
      const { mode, size, uid } = fstatSync(fd);
      const owner = process.geteuid?.();
      if ((mode & 0o002) !== 0 || (uid !== 0 && uid !== owner)) {
        const cause = 'others than root and you could write it';
        throw new VdeError({ code: 'EPERM', subject: path, cause, remedy: 'chown it, chmod o-w' });
      }
      if (size > FILE_MAX) throw new VdeError({ code: 'EFBIG', subject: path, cause: `more than ${FILE_MAX} bytes` });
      text = readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw fromNodeError(error, path, 'a file of networks');
  }
  return new Policy(parsePolicy(text, path), path);
}

/**
 * The networks that a text names.
 * @throws VdeError `EMALFORMED`, its subject `path:line`.
 */
export function parsePolicy(text: string, path: string, names: Names = machineNames): Network[] {
  const networks: Network[] = [];
  const lines = text.split('\n');
  for (const [i, line] of lines.entries()) {
    const words = line.replace(/#.*/, '').trim().split(/\s+/);
    if (words[0] === '') continue;
    const fail = (cause: string, remedy?: string): VdeError =>
      new VdeError({ code: 'EMALFORMED', subject: `${path}:${i + 1}`, cause, remedy });
    const network = parseLine(words, names, fail);
    const other = networks.find(({ name, number }) => name === network.name || number === network.number);
    if (other) throw fail(`network ${other.name} (${other.number}) is there already`);
    networks.push(network);
  }
  return networks;
}

type Fail = (cause: string, remedy?: string) => VdeError;

function parseLine([keyword, name, number, ...rest]: string[], names: Names, fail: Fail): Network {
  const form = 'network NAME NUMBER [groups=GROUP,...] [users=USER,...]';
  if (keyword !== 'network') throw fail(`"${keyword}" is not understood`, form);
  if (name === undefined || number === undefined) throw fail('a network needs a name and a number', form);
  if (!isNetworkName(name)) {
    throw fail(`"${name}" cannot be the name of a network`, 'letters, digits and _ . -, not digits alone');
  }
  const vni = idOf(number, names.groupId, 'group', fail);
  if (vni > VNI_MAX) throw fail(`${number} is out of range`, `0 to ${VNI_MAX}`);
  const groups = new Set<number>();
  const users = new Set<number>();
  for (const word of rest) {
    const [key, list] = word.split(/=(.*)/s);
    const into = key === 'groups' ? groups : key === 'users' ? users : undefined;
    if (into === undefined || list === undefined) throw fail(`"${word}" is not understood`, form);
    for (const one of list.split(',')) {
      into.add(into === groups ? idOf(one, names.groupId, 'group', fail) : idOf(one, names.userId, 'user', fail));
    }
  }
  if (groups.size + users.size === 0) throw fail(`nobody may join network ${name}`, 'groups=..., users=...');
  return { name, number: vni, groups, users };
}

/** A number, or what a name stands for. */
function idOf(text: string, find: (name: string) => number | undefined, kind: string, fail: Fail): number {
  const id = /^\d+$/.test(text) ? Number(text) : text === '' ? undefined : find(text);
  if (id === undefined) throw fail(`there is no ${kind} "${text}"`);
  if (id > ID_MAX) throw fail(`${text} is out of range`, `0 to ${ID_MAX}`);
  return id;
}
