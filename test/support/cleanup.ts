/**
 * What a test leaves to be undone, undone last-in first-out.
 *
 * node:test runs `t.after` hooks in the order of their registration, which would remove a directory before the process
 * that lives in it has ended. So the support room registers one hook per test and keeps its own stack.
 */

/** Anything with an `after`: a `TestContext`, or `{ after }` of node:test for a whole suite or file. */
export interface Owner {
  after(hook: () => void | Promise<void>): void;
}

const stacks = new WeakMap<Owner, (() => unknown)[]>();

/**
 * Runs `undo` when the test of `owner` has ended, before whatever was registered earlier. All run, even if some fail;
 * the first failure then fails the test.
 */
export function cleanup(owner: Owner, undo: () => unknown): void {
  let stack = stacks.get(owner);
  if (!stack) {
    const fresh: (() => unknown)[] = [];
    stack = fresh;
    stacks.set(owner, fresh);
    owner.after(() => unwind(fresh));
  }
  stack.push(undo);
}

async function unwind(stack: (() => unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (let undo = stack.pop(); undo; undo = stack.pop()) {
    try {
      await undo();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
