// SpinLock: SPDK's rules of use, and exclusion between cores. [spdk_spin] is the name in SPDK's thread_ut.
//
// What does not apply: SPIN_ERR_PTHREAD (there is no pthread lock beneath).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { AllocSite } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import type { CountingJob } from './spin-lock.fixture.ts';
import { SpinLock } from './spin-lock.ts';
import { TestCluster } from './test-host.ts';

const site = new AllocSite('test_lock');

const espin = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SpdkError, String(error));
  assert.equal(error.code, 'ESPIN');
  assert.match(error.message, pattern);
  return true;
};

test('[spdk_spin] each misuse is told by its own message', () => {
  const cluster = new TestCluster(2);
  const [host0, host1] = [cluster.host(0), cluster.host(1)];
  const [t0, t1] = [host0.create('t0'), host1.create('t1')];
  const ptr = host0.heap.alloc(SpinLock.bytes, site);
  const lock = new SpinLock(host0.heap, ptr);
  const elsewhere = new SpinLock(host1.heap, ptr, { waitMs: 2 });

  for (const use of [() => lock.lock(), () => lock.tryLock(), () => lock.unlock(), () => lock.destroy()]) {
    assert.throws(() => t0.run(use), espin(/it has not been initialised/));
  }
  lock.init();
  assert.throws(() => lock.init(), espin(/it is already initialised/));
  for (const use of [() => lock.lock(), () => lock.tryLock(), () => lock.unlock(), () => lock.held()]) {
    assert.throws(use, espin(/outside of any thread/));
  }
  assert.throws(() => t0.run(() => lock.unlock()), espin(/t0:1 unlocks it, but nobody holds it/));
  t0.run(() => lock.lock());
  assert.equal(t0.lockCount, 1);
  assert.equal(
    t0.run(() => lock.held()),
    true,
  );
  assert.equal(
    t1.run(() => elsewhere.held()),
    false,
  );
  assert.throws(() => t0.run(() => lock.lock()), espin(/t0:1 locks it again: that would deadlock/));
  assert.throws(() => t0.run(() => lock.tryLock()), espin(/t0:1 locks it again/));
  assert.throws(() => t1.run(() => elsewhere.unlock()), espin(/t1:2 unlocks it, but thread 1 holds it/));
  assert.equal(
    t1.run(() => elsewhere.tryLock()),
    false,
  );
  assert.throws(() => t1.run(() => elsewhere.lock()), espin(/thread 1 has held it for 2 ms/));
  assert.equal(t1.lockCount, 0);
  assert.throws(() => lock.destroy(), espin(/destroyed while thread 1 holds it/));
  const third = host0.create('t2');
  assert.throws(() => third.run(() => lock.lock()), espin(/thread 1 of the same core 0 went off its core holding it/));
  t0.run(() => lock.unlock());
  assert.equal(t0.lockCount, 0);
  assert.equal(
    t1.run(() => elsewhere.tryLock()),
    true,
  );
  assert.equal(t1.lockCount, 1);
  t1.lockCount = 0;
  assert.throws(() => t1.run(() => elsewhere.unlock()), espin(/lock count of 0/));
  t1.lockCount = 1;
  t1.run(() => elsewhere.unlock());
  lock.destroy();
  assert.throws(() => t0.run(() => lock.lock()), espin(/it has been destroyed/));
  assert.throws(() => lock.destroy(), espin(/it has been destroyed/));
  lock.init();
  lock.destroy();
  host0.heap.free(ptr);
  cluster.close();
});

test('[spdk_spin] a message, a poller or a critical message that returns with a lock held is told so', () => {
  for (const way of ['message', 'poller', 'timed poller'] as const) {
    const cluster = new TestCluster(1);
    const host = cluster.host(0);
    const thread = host.create('t');
    const ptr = host.heap.alloc(SpinLock.bytes, site);
    const lock = new SpinLock(host.heap, ptr);
    lock.init();
    const forget = () => {
      if (lock.held()) return 0;
      lock.lock();
      return 0;
    };
    if (way === 'message') thread.sendLocalMsg(forget, null);
    else thread.registerPoller({ fn: forget, name: 'forgetful', periodUs: way === 'poller' ? 0 : 10 });
    cluster.clock.nowUs += 10;
    const what = way === 'message' ? 'a message' : 'poller "forgetful"';
    assert.throws(
      () => host.poll(),
      espin(new RegExp(`thread "t" still held 1 spin lock\\(s\\) when ${what} returned`)),
    );
    thread.run(() => {
      lock.unlock();
      for (const poller of thread.pollers.all()) poller.unregister();
    });
    lock.destroy();
    host.heap.free(ptr);
    cluster.close();
  }
});

test('two cores that count under the lock lose no count', async () => {
  const cluster = new TestCluster(3);
  const host = cluster.host(0);
  const [ptr, counters] = [host.heap.alloc(SpinLock.bytes, site), host.heap.alloc(8, site)];
  const lock = new SpinLock(host.heap, ptr);
  lock.init();
  const times = 20_000;
  const workers = [1, 2].map((core) => {
    const job: CountingJob = {
      memory: cluster.heapMemory,
      table: cluster.table.buffer,
      core,
      cores: 3,
      lock: ptr,
      counters,
      times,
    };
    return new Worker(new URL('./spin-lock.fixture.js', import.meta.url), { workerData: job });
  });
  const codes = await Promise.all(workers.map((worker) => once(worker, 'exit').then(([exit]) => exit)));
  assert.deepEqual(codes, [0, 0]);
  assert.deepEqual([...host.heap.i32.subarray(counters >>> 2, (counters >>> 2) + 2)], [2 * times, 2 * times]);
  lock.destroy();
});
