/** What the commands of a switch's console are about. */

import type { SwitchService } from '../switch/service.js';

export interface ConsoleTarget {
  version: string;
  service: SwitchService;
  mac: Uint8Array;
  /** Buckets of the table that a C switch would have, a power of two: only shown. */
  hashSize: number;
  /** The management socket, if there is one: its path and permissions. */
  management: { path: string; mode: number } | undefined;
  /** Ends the switch. */
  shutdown: () => void;
}
