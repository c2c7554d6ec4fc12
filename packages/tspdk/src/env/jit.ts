/**
 * What the data path asks of V8's compiler: to inline for longer.
 *
 * An I/O passes through many small methods, one noun a file. TurboFan makes one function of them until it has taken in 920 bytecodes, and an I/O has more: which calls stay
 * calls is then a matter of what was hot first, differs from run to run and from thread to thread, and costs a fifth of the speed of a null disk. With a larger budget the
 * threads agree. (How much code may be made at all stays bounded by V8's other limits.)
 *
 * The flags belong to the process. V8 reads them whenever it compiles a function, so they may be set while it runs, and do nothing for what is compiled already.
 */
import { setFlagsFromString } from 'node:v8';

/** V8's flags and their values here; 460 and 920 without. */
const FLAGS = { 'max-inlined-bytecode-size': 1000, 'max-inlined-bytecode-size-cumulative': 4000 };

/** Sets the flags, except those that the command line of Node has set. Any thread, any number of times; before reactors turn. */
export function askForInlining(given: readonly string[] = process.execArgv): void {
  for (const flag of inliningFlags(given)) setFlagsFromString(flag);
}

/** The flags to set beside those of a command line. V8 takes `_` for `-`, and a value after `=` or as the next argument. */
export function inliningFlags(given: readonly string[]): string[] {
  const names = new Set(given.map((each) => each.replace(/^--?/, '').replaceAll('_', '-').split('=')[0]));
  return Object.entries(FLAGS).flatMap(([name, value]) => (names.has(name) ? [] : [`--${name}=${value}`]));
}
