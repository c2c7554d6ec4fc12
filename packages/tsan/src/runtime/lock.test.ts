// Locks whose holder is gone are taken over, and what they protect then orders everything: an edge too many, never one too few.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Header, Slot } from './control.ts';
import { acquireLock, releaseLock } from './lock.ts';
import { shareBuffer, simulateProcess } from './simulated.fixture.ts';
import { findVariable, lockVariable } from './sync.ts';
import { leave, noteEnding } from './thread-table.ts';

test('a lock of a thread that has ended is taken over, and said to be', () => {
  const main = simulateProcess();
  const other = main.create();
  const { control, clock } = main.runtime;
  const words = new Int32Array(new SharedArrayBuffer(8));
  assert.equal(acquireLock(control, words, 0, other.runtime.clock.holder), false);
  leave(clock, other.runtime.clock.uid);
  assert.equal(acquireLock(control, words, 0, clock.holder), true);
  releaseLock(words, 0);
  assert.equal(acquireLock(control, words, 0, clock.holder), false);
});

test('a lock of a thread that was told to end is taken over when it does not come out', () => {
  const main = simulateProcess();
  const other = main.create();
  const { control, clock } = main.runtime;
  const words = new Int32Array(new SharedArrayBuffer(8));
  acquireLock(control, words, 0, other.runtime.clock.holder);
  noteEnding(control, other.runtime.clock.uid);
  assert.equal(control.slots[other.runtime.clock.slot * 4 + 1], Slot.ending);
  assert.equal(acquireLock(control, words, 0, clock.holder), true);
});

test('a lock of a thread whose slot another one has now is not the other one’s', () => {
  const main = simulateProcess();
  const { control, clock } = main.runtime;
  const threads = Array.from({ length: 255 }, () => main.create());
  const words = new Int32Array(new SharedArrayBuffer(8));
  acquireLock(control, words, 0, threads[0]!.runtime.clock.holder);
  leave(clock, threads[0]!.runtime.clock.uid);
  const heir = main.create();
  assert.equal(heir.runtime.clock.slot, threads[0]!.runtime.clock.slot);
  assert.equal(acquireLock(control, words, 0, clock.holder), true);
});

test('a sync variable that a dead thread was writing orders all that was done so far', () => {
  const main = simulateProcess();
  const [reader, writer] = [main.create(), main.create()];
  const buffer = shareBuffer(main, [main, reader, writer], 64);
  const { control, clock } = main.runtime;
  const { heads } = main.runtime.buffers.known(buffer)!;
  const theirs = writer.view(Int32Array, buffer);
  const mine = reader.view(Int32Array, buffer);
  writer.write(theirs, 4);
  writer.store(theirs, 0, 1);
  lockVariable(writer.runtime.clock, findVariable(control, heads, 0, 4));
  leave(clock, writer.runtime.clock.uid);
  reader.load(mine, 0);
  reader.read(mine, 4);
  assert.equal(main.reports.length, 0);
  assert.equal(control.header[Header.alive], 2);
});
