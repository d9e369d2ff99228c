/**
 * A command in one text, as `cmd://` and `=COMMAND` have it: no shell, only words (reference: plugins, section 12).
 *
 * Words are separated by blanks; `'...'` and `"..."` group; outside quotes `\c` is c. An unquoted `;` ends the command.
 * Nothing is expanded: an unquoted `$` at the start of a word, which C's tools turn into an empty word, is refused.
 */

import { VdeError } from '../sys/errors.js';

/**
 * The words of a command.
 * @throws VdeError `EMALFORMED` for a quote without its end, a variable, a second command, or no word at all.
 */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  const malformed = (cause: string, remedy?: string) =>
    new VdeError({ code: 'EMALFORMED', subject: text || 'command', cause, remedy });
  let word: string | undefined;
  let at = 0;
  const end = (): void => {
    if (word !== undefined) words.push(word);
    word = undefined;
  };
  while (at < text.length) {
    const c = text[at++];
    if (/\s/.test(c)) end();
    else if (c === "'" || c === '"') {
      const close = text.indexOf(c, at);
      if (close < 0) throw malformed(`the ${c} at ${at} has no end`);
      word = (word ?? '') + text.slice(at, close);
      at = close + 1;
    } else if (c === '\\') {
      if (at >= text.length) throw malformed('a \\ at the end stands for nothing');
      word = (word ?? '') + text[at++];
    } else if (c === ';') {
      if (text.slice(at).trim() !== '') throw malformed('there is room for one command only', "quote the ; as ';'");
      break;
    } else if (c === '$' && word === undefined) {
      throw malformed('variables are not expanded', "quote the $ as '$', or run sh -c '...'");
    } else word = (word ?? '') + c;
  }
  end();
  if (words.length === 0) throw malformed('there is no command');
  return words;
}
