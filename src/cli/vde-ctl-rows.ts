/**
 * Answers of a vde_switch console as rows for programs (reference: vde_switch management console, section 4): what each
 * line says, by its pattern. A command without a pattern here keeps its lines.
 */

/** One row: names as JSON has them. */
export type Row = Record<string, unknown>;

const number = (text: string): number => Number(text);

/** `NONE`: nobody in particular. */
const orNull = (name: string): string | null => (name === 'NONE' ? null : name);

interface Pattern {
  pattern: RegExp;
  /** Makes a row, or adds to `parent`, the last row that another pattern began. */
  read: (groups: string[], parent: Row) => Row | undefined;
}

const port: Pattern[] = [
  {
    pattern: /^Port (\d+) untagged_vlan=(\d+) (IN)?ACTIVE - (NOT )?Unnamed Allocatable/,
    read: ([n, vlan, inactive, not]) => ({
      port: number(n),
      untaggedVlan: number(vlan),
      active: inactive === undefined,
      allocatable: not === undefined,
      endpoints: [],
    }),
  },
  {
    pattern: /^ Current User: (.*) Access Control: \(User: (.*) - Group: (.*)\)$/,
    read: ([current, user, group], row) => {
      Object.assign(row, { currentUser: orNull(current), user: orNull(user), group: orNull(group) });
      return undefined;
    },
  },
  {
    pattern: /^ (IN|OUT): +pkts +(\d+) +bytes +(\d+)$/,
    read: ([direction, packets, bytes], row) => {
      row[direction.toLowerCase()] = { packets: number(packets), bytes: number(bytes) };
      return undefined;
    },
  },
  {
    pattern: /^ {2}-- endpoint ID (\d+) module (.*?) *: (.*)$/,
    read: ([id, module, description], row) => {
      (row.endpoints as Row[] | undefined)?.push({ id: number(id), module, description });
      return undefined;
    },
  },
];

const vlan: Pattern[] = [
  { pattern: /^VLAN (\d+)/, read: ([n]) => ({ vlan: number(n), ports: [] }) },
  {
    pattern: /^ -- Port (\d+) tagged=([01]) active=([01]) status=(\S+)/,
    read: ([n, tagged, active, status], row) => {
      const entry = { port: number(n), tagged: tagged === '1', active: active === '1', status };
      (row.ports as Row[] | undefined)?.push(entry);
      return undefined;
    },
  },
];

const hash: Pattern[] = [
  {
    pattern: /^Hash: (\d+) Addr: (\S+) VLAN (\d+) to port: (\d+) +age (-?\d+) secs/,
    read: ([bucket, mac, vlanNumber, portNumber, age]) => ({
      bucket: number(bucket),
      mac,
      vlan: number(vlanNumber),
      port: number(portNumber),
      age: number(age),
    }),
  },
];

const fstp: Pattern[] = [
  {
    pattern: /^FST DATA VLAN (\d+) (ROOTSWITCH)? ?(FSTP IS DISABLED)?/,
    read: ([n, root, disabled]) => ({
      vlan: number(n),
      rootSwitch: root !== undefined,
      enabled: disabled === undefined,
      ports: [],
    }),
  },
  {
    pattern: /^ \+\+ (root|designated) (\S+)$/,
    read: ([name, id], row) => {
      row[name] = id;
      return undefined;
    },
  },
  {
    pattern: /^ \+\+ rootport (\d+) cost (-?\d+) age (-?\d+) bonusport (\d+) bonuscost (-?\d+)/,
    read: ([rootPort, cost, age, bonusPort, bonusCost], row) => {
      Object.assign(row, {
        rootPort: number(rootPort),
        cost: number(cost),
        age: number(age),
        bonusPort: number(bonusPort),
        bonusCost: number(bonusCost),
      });
      return undefined;
    },
  },
  {
    pattern: /^ -- Port (\d+) tagged=([01]) portcost=(-?\d+) role=(.*)$/,
    read: ([n, tagged, cost, role], row) => {
      const entry = { port: number(n), tagged: tagged === '1', cost: number(cost), role };
      (row.ports as Row[] | undefined)?.push(entry);
      return undefined;
    },
  },
];

const debug: Pattern[] = [
  {
    pattern: /^([a-z]\S*) +(\d{3}) (ON|OFF) +(.*)$/,
    read: ([path, tag, status, help]) => ({ path, tag: Number.parseInt(tag, 8), on: status === 'ON', help }),
  },
];

const plugins: Pattern[] = [{ pattern: /^([a-z]\S*) +(.*)$/, read: ([name, help]) => ({ name, help }) }];

const TABLES: Record<string, Pattern[]> = {
  'port/print': port,
  'port/allprint': port,
  'vlan/print': vlan,
  'vlan/allprint': vlan,
  'hash/print': hash,
  'hash/find': hash,
  'fstp/print': fstp,
  'debug/list': debug,
  'plugin/list': plugins,
};

/** Lines of `NAME=VALUE`, `NAME NUMBER secs` and the like, which make one row. */
const FIELDS: Record<string, [RegExp, (groups: string[]) => Row][]> = {
  'port/showinfo': [
    [/^Numports=(\d+)/, ([n]) => ({ numports: number(n) })],
    [/^HUB=(\S+)/, ([v]) => ({ hub: v === 'true' })],
    [/^counters=(\S+)/, ([v]) => ({ counters: v === 'true' })],
  ],
  'ds/showinfo': [
    [/^ctl dir (.*)/, ([directory]) => ({ directory })],
    [/^std mode (\d+)/, ([mode]) => ({ mode })],
  ],
  'hash/showinfo': [
    [/^Hash size (\d+)/, ([n]) => ({ size: number(n) })],
    [/^GC interval (-?\d+)/, ([n]) => ({ gcInterval: number(n) })],
    [/^GC expire (-?\d+)/, ([n]) => ({ gcExpire: number(n) })],
    [/^Min persistence (-?\d+)/, ([n]) => ({ minPersistence: number(n) })],
  ],
  'fstp/showinfo': [
    [/^MAC (\S+) Priority (\d+)/, ([mac, priority]) => ({ mac, priority: number(priority) })],
    [/^FSTP=(\S+)/, ([v]) => ({ fstp: v === 'true' })],
  ],
  showinfo: [
    [/^VDE switch V\.(\S+)/, ([version]) => ({ version })],
    [
      /^pid (\d+) MAC (\S+) uptime (\d+)/,
      ([pid, mac, uptime]) => ({ pid: number(pid), mac, uptime: number(uptime) }),
    ],
    [/^mgmt (.*) perm (\d+)$/, ([path, mode]) => ({ management: path, managementMode: mode })],
  ],
};

/**
 * The data of an answer as rows; undefined for a command that has none here.
 * @param line the command, with its arguments.
 */
export function rowsOf(line: string, data: readonly string[]): Row[] | undefined {
  const name = line.trim().split(/\s+/)[0];
  const fields = FIELDS[name];
  if (fields !== undefined) {
    const row: Row = {};
    for (const text of data) {
      for (const [pattern, read] of fields) {
        const found = pattern.exec(text);
        if (found) Object.assign(row, read(found.slice(1)));
      }
    }
    return [row];
  }
  const table = TABLES[name];
  if (table === undefined) return undefined;
  const rows: Row[] = [];
  for (const text of data) {
    for (const { pattern, read } of table) {
      const found = pattern.exec(text);
      if (!found) continue;
      const row = read(found.slice(1), rows.at(-1) ?? {});
      if (row) rows.push(row);
      break;
    }
  }
  return rows;
}
