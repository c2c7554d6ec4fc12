// What a process has allocated, from lines as V8 prints them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heapBytes } from './gc-trace.ts';

const line = (ms: number, before: number, after: number) =>
  `[1234:0x5a60]     ${ms} ms: Scavenge ${before.toFixed(1)} (8.0) -> ${after.toFixed(1)} (8.0) MB, 0.40 / 0.00 ms  (average mu = 1.000) task;`;

test('allocated is what rose between collections, whatever they freed', () => {
  const trace = [line(500, 9, 4), 'something else', line(1000, 5, 4), line(2000, 7, 4.5), line(3000, 5.5, 4.5)].join(
    '\n',
  );
  assert.deepEqual(heapBytes(trace), { bytes: (1 + 3 + 1) * 1024 * 1024, seconds: 2.5 });
  assert.deepEqual(heapBytes(trace, 1), { bytes: (3 + 1) * 1024 * 1024, seconds: 2 });
});

test('less than two collections are nothing that could be told', () => {
  assert.deepEqual(heapBytes(''), { bytes: 0, seconds: 1 });
  assert.deepEqual(heapBytes(line(1000, 5, 4)), { bytes: 0, seconds: 1 });
});
