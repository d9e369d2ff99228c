/** Who uses `vde_plug` as the end of a tunnel, and what is written down of that. */

import { openSyslog } from '../sys/syslog.js';
import { groupId, userName } from '../sys/users.js';

const IPLOG_GROUP = 'vdeplug_iplog';

/** The user, and where she comes from, as the system log has it. */
export function who(): string {
  const uid = process.getuid?.() ?? 0;
  return `user ${userName(uid) ?? uid} IP ${realAddress()}`;
}

function realAddress(): string {
  return process.env.SSH_CLIENT?.split(' ')[0] || 'UNKNOWN_IP_ADDRESS';
}

/** True if the caller is a member of the group whose users' addresses are logged. */
export function isWatched(): boolean {
  const gid = groupId(IPLOG_GROUP);
  return gid !== undefined && (process.getegid?.() === gid || (process.getgroups?.() ?? []).includes(gid));
}

/** Where a session's beginning, end and addresses are written down. */
export interface Journal {
  address(seen: { version: 4 | 6; address: string; vlan: number }): void;
  stop(): void;
}

/** START now, STOP at the end, addresses in between. */
export function startJournal(): Journal {
  const syslog = openSyslog({ ident: 'vde_plug' });
  syslog.log(`START: ${who()}`);
  const user = who().split(' ')[1];
  return {
    address: ({ version, address, vlan }) =>
      syslog.log(`user ${user} Real-IP ${realAddress()} has got VDE-IP${version} ${address} on vlan ${vlan}`),
    stop: () => {
      syslog.log(`STOP: ${who()}`);
      syslog.close();
    },
  };
}
