/** Options that several commands have, in the same words. */

import type { OptionSpec } from './getopt.js';

export const HELP = {
  name: 'help',
  short: 'h',
  long: ['help'],
  arg: 'none',
  help: 'print this help and exit',
} as const satisfies OptionSpec;

export const VERSION = {
  name: 'version',
  long: ['version'],
  arg: 'none',
  help: 'print the version and exit',
} as const satisfies OptionSpec;

export const DAEMON = {
  name: 'daemon',
  short: 'd',
  long: ['daemon'],
  arg: 'none',
  help: 'run in the background',
} as const satisfies OptionSpec;

export const PIDFILE = {
  name: 'pidfile',
  short: 'p',
  long: ['pidfile'],
  arg: 'required',
  metavar: 'FILE',
  help: 'write the process id to FILE',
} as const satisfies OptionSpec;
