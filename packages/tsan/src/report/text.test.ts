// The text of a report, against one written by hand after ThreadSanitizer's own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frame, race } from './race.fixture.ts';
import { place } from './report.ts';
import { summaryOf, textOf } from './text.ts';

test('a race is laid out as ThreadSanitizer lays it out', () => {
  const expected = `==================
WARNING: ThreadSanitizer: data race (pid=123)
  Kind: plain/atomic: one of the two accesses is not atomic

  Write of size 4 at buffer 2 offset 0x10 by thread T1 (mutexes: write M5):
    #0 publish src/ring.mjs:3:7
    #1 <module> src/worker.mjs:9:1

  Previous atomic read of size 4 at buffer 2 offset 0x10 by main thread:
    #0 take src/ring.mjs:12:20

  Location is SharedArrayBuffer 2 of size 64 allocated by main thread:
    #0 <module> src/main.mjs:1:13

  Mutex M5 'ring' created at:
    #0 create src/lock.mjs:2:3

  Thread T1 'producer' (tid=1, finished) created by main thread at:
    #0 <module> src/main.mjs:5:1

SUMMARY: ThreadSanitizer: data race src/ring.mjs:3:7 in publish
==================
`;
  assert.equal(textOf(race, 123, '/repo/'), expected);
});

test('a stack that is lost, a place without a line and a freed block are said', () => {
  const [write, read] = race.accesses;
  const block = {
    offset: 8,
    size: 24,
    region: 'affine',
    freed: true,
    thread: 1,
    stack: [frame('free', 'data:x', 0, 0)],
  };
  const text = textOf(
    {
      ...race,
      kind: 'ownership',
      title: 'use after free',
      accesses: [write!, { ...read!, stack: [] }],
      location: { ...race.location!, block },
    },
    1,
  );
  assert.match(text, /by main thread:\n {4}\[failed to restore the stack\]\n\n/);
  assert.match(
    text,
    /Location is affine block of size 24 at offset 0x8 of buffer 2, freed by thread T1:\n {4}#0 free data:x\n\n/,
  );
  assert.match(text, /The block lies in SharedArrayBuffer 2 of size 64 allocated by main thread:/);
  assert.doesNotMatch(text, /Kind:/);
});

test('a deadlock has no previous access, and no address', () => {
  const waits = [0, 1].map((thread) => ({
    op: 'wait' as const,
    size: 0,
    offset: 0,
    thread,
    stack: [frame('join', '/a.mjs', 1)],
  }));
  const text = textOf({ kind: 'deadlock', title: 'all threads wait', accesses: waits, threads: race.threads }, 1);
  assert.match(text, /\n {2}Wait by main thread:\n/);
  assert.match(text, /\n {2}Wait by thread T1:\n/);
});

test('a long data: URL is cut', () => {
  const text = summaryOf({
    ...race,
    accesses: [{ ...race.accesses[0]!, stack: [frame('f', `data:${'x'.repeat(99)}`, 1, 2)] }],
  });
  assert.equal(text, `ThreadSanitizer: data race data:${'x'.repeat(55)}...:1:2 in f`);
});

test('the summary names the innermost frame of the program', () => {
  const [write, read] = race.accesses;
  const inNode = { ...write!, stack: [frame('fill', 'node:internal/buffer', 1), ...write!.stack] };
  assert.equal(place({ ...race, accesses: [inNode, read!] }), write!.stack[0]);
  assert.equal(place({ ...race, accesses: [{ ...write!, stack: [] }, read!] }), read!.stack[0]);
  assert.equal(summaryOf({ ...race, accesses: [] }), 'ThreadSanitizer: data race');
});
