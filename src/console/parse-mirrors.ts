/** What `port/mirrors` and `port/groups` show, read back. */

export interface ShownMirror {
  mirror: number;
  /** As it was asked for: `1-4,9` or `all`. */
  ports: string;
  direction: string;
  /** Copied so far. */
  frames: number;
  bytes: number;
  /** `port`, `vlan` or `file`, and which one. */
  to: string;
  target: string;
}

const MIRROR = /^Mirror (\d+) ports=(\S+) direction=(\w+) pkts=(\d+) bytes=(\d+) to (\w+) (.*)$/;

/** Reads the lines of `port/mirrors`; lines of another kind are passed over. */
export function parseMirrors(lines: readonly string[]): ShownMirror[] {
  return lines.flatMap((line) => {
    const match = MIRROR.exec(line);
    if (!match) return [];
    const [, mirror, ports, direction, frames, bytes, to, target] = match;
    return [{ mirror: Number(mirror), ports, direction, frames: Number(frames), bytes: Number(bytes), to, target }];
  });
}

export interface ShownPortGroup {
  name: string;
  /** As a list: `1-4,9`. */
  ports: string;
  /** Permissions of its socket, in octal. */
  mode: string;
  /** Whom the socket is given to, by name or number; null if to none. */
  group: string | null;
}

/** Reads the lines of `port/groups`; lines of another kind are passed over. */
export function parsePortGroups(lines: readonly string[]): ShownPortGroup[] {
  return lines.flatMap((line) => {
    const match = /^Group (\S+) ports=(\S*) mode=([0-7]+) group=(.+)$/.exec(line);
    if (!match) return [];
    const [, name, ports, mode, group] = match;
    return [{ name, ports, mode, group: group === 'NONE' ? null : group }];
  });
}
