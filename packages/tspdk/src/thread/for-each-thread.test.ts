// forEachThread. Names in brackets are those of SPDK's thread_ut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cpuset } from '../env/cpuset.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import { log } from '../log/index.ts';
import { forEachThread, forEachThreadAsync } from './for-each-thread.ts';
import { TestCluster } from './test-host.ts';
import { currentThread, Thread } from './thread.ts';

const seen: [string, number][] = [];
let during: (() => void) | null = null;
const visit = defineEvent('test.for_each_thread.visit', (arg) => {
  seen.push([(currentThread() as Thread).name, arg]);
  during?.();
});
const taken = () => seen.splice(0).map(([name]) => name);

test('[thread_for_each] every thread in order of creation, then the callback on the caller', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const threads = ['t0', 't1', 't2'].map((name) => host.create(name));
  const [t0] = threads as [Thread];
  let done: [number, string | undefined] | null = null;
  t0.run(() =>
    forEachThread(visit, -7, (arg) => {
      done = [arg, currentThread()?.name];
    }),
  );
  assert.deepEqual(seen, [], 'nothing runs before a thread is polled');
  threads.forEach((thread, i) => {
    host.turn(() => thread.poll(0));
    assert.deepEqual(seen.at(-1), [thread.name, -7]);
    assert.equal(seen.length, i + 1);
  });
  assert.equal(host.heap.blocks, 0, 'the block is freed on its way home');
  assert.equal(done, null);
  host.turn(() => t0.poll(0));
  assert.deepEqual(done, [-7, 't0']);
  taken();
  cluster.close();
});

test('the iteration crosses cores in order of creation, and its block is freed where it was allocated', () => {
  const cluster = new TestCluster(3);
  const threads = [2, 0, 1, 0, 2].map((core, i) => cluster.host(core).create(`t${i}`));
  let home: string | undefined;
  const caller = threads[2] as Thread;
  caller.run(() =>
    forEachThread(visit, 1, () => {
      home = currentThread()?.name;
    }),
  );
  assert.equal(cluster.host(1).heap.blocks, 1);
  cluster.settle();
  assert.deepEqual(taken(), ['t0', 't1', 't2', 't3', 't4']);
  assert.equal(home, 't2');
  for (const host of cluster.hosts) assert.equal(host.heap.blocks, 0);
  cluster.close();
});

test('threads that come are visited, threads that go are skipped', () => {
  const cluster = new TestCluster(2);
  const [t0, t1, t2] = [cluster.host(0).create('t0'), cluster.host(1).create('t1'), cluster.host(1).create('t2')];
  during = () => {
    during = null;
    Thread.create(cluster.host(0), { name: 'late', cpumask: new Cpuset([1]) });
  };
  let calls = 0;
  t0.run(() => forEachThread(visit, 0, () => calls++));
  t1.run(() => {
    t1.registerPoller({ fn: () => 0, name: 'keeps' });
    t1.exit();
  });
  cluster.settle();
  assert.deepEqual(taken(), ['t0', 't2', 'late'], 't1 is on its way out');
  t1.run(() => t1.pollers.all()[0]?.unregister());

  cluster.settle();
  t0.run(() => forEachThread(visit, 0, () => calls++));
  cluster.host(0).poll();
  t2.run(() => t2.exit());
  cluster.settle();
  assert.deepEqual(
    taken(),
    ['t0', 'late'],
    't2 was running when the block was sent to it and had left when it arrived',
  );
  assert.equal(calls, 2);
  cluster.close();
});

test('[for_each_thread_and_thread_exit_race] the caller cannot exit before its iteration has come home', () => {
  const cluster = new TestCluster(2);
  const [t0, t1] = [cluster.host(0).create('t0'), cluster.host(1).create('t1')];
  let done = 0;
  t0.run(() => {
    forEachThread(visit, 0, () => done++);
    t0.exit();
  });
  cluster.host(0).poll();
  assert.deepEqual(taken(), ['t0'], 'the message to itself was under way already');
  assert.equal(t0.isExited, false);
  cluster.deliverAll();
  cluster.host(0).poll();
  assert.equal(t0.isExited, false);
  cluster.settle();
  assert.deepEqual(taken(), ['t1']);
  assert.equal(done, 1);
  assert.equal(t0.isExited, true);
  assert.equal(t1.isRunning, true);
  cluster.close();
});

test('a thread that is exited by force meanwhile is logged, and its block still freed', () => {
  const cluster = new TestCluster(2);
  const [t0] = [cluster.host(0).create('t0'), cluster.host(1).create('t1')];
  t0.run(() => {
    forEachThread(visit, 0, () => assert.fail('the caller is gone'));
    t0.exit();
  });
  cluster.host(0).poll();
  cluster.clock.nowUs += limits.thread_exit_timeout_ms * 1000;
  const lines: string[] = [];
  log.open(({ text }) => lines.push(text));
  cluster.host(0).poll();
  cluster.settle();
  log.close();
  assert.equal(t0.isExited, true);
  assert.match(lines.join('\n'), /it still has 1 iteration\(s\) that have not ended/);
  assert.match(lines.join('\n'), /thread t0:1 was exited by force before its iteration came home/);
  taken();
  cluster.close();
});

test('a function that throws does not stop the iteration', () => {
  const cluster = new TestCluster(2);
  const [t0] = [cluster.host(0).create('t0'), cluster.host(1).create('t1')];
  during = () => {
    during = null;
    throw new Error('on purpose');
  };
  let done = 0;
  t0.run(() => forEachThread(visit, 0, () => done++));
  assert.throws(() => cluster.settle(), /on purpose/);
  cluster.settle();
  assert.deepEqual(taken(), ['t0', 't1']);
  assert.equal(done, 1);
  cluster.close();
});

test('cores that have stopped are skipped; outside of any thread it is refused; the promise form', async () => {
  const cluster = new TestCluster(3);
  const threads = [0, 1, 2].map((core) => cluster.host(core).create(`t${core}`));
  const [t0, t1] = threads as [Thread, Thread];
  cluster.host(1).stopped = true;
  const promise = forEachThreadAsync(t0, visit, 0);
  cluster.settle();
  await promise;
  assert.deepEqual(taken(), ['t0', 't2']);
  cluster.host(1).stopped = false;
  assert.throws(
    () => forEachThread(visit, 0, () => {}),
    (error) => error instanceof SpdkError && error.code === 'EINVAL' && /no thread is running/.test(error.message),
  );
  assert.equal(t1.isRunning, true);
  cluster.close();
});
