/** `vde_switch`: runs a switch (reference: vde_switch management console, section 6). */

import { writeSync } from 'node:fs';
import type { ConsoleCommand } from '../console/command-table.js';
import { ManagementServer } from '../console/management.js';
import { runStartScript } from '../console/script.js';
import { banner, type ConsoleTarget, switchConsole } from '../console/switch-commands.js';
import { startTerminal } from '../console/terminal.js';
import { version } from '../console/version.js';
import type { Log } from '../switch/control.js';
import { SwitchService } from '../switch/service.js';
import { VdeError } from '../sys/errors.js';
import { onSignals, runCommand } from './command.js';
import { daemonize } from './daemon.js';
import { parseOptions } from './getopt.js';
import { openLog } from './log.js';
import { helpText } from './page.js';
import { writePidfile } from './pidfile.js';
import { findStartScript } from './start-script.js';
import { options, page, readSettings, type Settings } from './vde_switch-options.js';

const EXIT_NO_DIRECTORY = 255;

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vde_switch', vdeSwitch);
}

async function vdeSwitch(args: string[]): Promise<number> {
  const line = parseOptions(args, options, { longOnly: true });
  if (line.has('help')) {
    writeSync(1, helpText(page));
    return 1; // As C's does, and scripts may know.
  }
  if (line.has('version')) {
    writeSync(1, `VDE ${version}\nCopyright the vde authors, MIT licence\n`);
    return 0;
  }
  const settings = readSettings(line);
  const daemon = await daemonize(settings.daemon);
  const log = openLog(daemon.background, 'vde_switch');
  const cleanups: (() => void)[] = [];
  const cleanUp = () => {
    for (const step of cleanups.splice(0).reverse()) step();
  };
  try {
    onSignals((signal) => {
      log(`Caught signal ${signal}, cleaning up and exiting`);
      cleanUp();
    });
    let stop = () => {};
    const stopped = new Promise<number>((done) => {
      stop = () => done(0);
    });
    start(settings, log, cleanups, () => stop());
    daemon.ready();
    return await stopped;
  } catch (error) {
    if (error instanceof DirectoryFailure) {
      cleanUp();
      return daemon.fail(error.error, EXIT_NO_DIRECTORY);
    }
    throw error;
  } finally {
    cleanUp();
  }
}

/** The directory of the switch cannot be had: that has an exit status of its own. */
class DirectoryFailure extends Error {
  constructor(readonly error: Error) {
    super(error.message);
  }
}

function start(settings: Settings, log: Log, cleanups: (() => void)[], stop: () => void): void {
  if (settings.pidfile !== undefined) {
    const pidfile = writePidfile(settings.pidfile);
    cleanups.push(() => pidfile.remove());
  }
  const service = openService(settings, log);
  cleanups.push(() => service.close());
  const target: ConsoleTarget = {
    version,
    service,
    mac: settings.mac,
    hashSize: settings.hashSize,
    management: undefined,
    shutdown: () => {
      log('Shutdown from mgmt command');
      stop();
    },
  };
  const { table, plugins } = switchConsole(target);
  cleanups.push(() => plugins.close());
  if (settings.management !== undefined) {
    const { managementMode: mode, managementGroup: group } = settings;
    const server = new ManagementServer(settings.management, { mode, group, banner: banner(version), table, log });
    cleanups.push(() => server.close());
    target.management = server;
  }
  for (const name of settings.taps) addTap(service, name, log);
  runScript(settings.script, table, log);
  if (!settings.console) return;
  cleanups.push(
    startTerminal(table, () => {
      log('EOF on stdin, cleaning up and exiting');
      stop();
    }),
  );
}

/**
 * Runs the commands of the start script, if there is one. What is wrong with it is said, and the switch runs all the same,
 * as C's does.
 */
function runScript(named: string | undefined, table: () => readonly ConsoleCommand[], log: Log): void {
  const path = findStartScript(named, 'vde_switch');
  if (path === undefined) return;
  try {
    for (const { line, command, result } of runStartScript(table, path)) log(`${path}:${line}: ${command}: ${result}`);
  } catch (error) {
    if (!(error instanceof VdeError)) throw error;
    log(`start script: ${error.message}`);
  }
}

function openService(settings: Settings, log: Log): SwitchService {
  try {
    return new SwitchService(settings.directory, { ...settings, log });
  } catch (error) {
    throw error instanceof VdeError ? new DirectoryFailure(error) : error;
  }
}

/** A tap that cannot be opened is said, and the switch runs without it, as C's does. */
function addTap(service: SwitchService, name: string, log: Log): void {
  try {
    service.addTap(name);
  } catch (error) {
    if (!(error instanceof VdeError)) throw error;
    log(`ERROR OPENING tap interface: ${error.message}`);
  }
}
