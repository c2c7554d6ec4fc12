// Which files are left alone, and how the user is told of one that has to be.

import { writeSync } from 'node:fs';
import { compilePattern } from '../report/suppressions.ts';

/** A test for addresses by the patterns of the option `exclude`. */
export function isExcludedBy(patterns: readonly string[]): (url: string) => boolean {
  const compiled = patterns.map(compilePattern);
  return (url) => compiled.some((matches) => matches(decodeURI(url)));
}

const said = new Set<string>();

/** On stderr, once each; never fails, since what runs here is the loading of the program. */
export function say(text: string): void {
  if (said.has(text)) return;
  said.add(text);
  try {
    writeSync(2, `ThreadSanitizer: ${text}\n`);
  } catch {
    // A closed or full stderr is not the program's trouble.
  }
}
