/**
 * The `iplog` plugin: says and records which IP addresses, of given ranges, are used at which port and by whom (reference:
 * management console). An address is forgotten when it has been silent for a while, or its port's last client leaves.
 */

import type { Port } from '../switch/port.js';
import { userId, userName } from '../sys/users.js';
import { AddressJournal } from './address-journal.js';
import {
  AddressTable,
  formatAddress,
  parseAddress,
  parseRange,
  RANGES_MAX,
  type Range,
  type UsedAddress,
} from './address-table.js';
import { leadingInteger, printable } from './arguments.js';
import { requireOwner } from './caller.js';
import { type ConsoleCommand, consoleError, type Lines, MENU } from './command-table.js';
import type { PluginDefinition, PluginHost, PluginParts } from './plugin-host.js';

const GC_INTERVAL = 10;
const EXPIRE = 360;
/** The longest that a timer of Node's can wait, in seconds. */
const LONGEST_INTERVAL = 2_147_483;

class IpLog {
  readonly table = new AddressTable();
  readonly journal: AddressJournal;
  /** Seconds of silence after which an address is forgotten. */
  expire = EXPIRE;
  #interval = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(host: PluginHost) {
    const newAddress = host.debugCategory('iplog/newip', 0o301, 'show new ip addresses');
    this.journal = new AddressJournal((line) => host.log(line));
    this.interval = GC_INTERVAL;
    host.observe({
      arrived: (port, burst, views, count) => {
        if (this.table.ranges.length === 0) return;
        const place = { port: port.number, user: port.currentUser };
        for (let k = 0; k < count; k++) {
          // The headers of a super-frame are those of the frames that it stands for.
          const used = this.table.note(burst.viewBytes(views[k]), place, performance.now());
          if (used === undefined) continue;
          const line = describe(used, port);
          this.journal.write(line);
          newAddress.say(line);
        }
      },
      portLeft: ({ number }) => this.table.forget(({ port }) => port === number),
    });
  }

  /** Seconds between two looks for silent addresses; 0 or less: none. */
  get interval(): number {
    return this.#interval;
  }

  set interval(seconds: number) {
    this.#interval = seconds;
    clearInterval(this.#timer);
    if (seconds <= 0) return;
    this.#timer = setInterval(() => {
      const last = performance.now() - this.expire * 1000;
      this.table.forget(({ seen }) => seen < last);
    }, Math.min(seconds, LONGEST_INTERVAL) * 1000);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.journal.close();
  }
}

function describe({ version, bytes, mac, vlan, user }: UsedAddress, { number, endpoints }: Port): string {
  const description = printable(endpoints[0]?.description ?? '');
  return `ipv${version} ${formatAddress(bytes)} mac=${mac} port=${number} vlan=${vlan} user=${nameOf(user)} "${description}"`;
}

function nameOf(uid: number): string {
  return uid < 0 ? 'NONE' : (userName(uid) ?? String(uid));
}

type Choice = (used: UsedAddress) => boolean;

function* usedLines({ list }: AddressTable, isChosen: Choice): Lines {
  for (const used of list) {
    const { version, bytes, port, user } = used;
    yield isChosen(used) ? `ipv${version} ${formatAddress(bytes)} port=${port} user=${nameOf(user)}` : undefined;
  }
}

/** @throws VdeError EINVAL */
function rangeOf(argument: string): Range {
  const range = parseRange(argument, leadingInteger);
  if (range === undefined) throw consoleError('EINVAL');
  return range;
}

function indexOf({ ranges }: AddressTable, { bytes, prefix }: Range): number {
  return ranges.findIndex((other) => other.prefix === prefix && Buffer.compare(other.bytes, bytes) === 0);
}

function commands(log: IpLog): ConsoleCommand[] {
  const { table, journal } = log;
  const listing = (
    name: string,
    syntax: string,
    help: string,
    chosen: (argument: string) => Choice,
  ): ConsoleCommand => ({
    name: `iplog/${name}`,
    syntax,
    help,
    data: true,
    run: (argument) => usedLines(table, chosen(argument)),
  });
  return [
    { name: 'iplog', syntax: MENU, help: 'IP/Mac/User Logging' },
    {
      name: 'iplog/showinfo',
      syntax: '',
      help: 'Show info on logging',
      data: true,
      run(_, out) {
        out.push('iplog: ip/port/user logging plugin', printable(journal.status));
        out.push(`GC interval ${log.interval} secs`, `GC expire ${log.expire} secs`);
      },
    },
    {
      name: 'iplog/logfile',
      syntax: 'pathname',
      help: 'Set the logfile',
      run(argument, _, caller) {
        if (argument !== '') requireOwner(caller);
        journal.open(argument);
      },
    },
    {
      name: 'iplog/ipadd',
      syntax: 'ipaddr/mask',
      help: 'add an ipv4/v6 range',
      run(argument) {
        const range = rangeOf(argument);
        if (indexOf(table, range) >= 0) throw consoleError('EEXIST');
        if (table.ranges.length >= RANGES_MAX) throw consoleError('ENOSPC');
        table.ranges.push(range);
      },
    },
    {
      name: 'iplog/ipdel',
      syntax: 'ipaddr/mask',
      help: 'del an ipv6/v6 range',
      run(argument) {
        const at = indexOf(table, rangeOf(argument));
        if (at < 0) throw consoleError('ENOENT');
        table.ranges.splice(at, 1);
      },
    },
    {
      name: 'iplog/list',
      syntax: '',
      help: 'list ip ranges',
      data: true,
      run(_, out) {
        for (const version of [4, 6]) {
          for (const { bytes, prefix } of table.ranges) {
            if ((bytes.length === 4) === (version === 4))
              out.push(`  ipv${version}: ${formatAddress(bytes)}/${prefix}`);
          }
        }
      },
    },
    {
      name: 'iplog/setgcint',
      syntax: 'N',
      help: 'change garbage collector interval',
      run: (argument) => {
        log.interval = leadingInteger(argument);
      },
    },
    {
      name: 'iplog/setexpire',
      syntax: 'N',
      help: 'change iplog entries expire time',
      run: (argument) => {
        log.expire = leadingInteger(argument);
      },
    },
    listing('iplist', '', 'list active IP', () => () => true),
    listing('ipport', 'port', 'list active IP on a port', (argument) => {
      const number = leadingInteger(argument);
      return ({ port }) => port === number;
    }),
    listing('ipuser', 'user', 'list active IP of a user', (argument) => {
      const uid = userId(argument) ?? (/^\d{1,9}$/.test(argument) ? Number(argument) : undefined);
      if (uid === undefined || userName(uid) === undefined) throw consoleError('EINVAL');
      return ({ user }) => user === uid;
    }),
    listing('ipsearch', 'ipaddr', 'search an IP address', (argument) => {
      const bytes = parseAddress(argument);
      if (bytes === undefined) throw consoleError('EINVAL');
      return (used) => Buffer.compare(used.bytes, bytes) === 0;
    }),
  ];
}

export const iplogPlugin: PluginDefinition = {
  name: 'iplog',
  help: 'log ip/port/user assignment',
  start(host): PluginParts {
    const log = new IpLog(host);
    return { commands: commands(log), close: () => log.close() };
  },
};
