// Thread: creation, messages, statistics. Names in brackets are those of SPDK's thread_ut.
//
// Where the rest of thread_ut is: thread-exit.test.ts (thread_exit_test), poller.test.ts (thread_poller, poller_*, *timed_poller*), io-channel.test.ts (channel*, nested_channel,
// io_device_lookup, for_each_channel_*, device_unregister_*), for-each-thread.test.ts (thread_for_each, for_each_thread_*), spin-lock.test.ts (spdk_spin).
// What does not apply: interrupt-mode halves of thread_ut (there is no per-thread mode; a reactor that sleeps covers all), and
// spdk_thread_lib_init/_fini/_ext of thread_alloc (state hangs off the host, there is nothing to initialise).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import { SLOT_CREATING, SLOT_FREE, SLOT_RUNNING } from './shared-thread-table.ts';
import { TestCluster } from './test-host.ts';
import { currentThread, Thread } from './thread.ts';
import { getCount, getThreadById, getThreadByName } from './thread-control.ts';
import { sendCriticalMsg, sendMsg } from './thread-msg.ts';

const seen: [thread: string, arg1: number, arg2: number][] = [];
const note = defineEvent('test.thread.note', (arg1, arg2) => {
  seen.push([(current.thread as Thread).name, arg1, arg2]);
});
const taken = () => seen.splice(0);

const code = (expected: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SpdkError, String(error));
  assert.equal(error.code, expected);
  assert.match(error.message, pattern);
  return true;
};

test('[thread_alloc] a thread comes, exits and leaves its place; a core that has stopped takes none', () => {
  const cluster = new TestCluster(2);
  const [host0, host1] = [cluster.host(0), cluster.host(1)];
  const thread = host0.create();
  assert.equal(getCount(host1), 1);
  assert.equal(thread.isRunning, true);
  thread.run(() => thread.exit());
  assert.equal(thread.isExited, false);
  cluster.settle();
  assert.equal(thread.isExited, true);
  assert.equal(getCount(host1), 0);
  assert.equal(host0.pollables.length, 0);

  host1.stopped = true;
  assert.throws(() => Thread.create(host0, { cpumask: new Cpuset([1]) }), code('ESHUTDOWN', /core 1/));
  assert.equal(getCount(host0), 0, 'a failed creation leaves no thread');
});

test('[thread_alloc] ids ascend, never recur, and threads are spread over the cores of their mask', () => {
  const cluster = new TestCluster(3);
  const host = cluster.host(0);
  const cores = [1, 2, 3, 4].map(() => Thread.create(host, { cpumask: Cpuset.parse('[1,2]') }).core);
  assert.deepEqual([...cores].sort(), [1, 1, 2, 2]);
  assert.throws(
    () => Thread.create(host, { cpumask: new Cpuset([7]) }),
    code('EINVAL', /mask 0x80 names no core of the application's 0x7/),
  );
  const first = Thread.create(host);
  const second = Thread.create(host);
  assert.ok(second.id > first.id);
  cluster.close();
  assert.ok(Thread.create(host).id > second.id);
  cluster.close();
});

test('every place of the table can be used, and one more is refused', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  for (let i = 0; i < limits.threads_max; i++) host.create();
  assert.throws(() => host.create('late'), code('ENOSPC', /all 1024 places are taken/));
  const leaver = host.threads[17] as Thread;
  leaver.run(() => leaver.exit());
  host.poll();
  assert.equal(leaver.isExited, true);
  assert.equal(host.create('late').name, 'late');
  cluster.close();
});

test('[thread_name] given or made up; too long is refused', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const plain = host.create();
  assert.equal(plain.name, `thread_${plain.id}`);
  assert.equal(host.create('test_thread').name, 'test_thread');
  const long = 'ü'.repeat(limits.name_bytes / 2);
  assert.equal(getThreadById(host, host.create(long).id)?.name, long);
  assert.throws(() => host.create(`${long}x`), code('ENAMETOOLONG', /253 bytes/));
  assert.throws(() => Thread.create(host, { name: `${long}x` }), code('ENAMETOOLONG', /limit 252/));
  cluster.close();
});

test('[thread_send_msg] a message runs when its thread is polled, not before, and on that thread', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const [t0, t1] = [host.create('t0'), host.create('t1')];
  t1.run(() => t0.sendMsg(note, 1, -2));
  t1.run(() => sendMsg(t0.id, note, 3, 4));
  assert.deepEqual(taken(), []);
  host.turn(() => t1.poll(0));
  assert.deepEqual(taken(), []);
  assert.ok(host.turn(() => t0.poll(0)) > 0);
  assert.deepEqual(taken(), [
    ['t0', 1, -2],
    ['t0', 3, 4],
  ]);
  assert.equal(
    host.turn(() => t0.poll(0)),
    0,
  );
  cluster.close();
});

test('messages go to other cores in order, adopting a thread whose adopt event comes later', () => {
  const cluster = new TestCluster(3);
  const far = cluster.host(0).turn(() => Thread.create(cluster.host(0), { name: 'far', cpumask: new Cpuset([2]) }));
  assert.equal(cluster.table.state(far.id), SLOT_CREATING);
  cluster.host(1).turn(() => {
    sendMsg(far.id, note, 1, 0);
    sendMsg(far.id, note, 2, 0);
  });
  assert.ok(cluster.deliver(1, 2), 'the message of core 1 overtakes the adopt event of core 0');
  assert.equal(cluster.table.state(far.id), SLOT_RUNNING);
  const adopted = cluster.host(2).threads;
  assert.equal(adopted.length, 1);
  cluster.settle();
  assert.equal(cluster.host(2).threads.length, 1, 'the adopt event comes second and changes nothing');
  assert.deepEqual(taken(), [
    ['far', 1, 0],
    ['far', 2, 0],
  ]);
  cluster.close();
});

test('one turn runs a batch; what a message sends waits for the next turn', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  for (let i = 0; i < 20; i++) thread.sendMsg(note, i, 0);
  const runs = [3, 0, 100].map((max) => {
    host.poll(max);
    return taken().length;
  });
  assert.deepEqual(runs, [3, limits.msg_batch, limits.msg_batch]);
  const order: string[] = [];
  thread.sendLocalMsg((log: string[]) => {
    log.push('first');
    thread.sendLocalMsg((log2: string[]) => log2.push('second'), log);
  }, order);
  host.poll();
  assert.deepEqual(order, ['first']);
  host.poll();
  assert.deepEqual(order, ['first', 'second']);
  cluster.close();
});

test('a queue grows without losing order, and refuses its own core past the limit', () => {
  const cluster = new TestCluster(2);
  const host = cluster.host(0);
  const thread = host.create('t');
  for (let i = 0; i < 3; i++) thread.sendMsg(note, i, 0);
  host.poll(2);
  taken();
  for (let i = 3; i < limits.thread_messages_max + 2; i++) thread.sendMsg(note, i, 0);
  assert.throws(() => thread.sendMsg(note, 0, 0), code('ENOMEM', /65536 messages wait for thread t:\d+, limit 65536/));
  assert.throws(() => thread.sendLocalMsg(() => {}, null), code('ENOMEM', /limit 65536/));
  cluster.host(1).turn(() => sendMsg(thread.id, note, -1, 0));
  cluster.deliverAll();
  cluster.settle(20000);
  const args = taken().map(([, arg1]) => arg1);
  assert.equal(args.length, limits.thread_messages_max + 1);
  assert.ok(args.slice(0, -1).every((arg, i) => arg === i + 2));
  assert.equal(args.at(-1), -1, 'what another core has sent is taken all the same');
  cluster.close();
});

test('local messages keep their function and context when the queue grows', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  const order: number[] = [];
  for (let i = 0; i < 10; i++) thread.sendMsg(note, i, 0);
  for (let i = 0; i < 5; i++) host.poll();
  for (let i = 0; i < 200; i++) {
    if (i % 3 === 0) thread.sendMsg(note, i, 0);
    else thread.sendLocalMsg((at: { i: number }) => order.push(at.i), { i });
  }
  cluster.settle();
  taken();
  assert.deepEqual(
    order,
    Array.from({ length: 200 }, (_, i) => i).filter((i) => i % 3 !== 0),
  );
  cluster.close();
});

test('a message that throws has run, the others still run, and the thread is no longer current', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  thread.sendLocalMsg(() => {
    throw new Error('on purpose');
  }, null);
  thread.sendMsg(note, 7, 0);
  assert.throws(() => host.poll(), /on purpose/);
  assert.equal(current.thread, null);
  host.poll();
  assert.deepEqual(taken(), [['t', 7, 0]]);
  cluster.close();
});

test('objects do not cross reactors: sendLocalMsg says which thread it belongs to', () => {
  const cluster = new TestCluster(2);
  const thread = cluster.host(0).create('t');
  const other = cluster.host(1).create('other');
  assert.throws(
    () => other.run(() => thread.sendLocalMsg(() => {}, {})),
    code('EWRONGTHREAD', /sendLocalMsg\(.*\) called from thread other:\d+; it belongs to thread t:\d+ on core 0/),
  );
  other.run(() => thread.sendMsg(note, 5, 6));
  cluster.settle();
  assert.deepEqual(taken(), [['t', 5, 6]]);
  cluster.close();
});

test('a critical message runs before all others, once; its place is free again when it has run', () => {
  const cluster = new TestCluster(2);
  const thread = cluster.host(0).create('t');
  const inside: number[] = [];
  const critical = defineEvent('test.thread.critical', () => {
    inside.push(sendCriticalMsg(thread.id, note));
    seen.push(['critical', 0, 0]);
  });
  thread.sendMsg(note, 1, 0);
  cluster.host(1).turn(() => {
    assert.equal(sendCriticalMsg(thread.id, critical), 0);
    assert.equal(sendCriticalMsg(thread.id, note), -5);
  });
  assert.equal(thread.nextPollUs(), 0);
  assert.equal(cluster.underWay, 1, 'the core is woken');
  cluster.host(0).poll();
  assert.deepEqual(
    taken().map(([name]) => name),
    ['critical', 't'],
  );
  assert.deepEqual(inside, [-5]);
  assert.equal(
    cluster.host(1).turn(() => sendCriticalMsg(thread.id, note)),
    0,
  );
  cluster.settle();
  assert.equal(taken().length, 1);
  cluster.close();
  assert.equal(
    cluster.host(1).turn(() => sendCriticalMsg(thread.id, note)),
    -5,
    'the thread is gone',
  );
});

test('[thread_update_stats_test] busy is the time of turns that did something, idle all the rest', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  cluster.clock.nowUs = 10;
  const thread = host.create('t');
  assert.equal(thread.lastUs, 10);
  assert.deepEqual(thread.stats(), { busyUs: 0, idleUs: 0 });
  const spend = (us: number, rc: number) => () => {
    cluster.clock.nowUs += us;
    return rc;
  };
  const idle = thread.registerPoller({ fn: spend(1000, 0) });
  cluster.clock.nowUs += 100;
  host.poll();
  assert.deepEqual(thread.stats(), { busyUs: 0, idleUs: 1100 });
  thread.run(() => idle.unregister());
  const busy = thread.registerPoller({ fn: spend(100_000, 1) });
  cluster.clock.nowUs += 10_000;
  host.poll();
  assert.deepEqual(thread.stats(), { busyUs: 100_000, idleUs: 11_100 });
  assert.equal(thread.lastUs, cluster.clock.nowUs);
  host.poll();
  assert.deepEqual(thread.stats(), { busyUs: 200_000, idleUs: 11_100 });
  thread.run(() => busy.unregister());
  cluster.close();
});

test('threads are found by id and by name from any core; mask and binding are seen there', () => {
  const cluster = new TestCluster(2);
  const [host0, host1] = [cluster.host(0), cluster.host(1)];
  const thread = host0.create('poll_group_0');
  const twin = host1.create('poll_group_0');
  assert.equal(getThreadByName(host1, 'poll_group_0')?.id, thread.id);
  assert.equal(getThreadById(host1, twin.id)?.core, 1);
  assert.equal(getThreadById(host1, 0), null);
  assert.equal(getThreadById(host1, 99), null);
  assert.equal(getThreadByName(host1, 'nobody'), null);
  assert.equal(thread.isAppThread, true);
  assert.equal(twin.isAppThread, false);

  assert.equal(thread.isBound, false);
  thread.run(() => thread.bind(true));
  assert.equal(getThreadById(host1, thread.id)?.bound, true);
  thread.run(() => thread.setCpumask(Cpuset.parse('[0-1]')));
  assert.equal(`${getThreadById(host1, thread.id)?.cpumask}`, '3');
  assert.equal(`${thread.cpumask}`, '3');
  assert.throws(() => thread.run(() => thread.setCpumask(new Cpuset([1]))), code('ENOTSUP', /cannot leave core 0/));
  assert.throws(() => thread.run(() => thread.setCpumask(new Cpuset([9]))), code('EINVAL', /names no core/));
  assert.throws(() => twin.run(() => thread.setCpumask(new Cpuset([0]))), code('EWRONGTHREAD', /setCpumask/));
  const id = thread.id;
  cluster.close();
  assert.equal(cluster.table.state(id), SLOT_FREE);
});

test('run lends the thread to control code and gives it back', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  assert.equal(currentThread(), null);
  assert.equal(
    thread.run(() => currentThread()),
    thread,
  );
  assert.throws(() => thread.run(() => assert.fail('out')), /out/);
  assert.equal(currentThread(), null);
  const kicks = host.kicks;
  thread.sendMsg(note, 1, 0);
  assert.ok(host.kicks > kicks, 'a message from outside of any turn asks for a turn');
  cluster.settle();
  taken();
  cluster.close();
});

test('a thread with nothing to do lets its reactor sleep; each kind of work keeps it awake', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  const next = () => thread.nextPollUs();
  assert.equal(next(), Number.POSITIVE_INFINITY);
  assert.equal(thread.isIdle, true);
  thread.sendMsg(note, 1, 0);
  assert.equal(next(), 0);
  assert.equal(thread.isIdle, false);
  host.poll();
  taken();
  const sleepable = thread.registerPoller({ fn: () => 0, sleepable: true });
  assert.equal(next(), Number.POSITIVE_INFINITY);
  const timed = thread.registerPoller({ fn: () => 0, periodUs: 500 });
  assert.equal(next(), 500);
  const active = thread.registerPoller({ fn: () => 0 });
  assert.equal(next(), 0);
  thread.run(() => active.pause());
  host.poll();
  assert.equal(next(), 500);
  thread.run(() => active.resume());
  assert.equal(next(), 0);
  thread.run(() => {
    for (const poller of [sleepable, timed, active]) poller.unregister();
  });
  host.poll();
  assert.equal(next(), Number.POSITIVE_INFINITY);
  cluster.close();
});
