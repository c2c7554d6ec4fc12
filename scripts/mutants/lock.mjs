// Driver: a thread on each of two cores counts under a spin lock, by lock and by tryLock, and both look who holds it. Who sleeps over it sleeps until it is
// notified. They misuse it, too, and are refused: they unlock what the other may hold, and one destroys a lock that the other still uses.
import assert from 'node:assert/strict';
import { kitOf, limitMs, until, withoutWakingBySelf } from './two.mjs';

const kit = kitOf(import.meta.url);
const { SpinLock } = await kit('thread/spin-lock.js');
const { TestCluster } = await kit('thread/test-host.js');
const { AllocSite } = await kit('env/alloc-site.js');

let host;
export const make = () => {
  const cluster = new TestCluster(2);
  host = cluster.host(0);
  const lock = host.heap.alloc(SpinLock.bytes, new AllocSite('lock'));
  const counters = host.heap.alloc(8, new AllocSite('counters'));
  const brief = [0, 1, 2, 3].map(() => host.heap.alloc(SpinLock.bytes, new AllocSite('brief')));
  for (const ptr of [lock, ...brief]) new SpinLock(host.heap, ptr).init();
  return {
    memory: cluster.heapMemory,
    table: cluster.table.buffer,
    lock,
    brief,
    counters,
    words: new SharedArrayBuffer(32),
  };
};

export const run = (core, { memory, table, lock, brief, counters, words }) => {
  host ??= new TestCluster(2, 1, { memory, table }).host(core);
  const at = counters >>> 2;
  const { i32 } = host.heap;
  const spin = new SpinLock({ i32 }, lock, { waitMs: limitMs });
  host.create(`counter_${core}`).run(() => {
    for (let n = 0; n < 60; n++) {
      if (n % 3 !== 0 || !spin.tryLock()) withoutWakingBySelf(() => spin.lock());
      assert(spin.held());
      const seen = i32[at];
      i32[at + 1]++;
      // Long enough for the other to fall asleep.
      if (n % 20 === 0) for (const until = performance.now() + 5; performance.now() < until; );
      i32[at] = seen + 1;
      assert.equal(i32[at], i32[at + 1]);
      spin.unlock();
      assert(!spin.held());
      misused(() => spin.unlock());
    }
    // Whoever is second to come here ends it.
    withoutWakingBySelf(() => spin.lock());
    const last = i32[at + 1] === 121;
    i32[at]++;
    i32[at + 1]++;
    spin.unlock();
    if (last) spin.destroy();
    for (const [i, ptr] of brief.entries()) {
      endBrief(core, new SpinLock({ i32 }, ptr), new Int32Array(words, i * 8, 2), i % 2 === 0);
    }
  });
};

const misused = (act) => assert.throws(act, { code: 'ESPIN' });

/**
 * Core 0 ends a lock as soon as core 1 lets it, which has it until it is asked for it. It asks before it looks at the lock, so that nothing orders its looks and
 * what core 1 does then: it gives the lock back and, for some, wrongly gives it back again, outside of any thread.
 */
function endBrief(core, spin, words, again) {
  const [HELD, ASKED] = [0, 1];
  if (core === 1) {
    spin.lock();
    Atomics.store(words, HELD, 1);
    until(() => Atomics.load(words, ASKED) === 1);
    spin.unlock();
    if (again) for (let n = 0; n < 3; n++) host.turn(() => misused(() => spin.unlock()));
    return;
  }
  until(() => Atomics.load(words, HELD) === 1);
  misused(() => spin.destroy());
  Atomics.store(words, ASKED, 1);
  until(() => {
    try {
      spin.destroy();
      return true;
    } catch (error) {
      assert.equal(error.code, 'ESPIN');
      return false;
    }
  });
}
