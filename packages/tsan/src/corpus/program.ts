// The litmus programs of packages/tsan/corpus: small, in pairs (NAME.race and NAME.mended), each saying in its second line what the sanitizer should
// find: `// expect: none`, or the kinds of report that are right. A race in one of a pair must be real by ECMA-262's memory model and happen on
// most schedules; the other of the pair must have none on any schedule. Without the sanitizer all of them end with 0.

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Kind, kinds } from '../report/report.ts';

export interface Program {
  /** `locks/two-locks.race.mjs` */
  readonly name: string;
  /** `locks` */
  readonly category: string;
  readonly path: string;
  /** Empty: no report is right. */
  readonly expected: readonly Kind[];
}

const folder = fileURLToPath(new URL('../../corpus/', import.meta.url));

/** Every program, by name. */
export function readCorpus(): Program[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.[cm]js$/.test(name));
  return files.sort().map((name) => readProgram(join(folder, name)));
}

function readProgram(path: string): Program {
  const name = relative(folder, path).split(sep).join('/');
  return { name, category: name.split('/')[0]!, path, expected: parseExpected(readFileSync(path, 'utf8'), name) };
}

/**
 * What the head of a program expects.
 * @throws {Error} it has no such line, names a kind that does not exist, or says otherwise than its name (`.race`, `.mended`)
 */
export function parseExpected(text: string, name: string): Kind[] {
  const line = /^\/\/ .+\n\/\/ expect: (.+)\n/.exec(text)?.[1];
  if (line === undefined) throw new Error(`${name}: no title and '// expect: ...' in the first two lines`);
  const expected = line === 'none' ? [] : line.split(' ').map((word) => kindOf(word, name));
  const racy = /\.race\.[cm]js$/.test(name);
  if (!racy && !/\.mended\.[cm]js$/.test(name)) throw new Error(`${name}: is neither .race nor .mended`);
  if (racy === (expected.length === 0)) throw new Error(`${name}: expects ${line}`);
  return expected;
}

function kindOf(word: string, name: string): Kind {
  const kind = kinds.find((each) => each === word);
  if (kind === undefined) throw new Error(`${name}: '${word}' is none of ${kinds.join(' ')}`);
  return kind;
}
