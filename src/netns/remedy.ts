/** Why the kernel or the system refuses a namespace, in one line that names what is to be changed. */

import { readFileSync } from 'node:fs';
import { VdeError } from '../sys/errors.js';

const SYSCTLS = '/proc/sys/';

/** What can stand in the way: a sysctl, the values with which it does, and what sets it right. */
const KNOBS: { sysctl: string; blocks: (value: number) => boolean; remedy: string }[] = [
  {
    sysctl: 'kernel.unprivileged_userns_clone',
    blocks: (value) => value === 0,
    remedy: 'ask the administrator for: sysctl kernel.unprivileged_userns_clone=1',
  },
  {
    sysctl: 'user.max_user_namespaces',
    blocks: (value) => value === 0,
    remedy: 'ask the administrator for: sysctl user.max_user_namespaces=10000',
  },
  {
    sysctl: 'user.max_net_namespaces',
    blocks: (value) => value === 0,
    remedy: 'ask the administrator for: sysctl user.max_net_namespaces=10000',
  },
  {
    sysctl: 'kernel.apparmor_restrict_unprivileged_userns',
    blocks: (value) => value !== 0,
    remedy:
      'ask the administrator for: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for unshare',
  },
];

/** Reads a sysctl; undefined if the kernel has none of that name. */
export type Sysctls = (name: string) => number | undefined;

const machine: Sysctls = (name) => {
  try {
    return Number(readFileSync(SYSCTLS + name.replaceAll('.', '/'), 'utf8'));
  } catch {
    return undefined;
  }
};

/**
 * The error for a namespace that did not come to be.
 * @param said by `unshare` or the helper; undefined if there is no `unshare`.
 * @param signal that ended it.
 */
export function namespaceFailure(
  said: string | undefined,
  signal: string | null,
  sysctls: Sysctls = machine,
): VdeError {
  const error = (cause: string, remedy?: string, code = 'EPERM') =>
    new VdeError({ code, subject: 'namespace', cause, remedy });
  if (said === undefined) return error('there is no command unshare', 'install util-linux', 'ENOENT');
  if (signal !== null) return error(`ended by ${signal}`, undefined, 'EINTR');
  const text =
    said
      .trim()
      .split('\n')
      .filter(Boolean)
      .at(0)
      ?.replace(/^unshare: /, '') ?? 'did not come up';
  if (/unrecognized option|invalid option/.test(text)) {
    return error(`unshare is too old: ${text}`, 'util-linux 2.38 or later is needed', 'ENOTSUP');
  }
  if (!/Operation not permitted|Permission denied|No space left on device|Invalid argument|EPERM|EACCES/.test(text)) {
    return error(text, undefined, 'EFAIL');
  }
  const knob = KNOBS.find(({ sysctl, blocks }) => {
    const value = sysctls(sysctl);
    return value !== undefined && blocks(value);
  });
  if (knob) return error(`${text}: ${knob.sysctl} forbids it`, knob.remedy);
  if (/No space left/.test(text)) {
    return error(text, 'too many namespaces, or more than 32 within each other: see user.max_user_namespaces');
  }
  return error(text, 'this system forbids user namespaces: a container may need --security-opt seccomp=unconfined');
}
