// Locks whose holder is gone are taken over, and what they protect then orders everything: an edge too many, never one too few.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Header, Slot } from './control.ts';
import { acquireLock, releaseLock } from './lock.ts';
import { shareBuffer, simulateProcess } from './simulated.fixture.ts';
import { findVariable, lockVariable } from './sync.ts';
import { leave, noteEnding, recordOf } from './thread-table.ts';

test('a lock of a thread that has ended is taken over, and said to be', () => {
  const main = simulateProcess();
  const other = main.create();
  const { control, clock } = main.runtime;
  const words = new Int32Array(new SharedArrayBuffer(8));
  assert.equal(acquireLock(control, words, 0, other.runtime.clock.holder), false);
  leave(clock, other.runtime.clock.uid);
  assert.equal(acquireLock(control, words, 0, clock.holder), true);
  releaseLock(words, 0, clock.holder, 0);
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
  // terminate() of a worker that is long gone is not about the heir.
  noteEnding(control, threads[0]!.runtime.clock.uid);
  assert.equal(control.slots[heir.runtime.clock.slot * 4 + 1], Slot.live);
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
  writer.store(theirs, 0, 1);
  writer.write(theirs, 4);
  lockVariable(writer.runtime.clock, findVariable(control, heads, 0, 4));
  leave(clock, writer.runtime.clock.uid);
  reader.load(mine, 0);
  reader.read(mine, 4);
  assert.equal(main.reports.length, 0);
  assert.equal(control.header[Header.alive], 2);
});

test('a lock of a worker whose creator has ended is taken over: nobody else would be told of its end', () => {
  const main = simulateProcess();
  const parent = main.create();
  const child = parent.create();
  const { control, clock } = main.runtime;
  const words = new Int32Array(new SharedArrayBuffer(8));
  acquireLock(control, words, 0, child.runtime.clock.holder);
  noteEnding(control, parent.runtime.clock.uid);
  assert.equal(acquireLock(control, words, 0, clock.holder), true);
  acquireLock(control, words, 1, child.runtime.clock.holder);
  leave(clock, parent.runtime.clock.uid);
  assert.equal(recordOf(control, child.runtime.clock.uid)!.running, false);
  assert.equal(control.header[Header.alive], 1);
  assert.equal(acquireLock(control, words, 1, clock.holder), true);
});

test('a lock that its holder was torn away from is had again, by itself at once and by others in time', () => {
  const main = simulateProcess();
  const other = main.create();
  const { control, clock } = main.runtime;
  const words = new Int32Array(new SharedArrayBuffer(8));
  acquireLock(control, words, 0, clock.holder);
  assert.equal(acquireLock(control, words, 0, clock.holder), true);
  assert.equal(acquireLock(control, words, 0, other.runtime.clock.holder), true);
  // It was only slow: it gives back no lock but its own.
  releaseLock(words, 0, clock.holder, 0);
  assert.equal(words[0], other.runtime.clock.holder);
});

test('no stack overflow keeps a lock', () => {
  const main = simulateProcess();
  const buffer = shareBuffer(main, [main], 64);
  const view = main.view(Int32Array, buffer);
  const lock = findVariable(main.runtime.control, main.runtime.buffers.known(buffer)!.heads, 0, 4) + 2;
  // From each depth near the end of the stack another call is the one too many.
  for (let pad = 0; pad < 400; pad++) {
    const descend = (depth: number): number => {
      main.add(view, 0, 1);
      return descend(depth + 1) + depth;
    };
    const padded = (left: number): number => (left > 0 ? padded(left - 1) + 1 : descend(0));
    assert.throws(() => padded(pad), RangeError);
    assert.equal(main.runtime.control.syncInts[lock], 0, `after ${pad}`);
  }
});

for (const way of ['terminated', 'exit']) {
  test(`a worker is known to end before its creator is told of it: ${way}`, () => {
    const file = `./endings.fixture.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`;
    const fixture = fileURLToPath(new URL(file, import.meta.url));
    const env = { ...process.env, JSTSAN_OPTIONS: '' };
    const { stdout, stderr } = spawnSync(process.execPath, [fixture, way], { encoding: 'utf8', env, timeout: 60_000 });
    assert.deepEqual({ stdout, stderr }, { stdout: 'ending\n', stderr: '' });
  });
}
