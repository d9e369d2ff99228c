/** What `port/print`, `port/allprint`, `port/drops` and `port/modes` show, of ours and of C switches, read back. */

/** Frames and bytes in one direction. */
export interface ShownCounters {
  frames: number;
  bytes: number;
}

export interface ShownEndpoint {
  id: number;
  module: string;
  description: string;
}

export interface ShownPort {
  port: number;
  /** VLAN of untagged frames; null if they are refused. */
  untaggedVlan: number | null;
  active: boolean;
  allocatable: boolean;
  /** Name or number; null for nobody known. */
  currentUser: string | null;
  /** Whom the port is kept for, by name or number; null for anybody. */
  user: string | null;
  group: string | null;
  /** Absent in builds of C's without counters. */
  input?: ShownCounters;
  output?: ShownCounters;
  endpoints: ShownEndpoint[];
}

const PORT = /^Port (\d+) untagged_vlan=(\d+) (IN)?ACTIVE - (NOT )?Unnamed Allocatable$/;
const USERS = /^ Current User: (.*) Access Control: \(User: (.*) - Group: (.*)\)$/;
const COUNTERS = /^ (IN: |OUT:) pkts +(\d+) +bytes +(\d+)$/;
const ENDPOINT = /^ {2}-- endpoint ID (\d+) module (.{12,}?) *: (.*)$/;
const NO_VLAN = 4095;

function orNull(name: string): string | null {
  return name === 'NONE' ? null : name;
}

/** Reads the lines of `port/print` or `port/allprint`; lines of another kind are passed over. */
export function parsePorts(lines: readonly string[]): ShownPort[] {
  const ports: ShownPort[] = [];
  for (const line of lines) {
    const begin = PORT.exec(line);
    if (begin) {
      const vlan = Number(begin[2]);
      ports.push({
        port: Number(begin[1]),
        untaggedVlan: vlan === NO_VLAN ? null : vlan,
        active: begin[3] === undefined,
        allocatable: begin[4] === undefined,
        currentUser: null,
        user: null,
        group: null,
        endpoints: [],
      });
    }
    const port = ports.at(-1);
    if (port && !begin) addToPort(port, line);
  }
  return ports;
}

function addToPort(port: ShownPort, line: string): void {
  const users = USERS.exec(line);
  if (users) [port.currentUser, port.user, port.group] = users.slice(1).map(orNull);
  const counters = COUNTERS.exec(line);
  if (counters) {
    const shown = { frames: Number(counters[2]), bytes: Number(counters[3]) };
    if (counters[1] === 'IN: ') port.input = shown;
    else port.output = shown;
  }
  const endpoint = ENDPOINT.exec(line);
  if (endpoint) {
    port.endpoints.push({ id: Number(endpoint[1]), module: endpoint[2].trimEnd(), description: endpoint[3] });
  }
}

/** Frames dropped at a port, by reason. */
export interface ShownDrops {
  port: number;
  input: Record<string, number>;
  output: Record<string, number>;
}

/** Reads the lines of `port/drops`. */
export function parseDrops(lines: readonly string[]): ShownDrops[] {
  const ports: ShownDrops[] = [];
  for (const line of lines) {
    const begin = /^Port (\d+)$/.exec(line);
    if (begin) ports.push({ port: Number(begin[1]), input: {}, output: {} });
    const reasons = /^ (IN|OUT): +(.*)$/.exec(line);
    const port = ports.at(-1);
    if (port && reasons) port[reasons[1] === 'IN' ? 'input' : 'output'] = parseReasons(reasons[2]);
  }
  return ports;
}

function parseReasons(text: string): Record<string, number> {
  return Object.fromEntries([...text.matchAll(/(\w+) (\d+)/g)].map(([, reason, count]) => [reason, Number(count)]));
}

export interface ShownMode {
  port: number;
  mode: string;
  untaggedVlan: number | null;
  /** Protocol of its tags in hexadecimal if that is not 8100. */
  tpid?: string;
  /** The VLANs that a trunk carries, as a list. */
  allowed?: string;
  /** PCP in the tags of frames that arrive without one, if that is not 0. */
  priority?: number;
  /** True if it is; absent otherwise. */
  isolated?: true;
}

/** Reads the lines of `port/modes`. */
export function parseModes(lines: readonly string[]): ShownMode[] {
  return lines.flatMap((line) => {
    const match =
      /^Port (\d+) mode=(\w+) untagged_vlan=(\d+)(?: tpid=(\w{4}))?(?: allowed=(\S+))?(?: pcp=(\d))?( isolated)?$/.exec(
        line,
      );
    if (!match) return [];
    const [, port, mode, vlan, tpid, allowed, pcp, isolated] = match;
    const untaggedVlan = Number(vlan) === NO_VLAN ? null : Number(vlan);
    const shown: ShownMode = { port: Number(port), mode, untaggedVlan };
    if (tpid !== undefined) shown.tpid = tpid;
    if (allowed !== undefined) shown.allowed = allowed;
    if (pcp !== undefined) shown.priority = Number(pcp);
    if (isolated !== undefined) shown.isolated = true;
    return [shown];
  });
}
