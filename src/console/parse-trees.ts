/** What the `fstp` and `rstp` menus show, of ours and of C switches, read back. */

export interface ShownFstpPort {
  port: number;
  tagged: boolean;
  cost: number;
  role: string;
}

/** The spanning tree of one VLAN. Bridges are named by priority and address, `80:00:` and the MAC. */
export interface ShownFstpTree {
  vlan: number;
  rootSwitch: boolean;
  enabled: boolean;
  root: string;
  designated: string;
  /** Null at the root. */
  rootPort: number | null;
  cost: number;
  /** Seconds since the root was last heard of. */
  age: number;
  /** Null if no port has a bonus. */
  bonusPort: number | null;
  bonusCost: number;
  ports: ShownFstpPort[];
}

const TREE = /^FST DATA VLAN (\d+) (ROOTSWITCH)? (FSTP IS DISABLED)?$/;
const BRIDGE = /^ \+\+ (root|designated) ([\da-f:]{23})$/;
const COSTS = /^ \+\+ rootport (\d+) cost (-?\d+) age (-?\d+) bonusport (\d+) bonuscost (-?\d+)$/;
const FSTP_PORT = /^ -- Port (\d+) tagged=([01]) portcost=(-?\d+) role=(\S+)$/;

/** Reads the lines of `fstp/print`; lines of another kind are passed over. */
export function parseFstpTrees(lines: readonly string[]): ShownFstpTree[] {
  const trees: ShownFstpTree[] = [];
  for (const line of lines) {
    const begin = TREE.exec(line);
    if (begin) {
      trees.push({
        ...{ vlan: Number(begin[1]), rootSwitch: begin[2] !== undefined, enabled: begin[3] === undefined },
        ...{ root: '', designated: '', rootPort: null, cost: 0, age: 0, bonusPort: null, bonusCost: 0, ports: [] },
      });
    }
    const tree = trees.at(-1);
    if (tree && !begin) addToTree(tree, line);
  }
  return trees;
}

function addToTree(tree: ShownFstpTree, line: string): void {
  const bridge = BRIDGE.exec(line);
  if (bridge) tree[bridge[1] as 'root' | 'designated'] = bridge[2];
  const costs = COSTS.exec(line)?.slice(1).map(Number);
  if (costs) {
    const [rootPort, cost, age, bonusPort, bonusCost] = costs;
    Object.assign(tree, { rootPort: rootPort || null, cost, age, bonusPort: bonusPort || null, bonusCost });
  }
  const port = FSTP_PORT.exec(line);
  if (port) {
    tree.ports.push({ port: Number(port[1]), tagged: port[2] === '1', cost: Number(port[3]), role: port[4] });
  }
}

export interface ShownFstp {
  mac: string;
  priority: number;
  fstp: boolean;
}

/** Reads the lines of `fstp/showinfo`; undefined if they are others. */
export function parseFstpInfo(lines: readonly string[]): ShownFstp | undefined {
  const match = /^MAC ([\da-f:]{17}) Priority (\d+) \(0x[\da-f]+\)\nFSTP=(true|false)$/.exec(lines.join('\n'));
  return match ? { mac: match[1], priority: Number(match[2]), fstp: match[3] === 'true' } : undefined;
}

/** Times in seconds. */
export interface ShownTimes {
  hello: number;
  maxAge: number;
  forwardDelay: number;
}

export interface ShownRstp {
  rstp: boolean;
  bridge: { identifier: string; priority: number } & ShownTimes;
  /** `rootPort` is null at the root. */
  root: { identifier: string; cost: number; rootPort: number | null } & ShownTimes;
  topologyChanges: number;
  /** Seconds since the last one; null if there was none. */
  lastChange: number | null;
}

const TIMES = 'hello (\\d+) maxage (\\d+) forwarddelay (\\d+)';
const RSTP = new RegExp(
  [
    '^RSTP=(true|false)',
    `bridge ([\\da-f:]{23}) priority (\\d+) ${TIMES}`,
    `root ([\\da-f:]{23}) cost (\\d+) rootport (\\d+) ${TIMES}`,
    'topology changes (\\d+) last (?:never|(\\d+) secs ago)$',
  ].join('\n'),
);

/** Reads the lines of `rstp/showinfo`; undefined if they are others. */
export function parseRstpInfo(lines: readonly string[]): ShownRstp | undefined {
  const match = RSTP.exec(lines.join('\n'));
  if (!match) return undefined;
  const times = (at: number): ShownTimes => {
    const [hello, maxAge, forwardDelay] = match.slice(at, at + 3).map(Number);
    return { hello, maxAge, forwardDelay };
  };
  return {
    rstp: match[1] === 'true',
    bridge: { identifier: match[2], priority: Number(match[3]), ...times(4) },
    root: { identifier: match[7], cost: Number(match[8]), rootPort: Number(match[9]) || null, ...times(10) },
    topologyChanges: Number(match[13]),
    lastChange: match[14] === undefined ? null : Number(match[14]),
  };
}

export interface ShownRstpPort {
  port: number;
  role: string;
  status: string;
  cost: number;
  priority: number;
  edge: boolean;
  pointToPoint: boolean;
  protocol: string;
  /** The bridge that leads from there to the root. */
  designated: string;
}

const RSTP_PORT =
  /^ -- Port (\d+) role=(\w+) status=(\w+) cost=(\d+) priority=(\d+) edge=([01]) p2p=([01]) protocol=(\w+) designated=([\da-f:]{23})$/;

/** Reads the lines of `rstp/print`; lines of another kind are passed over. */
export function parseRstpPorts(lines: readonly string[]): ShownRstpPort[] {
  return lines.flatMap((line) => {
    const match = RSTP_PORT.exec(line);
    if (!match) return [];
    const [, port, role, status, cost, priority, edge, pointToPoint, protocol, designated] = match;
    return [
      {
        ...{ port: Number(port), role, status, cost: Number(cost), priority: Number(priority) },
        ...{ edge: edge === '1', pointToPoint: pointToPoint === '1', protocol, designated },
      },
    ];
  });
}
