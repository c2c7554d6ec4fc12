// Driver: a thread on each of two cores counts under a spin lock, by lock and by tryLock, and both look who holds it.
import assert from 'node:assert/strict';
import { kitOf, limitMs } from './two.mjs';

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
  new SpinLock(host.heap, lock).init();
  return { memory: cluster.heapMemory, table: cluster.table.buffer, lock, counters };
};

export const run = (core, { memory, table, lock, counters }) => {
  host ??= new TestCluster(2, 1, { memory, table }).host(core);
  const at = counters >>> 2;
  const { i32 } = host.heap;
  const spin = new SpinLock({ i32 }, lock, { waitMs: limitMs });
  host.create(`counter_${core}`).run(() => {
    for (let n = 0; n < 60; n++) {
      if (n % 3 !== 0 || !spin.tryLock()) spin.lock();
      assert(spin.held());
      const seen = i32[at];
      i32[at + 1]++;
      // Long enough for the other to fall asleep.
      if (n % 20 === 0) for (const until = performance.now() + 5; performance.now() < until; );
      i32[at] = seen + 1;
      assert.equal(i32[at], i32[at + 1]);
      spin.unlock();
      spin.held();
    }
    // Whoever is second to come here ends it.
    spin.lock();
    const last = i32[at + 1] === 121;
    i32[at]++;
    i32[at + 1]++;
    spin.unlock();
    if (last) spin.destroy();
  });
};
