/** What `hash/print`, `hash/find`, `vlan/print` and `vlan/allprint` show, of ours and of C switches, read back. */

export interface ShownAddress {
  bucket: number;
  mac: string;
  vlan: number;
  port: number;
  /** Seconds since it was last seen. */
  age: number;
}

const ADDRESS = /^Hash: (\d+) Addr: ([\da-f:]{17}) VLAN (\d+) to port: (\d+) {2}age (-?\d+) secs$/;

/** Reads the lines of `hash/print` or `hash/find`; lines of another kind are passed over. */
export function parseHash(lines: readonly string[]): ShownAddress[] {
  return lines.flatMap((line) => {
    const match = ADDRESS.exec(line);
    if (!match) return [];
    const [, bucket, mac, vlan, port, age] = match;
    return [{ bucket: Number(bucket), mac, vlan: Number(vlan), port: Number(port), age: Number(age) }];
  });
}

export interface ShownMember {
  port: number;
  tagged: boolean;
  active: boolean;
  status: string;
}

export interface ShownVlan {
  vlan: number;
  ports: ShownMember[];
}

/** Reads the lines of `vlan/print` or `vlan/allprint`; lines of another kind are passed over. */
export function parseVlans(lines: readonly string[]): ShownVlan[] {
  const vlans: ShownVlan[] = [];
  for (const line of lines) {
    const begin = /^VLAN (\d+)$/.exec(line);
    if (begin) vlans.push({ vlan: Number(begin[1]), ports: [] });
    const member = /^ -- Port (\d+) tagged=([01]) active=([01]) status=(\w+)$/.exec(line);
    if (member) {
      const [, port, tagged, active, status] = member;
      vlans.at(-1)?.ports.push({ port: Number(port), tagged: tagged === '1', active: active === '1', status });
    }
  }
  return vlans;
}
