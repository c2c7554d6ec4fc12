// What annotations find: each rule once broken and once kept, by simulated threads.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SimulatedThread, shareBuffer, simulateProcess } from '../runtime/simulated.fixture.ts';
import { createPort } from './port.ts';

function pair() {
  const main = simulateProcess();
  const other = main.create();
  const buffer = shareBuffer(main, [main, other], 256);
  const side = (thread: SimulatedThread) => ({
    thread,
    port: createPort(thread.runtime),
    view: thread.view(Int32Array, buffer),
  });
  const titles = () => main.reports.splice(0).map(({ title }) => title);
  return { mine: side(main), theirs: side(other), buffer, titles, reports: main.reports };
}

/** What `from` did so far is before what `to` does next. */
function order(from: SimulatedThread, to: SimulatedThread): void {
  to.receive(from.send());
}

test('a block of an affine region is touched and freed by its owner', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.alloc('affine', 'heap', buffer, 64, 64);
  mine.thread.write(mine.view, 16);
  order(mine.thread, theirs.thread);
  theirs.thread.read(theirs.view, 15);
  theirs.thread.read(theirs.view, 32);
  mine.port.free(buffer, 64);
  assert.deepEqual(titles(), []);
});

test('touching and freeing another thread’s block is found, ordered or not', () => {
  const { mine, theirs, buffer, titles, reports } = pair();
  mine.port.alloc('affine', 'heap', buffer, 64, 64);
  order(mine.thread, theirs.thread);
  theirs.thread.read(theirs.view, 17);
  const [report] = reports;
  assert.equal(report!.kind, 'ownership');
  assert.deepEqual(
    [report!.accesses[0]!.op, report!.accesses[0]!.offset, report!.accesses[1]!.op],
    ['read', 68, 'alloc'],
  );
  assert.equal(report!.location!.block!.region, "affine 'heap'");
  assert.deepEqual(titles(), ['access by a thread that is not the owner']);
  theirs.port.free(buffer, 64);
  assert.deepEqual(titles(), ['free by a thread that is not the owner'], 'no race: it was ordered');
});

test('a free that the allocator refused is reported, and the block is still there', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.alloc('shared', '', buffer, 64, 64);
  order(mine.thread, theirs.thread);
  theirs.port.free(buffer, 64, true);
  assert.deepEqual(titles(), ['free by a thread that is not the owner']);
  order(theirs.thread, mine.thread);
  mine.port.free(buffer, 64);
  assert.deepEqual(titles(), []);
});

test('freeing is an access to the block: where it is not ordered it is a race too', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.alloc('pool', '', buffer, 64, 64);
  order(mine.thread, theirs.thread);
  mine.thread.read(mine.view, 20);
  theirs.port.free(buffer, 64);
  assert.deepEqual(titles(), ['data race']);
});

test('double free and use after free are found, also by the one who freed, and not after it was allocated again', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.alloc('pool', '', buffer, 64, 64);
  mine.thread.write(mine.view, 16);
  mine.port.free(buffer, 64);
  mine.thread.write(mine.view, 16);
  mine.port.free(buffer, 64);
  order(mine.thread, theirs.thread);
  theirs.thread.read(theirs.view, 18);
  assert.deepEqual(titles(), ['use after free', 'attempting double-free', 'use after free']);
  order(theirs.thread, mine.thread);
  mine.port.alloc('pool', '', buffer, 64, 32);
  mine.thread.write(mine.view, 16);
  mine.port.free(buffer, 64);
  assert.deepEqual(titles(), []);
});

test('an allocated block is new memory: what was done to the freed one is no race with it', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.alloc('pool', '', buffer, 0, 16);
  mine.thread.write(mine.view, 0);
  mine.port.free(buffer, 0);
  // By an order of the allocator's that is not seen.
  theirs.port.alloc('pool', '', buffer, 0, 16);
  theirs.thread.write(theirs.view, 0);
  theirs.port.free(buffer, 0);
  assert.deepEqual(titles(), []);
});

test('a transferable block goes to the next toucher by a handoff, and is no longer its giver’s', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.alloc('transferable', '', buffer, 0, 16);
  mine.thread.write(mine.view, 0);
  mine.port.handoff(buffer, 0);
  order(mine.thread, theirs.thread);
  theirs.thread.write(theirs.view, 0);
  assert.deepEqual(titles(), []);
  order(theirs.thread, mine.thread);
  mine.thread.read(mine.view, 1);
  mine.port.free(buffer, 0);
  assert.deepEqual(titles(), ['use after handoff', 'free by a thread that is not the owner']);
});

test('its giver does not get a block back by touching it before anybody else', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.alloc('transferable', '', buffer, 0, 16);
  mine.port.handoff(buffer, 0);
  mine.thread.write(mine.view, 0);
  assert.deepEqual(titles(), ['use after handoff']);
  order(mine.thread, theirs.thread);
  theirs.thread.write(theirs.view, 0);
  theirs.port.free(buffer, 0);
  assert.deepEqual(titles(), []);
});

test('only the owner hands off, and nothing of an affine region or freed', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.alloc('affine', '', buffer, 0, 16);
  mine.port.handoff(buffer, 0);
  mine.port.alloc('transferable', '', buffer, 32, 16);
  order(mine.thread, theirs.thread);
  theirs.port.handoff(buffer, 32);
  mine.port.alloc('transferable', '', buffer, 64, 16);
  mine.port.free(buffer, 64);
  mine.port.handoff(buffer, 64);
  assert.deepEqual(titles(), [
    'handoff of an affine block',
    'handoff by a thread that is not the owner',
    'handoff after free',
  ]);
});

test('a shared block is touched by all and freed by its owner', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.alloc('shared', '', buffer, 0, 16);
  order(mine.thread, theirs.thread);
  theirs.thread.write(theirs.view, 0);
  assert.deepEqual(titles(), []);
  theirs.port.free(buffer, 0);
  assert.deepEqual(titles(), ['free by a thread that is not the owner']);
});

test('an annotated lock orders its holders', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.lockCreated(buffer, 0, 'lock');
  order(mine.thread, theirs.thread);
  for (const { port, thread, view } of [mine, theirs, mine]) {
    port.lockAcquiring(buffer, 0);
    port.lockAcquired(buffer, 0);
    thread.write(view, 5);
    port.lockReleasing(buffer, 0);
  }
  assert.deepEqual(titles(), []);
});

test('each misuse of a lock has its report', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.lockAcquiring(buffer, 8);
  assert.deepEqual(titles(), ['use of a lock that is not initialised']);
  mine.port.lockCreated(buffer, 0);
  mine.port.lockReleasing(buffer, 0);
  assert.deepEqual(titles(), ['unlock of an unlocked mutex']);
  mine.port.lockAcquiring(buffer, 0);
  mine.port.lockAcquired(buffer, 0);
  mine.port.lockAcquiring(buffer, 0);
  assert.deepEqual(titles(), ['double lock of a mutex']);
  theirs.port.lockReleasing(buffer, 0);
  assert.deepEqual(titles(), ['unlock of a mutex by a wrong thread']);
  mine.port.lockAcquired(buffer, 0);
  mine.port.returned();
  assert.deepEqual(titles(), ['lock held across a return']);
  mine.port.lockDestroyed(buffer, 0);
  assert.deepEqual(titles(), ['destroy of a locked mutex']);
  mine.port.lockAcquiring(buffer, 0);
  mine.port.lockDestroyed(buffer, 0);
  assert.deepEqual(titles(), ['use of a destroyed mutex', 'use of a destroyed mutex']);
});

test('locks taken in two orders are found without a deadlock, through a third one too', () => {
  const { mine, theirs, buffer, titles, reports } = pair();
  const both = ({ port }: typeof mine, first: number, second: number) => {
    for (const at of [first, second]) {
      port.lockAcquiring(buffer, at);
      port.lockAcquired(buffer, at);
    }
    for (const at of [second, first]) port.lockReleasing(buffer, at);
  };
  for (const at of [0, 8, 16]) mine.port.lockCreated(buffer, at, `lock ${at}`);
  both(mine, 0, 8);
  both(theirs, 8, 16);
  both(mine, 0, 16);
  assert.deepEqual(titles(), []);
  both(theirs, 16, 0);
  assert.equal(reports[0]!.kind, 'deadlock');
  assert.match(reports[0]!.rule!, /M\d => M\d => /);
  assert.deepEqual(titles(), ['lock-order-inversion (potential deadlock)']);
});

test('release and acquire order on a place, a name and a number, and only on the same', () => {
  const { mine, theirs, buffer, titles } = pair();
  for (const [at, token] of [buffer, 'ring', 42].entries()) {
    mine.thread.write(mine.view, at);
    mine.port.release(token);
    theirs.port.acquire(token);
    theirs.thread.write(theirs.view, at);
  }
  assert.deepEqual(titles(), []);
  mine.thread.write(mine.view, 9);
  mine.port.release('ring');
  theirs.port.acquire('other');
  theirs.thread.write(theirs.view, 9);
  assert.deepEqual(titles(), ['data race']);
});

test('benign ranges and ignored stretches are not reported, what lies beside them is', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.benign(buffer, 0, 4, 'a hint');
  for (const { thread, view } of [mine, theirs]) thread.write(view, 0);
  theirs.port.ignoreBegin();
  mine.thread.write(mine.view, 8);
  theirs.thread.write(theirs.view, 8);
  theirs.port.ignoreEnd();
  assert.deepEqual(titles(), []);
  for (const { thread, view } of [mine, theirs]) thread.write(view, 1);
  assert.deepEqual(titles(), ['data race']);
});

test('what a system call fills is written in the caller’s name', () => {
  const { mine, theirs, buffer, titles } = pair();
  mine.port.foreignWrite(buffer, 16, 32);
  theirs.thread.read(theirs.view, 3);
  theirs.thread.read(theirs.view, 8);
  assert.deepEqual(titles(), []);
  theirs.thread.read(theirs.view, 7);
  assert.deepEqual(titles(), ['data race']);
});
