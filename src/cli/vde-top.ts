/**
 * `vde top DIR|SOCKET`: a live table of a switch's ports, from the counters that its console shows. `q` ends it; `--once`
 * and `--json` are for programs.
 */

import { writeSync } from 'node:fs';
import { type ConsoleClient, openConsole } from '../console/client.js';
import { parseShowinfo, type ShownSwitch } from '../console/parse-info.js';
import { parseDrops, parsePorts } from '../console/parse-ports.js';
import { VdeError } from '../sys/errors.js';
import { onSignals } from './command.js';
import { consolePath, printable } from './console-path.js';
import { print } from './print.js';
import { drawTable, type PortRates, RateMeter, samples } from './vde-top-view.js';

export interface TopOptions {
  /** Two looks, one table, and out. */
  once?: boolean;
  /** One JSON object per look. */
  json?: boolean;
  /** Seconds between looks. */
  interval: number;
}

const INTERVAL_MIN = 0.1;
const INTERVAL_MAX = 86_400;
/** Of a table that nobody sees on a terminal. */
const PIPE_WIDTH = 200;

const SCREEN_ON = '\x1b[?1049h\x1b[?25l';
const SCREEN_OFF = '\x1b[?25h\x1b[?1049l';
/** Between these a terminal that knows them draws nothing until all is there (synchronized output). */
const FRAME_BEGIN = '\x1b[?2026h\x1b[H';
const FRAME_END = '\x1b[J\x1b[?2026l';

/** Runs the table until its user ends it. Returns the exit status. */
export async function top(name: string, options: TopOptions): Promise<number> {
  if (!(options.interval >= INTERVAL_MIN && options.interval <= INTERVAL_MAX)) {
    const cause = `must be from ${INTERVAL_MIN} to ${INTERVAL_MAX} seconds`;
    throw new VdeError({ code: 'EUSAGE', subject: '--interval', cause });
  }
  const console = await openConsole(consolePath(name));
  const watch = new SwitchWatch(console);
  try {
    const live = !options.once && !options.json && process.stdout.isTTY === true;
    if (live) return await new Screen(watch, options.interval).run();
    onSignals(() => console.close());
    return await report(watch, options);
  } finally {
    console.close();
  }
}

/** What is asked of the switch at each look. */
class SwitchWatch {
  readonly #meter = new RateMeter();

  constructor(private readonly console: ConsoleClient) {}

  async look(): Promise<{ title: string; info: ShownSwitch | undefined; ports: PortRates[] }> {
    const info = parseShowinfo(await this.#ask('showinfo'));
    const shown = parsePorts(await this.#ask('port/allprint'));
    // A switch of C's counts no drops.
    const drops = parseDrops((await this.console.command('port/drops')).data);
    const ports = this.#meter.update(performance.now() / 1000, samples(shown, drops));
    const active = ports.filter((one) => one.active).length;
    const who = info === undefined ? 'switch' : `vde_switch ${info.version}  pid ${info.pid}  up ${info.uptime} s`;
    return { title: `${who}  ${active} of ${ports.length} ports active`, info, ports };
  }

  async #ask(command: string): Promise<string[]> {
    const { code, message, data } = await this.console.command(command);
    if (code === 1000) return data.map(printable);
    throw new VdeError({ code: 'EPROTO', subject: this.console.path, cause: `${command}: ${printable(message)}` });
  }
}

function pause(seconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, seconds * 1000));
}

/** For programs and files: a table, or JSON lines. */
async function report(watch: SwitchWatch, { once, json, interval }: TopOptions): Promise<number> {
  await watch.look();
  do {
    await pause(interval);
    const { title, info, ports } = await watch.look();
    const text = json
      ? `${JSON.stringify({ ...info, ports: ports.map(({ history: _, ...port }) => port) })}\n`
      : drawTable(ports, title, PIPE_WIDTH, Number.POSITIVE_INFINITY)
          .map((line) => `${line.trimEnd()}\n`)
          .join('');
    print(text);
  } while (!once);
  return 0;
}

/** The terminal: taken at the start, given back at any end. */
class Screen {
  #taken = false;
  #end: (status: number) => void = () => {};
  #fail: (error: unknown) => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #last: { title: string; ports: PortRates[] } | undefined;

  constructor(
    private readonly watch: SwitchWatch,
    private readonly interval: number,
  ) {}

  async run(): Promise<number> {
    const ended = new Promise<number>((done, fail) => {
      this.#end = done;
      this.#fail = fail;
    });
    onSignals(() => this.#giveBack());
    const giveBack = () => this.#giveBack();
    process.once('exit', giveBack);
    try {
      this.#take();
      void this.#tick();
      return await ended;
    } finally {
      clearTimeout(this.#timer);
      this.#giveBack();
      process.off('exit', giveBack);
    }
  }

  async #tick(): Promise<void> {
    try {
      this.#last = await this.watch.look();
      if (!this.#taken) return;
      this.#draw();
      this.#timer = setTimeout(() => void this.#tick(), this.interval * 1000);
    } catch (error) {
      this.#fail(error);
    }
  }

  readonly #draw = (): void => {
    if (this.#last === undefined || !this.#taken) return;
    // A terminal that was never told its size says 0.
    const columns = process.stdout.columns || 80;
    const rows = process.stdout.rows || 24;
    const [title, head, ...lines] = drawTable(this.#last.ports, `${this.#last.title}   q quits`, columns, rows);
    const drawn = [title, `\x1b[7m${(head ?? '').padEnd(columns)}\x1b[0m`, ...lines];
    process.stdout.write(`${FRAME_BEGIN}${drawn.map((line) => `${line}\x1b[K`).join('\r\n')}${FRAME_END}`);
  };

  readonly #onKey = (keys: Buffer): void => {
    const text = keys.toString('latin1');
    if (/^[qQ\x03\x04]/.test(text)) this.#end(0);
    else this.#draw();
  };

  readonly #onInputEnd = (): void => this.#end(0);

  #take(): void {
    this.#taken = true;
    const { stdin, stdout } = process;
    stdout.write(SCREEN_ON);
    stdout.on('resize', this.#draw);
    if (stdin.isTTY) {
      stdin.setRawMode(true);
      stdin.on('data', this.#onKey);
      stdin.on('end', this.#onInputEnd);
      stdin.on('error', this.#onInputEnd);
    }
  }

  #giveBack(): void {
    if (!this.#taken) return;
    this.#taken = false;
    const { stdin, stdout } = process;
    stdout.off('resize', this.#draw);
    if (stdin.isTTY) {
      stdin.off('data', this.#onKey);
      stdin.setRawMode(false);
      stdin.pause();
    }
    try {
      writeSync(1, SCREEN_OFF);
    } catch {
      // The terminal has gone.
    }
  }
}
