/**
 * A client of a management socket that asks the same again and again, as fast as it is answered, and reads everything.
 *
 *   console.ts PATH COMMAND
 *
 * It prints `ready` after the first answer, and one line of JSON, how many answers and bytes came, when its standard
 * input ends.
 */

import { connect } from 'node:net';

/** C writes an answer once, whether the socket takes all of it or not: after this long there comes no more, in ms. */
const SILENCE_MS = 50;
const PROMPT = '\nvde$ ';

const [path, command] = process.argv.slice(2);
const socket = connect(path);
let answers = -1;
let bytes = 0;
let tail = '';
let silence: NodeJS.Timeout | undefined;

function next(): void {
  if (++answers === 1) console.log('ready');
  tail = '';
  socket.write(`${command}\n`);
}

socket.setEncoding('latin1');
socket.on('data', (text: string) => {
  bytes += text.length;
  tail = (tail + text).slice(-PROMPT.length);
  clearTimeout(silence);
  if (tail === PROMPT) next();
  else silence = setTimeout(next, SILENCE_MS);
});
process.stdin.resume();
process.stdin.on('end', () => {
  console.log(JSON.stringify({ answers, bytes }));
  process.exit(0);
});
