// Suppressions: ThreadSanitizer's patterns, and which texts of a report each type looks at.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { frame, race } from './race.fixture.ts';
import type { Report } from './report.ts';
import { compilePattern, maxSuppressions, parseSuppressions, suppressionOf } from './suppressions.ts';

test('a pattern is found anywhere, unless tied to an end', () => {
  const cases: [string, string, boolean][] = [
    ['ring', '/src/ring.mjs', true],
    ['^ring', '/src/ring.mjs', false],
    ['^/src', '/src/ring.mjs', true],
    ['ring$', '/src/ring.mjs', false],
    ['.mjs$', '/src/ring.mjs', true],
    ['^/*ring*$', '/src/ring.mjs', true],
    ['s*g.m', '/src/ring.mjs', true],
    ['g*s*g', '/src/ring.mjs', false],
    ['r.ng', '/src/ring.mjs', false],
    ['*', '', true],
    ['^a$', 'ab', false],
  ];
  for (const [pattern, text, expected] of cases)
    assert.equal(compilePattern(pattern)(text), expected, `${pattern} on ${text}`);
});

test('without * ^ $ a pattern is a plain text, whatever is in it', () => {
  const plain = fc.string({ minLength: 1, maxLength: 6 }).filter((text) => !/^\^|\*|\$$/.test(text));
  fc.assert(
    fc.property(plain, fc.string(), (pattern, text) => compilePattern(pattern)(text) === text.includes(pattern)),
  );
  fc.assert(
    fc.property(plain, fc.string(), fc.string(), (pattern, a, b) => compilePattern(pattern)(`${a}${pattern}${b}`)),
  );
});

function hides(line: string, report: Report): boolean {
  return suppressionOf(report, parseSuppressions(line)) === 0;
}

test('race looks at all frames and the location, race_top at the innermost frames', () => {
  for (const pattern of ['publish', 'take', 'worker.mjs', 'main.mjs']) assert(hides(`race:${pattern}`, race), pattern);
  assert(hides('race_top:publish', race));
  assert(hides('race_top:take', race));
  assert(!hides('race_top:worker.mjs', race));
  assert(!hides('race:other', race));
});

test('thread looks at those who take part: their names and where they were created', () => {
  assert(hides('thread:producer', race));
  assert(hides('thread:src/main', race));
  assert(!hides('thread:worker.mjs', race));
});

test('own, mutex and deadlock are for their kinds only', () => {
  const types = { ownership: 'own', lock: 'mutex', deadlock: 'deadlock' } as const;
  for (const [kind, type] of Object.entries(types)) {
    const report = { ...race, kind: kind as keyof typeof types };
    assert(hides(`${type}:publish`, report), kind);
    assert(!hides(`${type}:publish`, race), kind);
    assert(!hides('race:publish', report), kind);
  }
  assert(hides('mutex:ring', { ...race, kind: 'lock', accesses: [], locks: race.locks! }));
  assert(
    !hides('mutex:^ring$', { ...race, kind: 'lock', accesses: [], locks: [{ id: 1, stack: [frame('f', 'g', 1)] }] }),
  );
});

test('the first line that matches counts; comments and blanks do not', () => {
  const lines = parseSuppressions('# ours\r\n\n race:nobody \nrace:take\nrace:publish\n');
  assert.deepEqual(
    lines.map(({ pattern }) => pattern),
    ['nobody', 'take', 'publish'],
  );
  assert.equal(suppressionOf(race, lines), 1);
  assert.equal(suppressionOf(race, []), -1);
});

test('a line that cannot be meant is refused with its number', () => {
  assert.throws(
    () => parseSuppressions('race:a\npublish', 'file'),
    /^SuppressionError: file:2: 'publish': must begin with/,
  );
  assert.throws(() => parseSuppressions('race:'), /no pattern/);
  assert.throws(() => parseSuppressions('race:a\n'.repeat(maxSuppressions + 1)), /1025 suppressions, at most 1024/);
});
