// Reports a program's author does not want: a file with a `TYPE:PATTERN` a line, by ThreadSanitizer's rules, matched against the functions, files and
// locations of a report. A suppression hides a race, it does not mend one; so the run ends by saying which ones matched.

import { readFileSync } from 'node:fs';
import type { Report, Stack } from './report.ts';

/** What a line may begin with. `race_top` looks at the innermost frame only, `mutex` and `own` at the kinds lock and ownership. */
export const suppressionTypes = ['race', 'race_top', 'thread', 'mutex', 'own', 'deadlock'] as const;
export type SuppressionType = (typeof suppressionTypes)[number];

export interface Suppression {
  readonly type: SuppressionType;
  readonly pattern: string;
  readonly matches: (text: string) => boolean;
}

/** At most this many lines: their counters are shared by all threads. */
export const maxSuppressions = 1024;

/** A line of a suppression file that cannot be meant. */
export class SuppressionError extends Error {
  override readonly name = 'SuppressionError';
}

/**
 * Those of a file; none for the empty path.
 * @throws {SuppressionError} the file cannot be read, or has a line that cannot be meant
 */
export function readSuppressions(path: string): Suppression[] {
  if (path === '') return [];
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new SuppressionError(`${path}: ${(error as Error).message}`);
  }
  return parseSuppressions(text, path);
}

/**
 * @throws {SuppressionError} a line without a known type or without a pattern, or more than `maxSuppressions`
 */
export function parseSuppressions(text: string, file = 'suppressions'): Suppression[] {
  const found: Suppression[] = [];
  text.split(/\r?\n/).forEach((line, index) => {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) return;
    const [, type = '', pattern = ''] = /^(\w*)\s*:\s*(.*)$/.exec(trimmed) ?? [];
    const known = suppressionTypes.find((each) => each === type);
    const at = `${file}:${index + 1}: '${trimmed}'`;
    if (known === undefined) throw new SuppressionError(`${at}: must begin with ${suppressionTypes.join(': ')}:`);
    if (pattern === '') throw new SuppressionError(`${at}: no pattern`);
    found.push({ type: known, pattern, matches: compilePattern(pattern) });
  });
  if (found.length > maxSuppressions) {
    throw new SuppressionError(`${file}: ${found.length} suppressions, at most ${maxSuppressions} are possible`);
  }
  return found;
}

/** ThreadSanitizer's patterns: found anywhere in the text, `*` is any run of characters, `^` and `$` tie to its ends. */
export function compilePattern(pattern: string): (text: string) => boolean {
  const tiedFront = pattern.startsWith('^');
  const tiedBack = pattern.endsWith('$');
  const parts = pattern.slice(tiedFront ? 1 : 0, tiedBack ? -1 : undefined).split('*');
  const source = parts.map((part) => part.replace(/[.+?^${}()|[\]\\/-]/g, '\\$&')).join('[^]*');
  const expression = new RegExp(`${tiedFront ? '^' : ''}${source}${tiedBack ? '$' : ''}`);
  return (text) => expression.test(text);
}

/** The index of the first suppression that hides the report, or -1. */
export function suppressionOf(report: Report, suppressions: readonly Suppression[]): number {
  return suppressions.findIndex(({ type, matches }) => textsOf(report, type).some(matches));
}

/** What a suppression of this type looks at; nothing where it is for other reports. */
function textsOf(report: Report, type: SuppressionType): string[] {
  const stacks = report.accesses.map(({ stack }) => stack);
  switch (type) {
    case 'race':
      return isRace(report) ? [...stacks.flatMap(texts), ...locationTexts(report)] : [];
    case 'race_top':
      return isRace(report) ? stacks.flatMap((stack) => texts(stack.slice(0, 1))) : [];
    case 'thread':
      return report.threads.flatMap(({ name, stack }) => [
        ...(name === undefined ? [] : [name]),
        ...texts(stack ?? []),
      ]);
    case 'own':
      return report.kind === 'ownership' ? [...stacks.flatMap(texts), ...locationTexts(report)] : [];
    case 'mutex':
      return report.kind === 'lock' ? [...stacks.flatMap(texts), ...lockTexts(report)] : [];
    case 'deadlock':
      return report.kind === 'deadlock' ? [...stacks.flatMap(texts), ...lockTexts(report)] : [];
  }
}

function isRace({ kind }: Report): boolean {
  return kind !== 'ownership' && kind !== 'lock' && kind !== 'deadlock';
}

function texts(stack: Stack): string[] {
  return stack.flatMap((frame) => [frame.function, frame.file]).filter((text) => text !== '');
}

function locationTexts({ location }: Report): string[] {
  if (location === undefined) return [];
  const named = location.name === undefined ? [] : [location.name];
  return [...named, ...texts(location.stack), ...texts(location.block?.stack ?? [])];
}

function lockTexts({ locks = [] }: Report): string[] {
  return locks.flatMap(({ name, stack }) => [...(name === undefined ? [] : [name]), ...texts(stack)]);
}
