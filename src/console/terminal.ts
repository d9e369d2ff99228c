/**
 * The console on standard input and output of a switch in the foreground (reference: management console, "Foreground
 * console"): one line is one command, and the prompt comes after each answer, on standard output.
 */

import { writeSync } from 'node:fs';
import { answerLine, type ConsoleCommand } from './command-table.js';

const PROMPT = '\nvde$ ';
/** Longest line; what follows is another. */
const LINE_MAX = 4096;

/**
 * Reads commands until the end of standard input.
 * @param onEnd called at the end of the input.
 * @returns what stops the reading.
 */
export function startTerminal(table: readonly ConsoleCommand[], onEnd: () => void): () => void {
  const { stdin } = process;
  let pending = '';
  const onData = (chunk: Buffer | string) => {
    pending += chunk.toString();
    for (let end = lineEnd(pending); end >= 0; end = lineEnd(pending)) {
      const line = pending.slice(0, end);
      pending = pending.slice(pending[end] === '\n' ? end + 1 : end);
      run(table, line);
    }
  };
  const onFinish = () => {
    if (pending !== '') run(table, pending);
    pending = '';
    onEnd();
  };
  stdin.on('data', onData);
  stdin.once('end', onFinish);
  // A terminal that is hung up reports an error rather than an end.
  stdin.once('error', onFinish);
  return () => {
    stdin.off('data', onData);
    stdin.off('end', onFinish);
    stdin.pause();
  };
}

function lineEnd(text: string): number {
  const end = text.indexOf('\n');
  if (end >= 0 && end <= LINE_MAX) return end;
  return text.length > LINE_MAX ? LINE_MAX : -1;
}

function run(table: readonly ConsoleCommand[], line: string): void {
  // Here, `logout` has nothing to leave.
  if (/^[ \t]*logout/.test(line)) return;
  const answer = answerLine(table, line);
  say(answer === undefined ? PROMPT : `${answer.join('\n')}\n${PROMPT}`);
}

/** Output whose reader has gone is nobody's loss: a switch goes on switching. */
function say(text: string): void {
  try {
    writeSync(1, text);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EPIPE' && code !== 'EAGAIN' && code !== 'EBADF') throw error;
  }
}
