/** What the commands of the plugins `iplog` and `pdump` show, of ours and of C's, and `showconfig`, read back. */

export interface ShownIpLog {
  /** The file that addresses are written to, `syslog`, or nowhere. */
  log: string | null;
  /** Seconds. */
  gcInterval: number;
  gcExpire: number;
}

/** Reads the lines of `iplog/showinfo`; undefined if they are others. */
export function parseIpLog(lines: readonly string[]): ShownIpLog | undefined {
  const pattern = /^log (?:on (?:file (.*)|syslog)|disabled)\nGC interval (-?\d+) secs\nGC expire (-?\d+) secs$/m;
  const match = pattern.exec(lines.join('\n'));
  if (!match) return undefined;
  const [shown, file, interval, expire] = match;
  const log = file ?? (shown.startsWith('log on syslog\n') ? 'syslog' : null);
  return { log, gcInterval: Number(interval), gcExpire: Number(expire) };
}

/** Reads the lines of `iplog/list`. */
export function parseRanges(lines: readonly string[]): { version: number; range: string }[] {
  return lines.flatMap((line) => {
    const match = /^\s*ipv([46]): (\S+)$/.exec(line);
    return match ? [{ version: Number(match[1]), range: match[2] }] : [];
  });
}

export interface ShownAddress {
  version: number;
  address: string;
  port: number;
  user: string | null;
}

/** Reads the lines of `iplog/iplist` and of those that choose from it. */
export function parseUsedAddresses(lines: readonly string[]): ShownAddress[] {
  return lines.flatMap((line) => {
    const match = /^ipv([46]) (\S+) port=(\d+) user=(.*)$/.exec(line);
    if (!match) return [];
    const [, version, address, port, user] = match;
    return [{ version: Number(version), address, port: Number(port), user: user === 'NONE' ? null : user }];
  });
}

/** Reads the line of `pdump/filename`; undefined if it is another. */
export function parseDumpFile([line = '']: readonly string[]): { file: string } | undefined {
  const match = /^dumpfile=(.*)$/.exec(line);
  return match ? { file: match[1] } : undefined;
}

/** Reads the lines of `showconfig`: each is a command, as it would be typed. */
export function parseConfiguration(lines: readonly string[]): { command: string; argument: string }[] {
  return lines.map((line) => {
    const [command] = line.split(' ', 1);
    return { command, argument: line.slice(command.length + 1) };
  });
}
