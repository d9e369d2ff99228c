/**
 * Commands that have been told to end and have not yet: this process waits for them before it ends itself. Apart from
 * `command.ts`, so that whoever starts no command need not load it.
 */

const endings = new Set<Promise<unknown>>();

/** Has `commandsEnded` wait for `ended`, which never rejects. */
export function awaitBeforeEnd(ended: Promise<unknown>): void {
  endings.add(ended);
  void ended.then(() => endings.delete(ended));
}

/** Resolves when all commands that have been told to end have ended. */
export async function commandsEnded(): Promise<void> {
  await Promise.all(endings);
}
