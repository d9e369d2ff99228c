/** The log of a switch or broker in the process of the test. */

export class LogLines {
  readonly lines: string[] = [];
  readonly #listeners = new Set<() => void>();

  /** Takes a line: what is given for a log. */
  readonly log = (line: string): void => {
    this.lines.push(line);
    for (const listener of [...this.#listeners]) listener();
  };

  /** Waits for a line. */
  readonly said = (pattern: RegExp): Promise<string> =>
    new Promise((done) => {
      const look = () => {
        const line = this.lines.find((one) => pattern.test(one));
        if (line === undefined) return;
        this.#listeners.delete(look);
        done(line);
      };
      this.#listeners.add(look);
      look();
    });
}
