// How threads end. Names in brackets are those of SPDK's thread_ut; the part of thread_exit_test about channels is in io-channel.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { current } from '../env/current.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import { log } from '../log/index.ts';
import { TestCluster } from './test-host.ts';
import type { Thread } from './thread.ts';
import { exitThread, getCount, getThreadById } from './thread-control.ts';
import { sendMsg, trySendMsg } from './thread-msg.ts';
import { threadsOf } from './threads.ts';

const seen: [thread: string, arg1: number, arg2: number][] = [];
const note = defineEvent('test.exit.note', (arg1, arg2) => {
  seen.push([(current.thread as Thread).name, arg1, arg2]);
});
const taken = () => seen.splice(0);

const code = (expected: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SpdkError, String(error));
  assert.equal(error.code, expected);
  assert.match(error.message, pattern);
  return true;
};

/** Runs `fn`; returns the log lines it caused. */
function logged(fn: () => void): string[] {
  const lines: string[] = [];
  log.open((record) => lines.push(`${record.level} ${record.text}`));
  try {
    fn();
  } finally {
    log.close();
  }
  return lines;
}

test('[thread_exit_test] waiting messages run, and sends are taken, until the thread has exited', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  thread.run(() => {
    thread.sendMsg(note, 1, 0);
    thread.exit();
    thread.exit();
    thread.sendMsg(note, 2, 0);
  });
  assert.equal(thread.isExited, false);
  host.poll();
  assert.equal(taken().length, 2);
  assert.equal(thread.isExited, true, 'alone on its core it is gone in the same turn');
  assert.throws(() => thread.sendMsg(note, 3, 0), code('EIO', /thread t:1 has exited/));
  assert.throws(() => host.turn(() => sendMsg(thread.id, note, 3, 0)), code('EIO', /thread 1 has exited/));
  assert.equal(
    host.turn(() => trySendMsg(thread.id, note, 3, 0)),
    -5,
  );
  assert.throws(() => thread.registerPoller({ fn: () => 0 }), code('EIO', /has exited/));
  assert.equal(getThreadById(host, thread.id), null);
});

test('what another core has sent before the thread closed still runs; later it is refused', () => {
  const cluster = new TestCluster(2);
  const [home, other] = [cluster.host(0), cluster.host(1)];
  const thread = home.create('t');
  thread.run(() => thread.exit());
  other.turn(() => sendMsg(thread.id, note, 1, 0));
  home.poll();
  assert.equal(thread.isExited, false, 'a message may be under way');
  assert.equal(
    other.turn(() => trySendMsg(thread.id, note, 2, 0)),
    -5,
  );
  cluster.settle();
  assert.deepEqual(taken(), [['t', 1, 0]]);
  assert.equal(thread.isExited, true);
  assert.equal(home.local(threadsOf).dropped, 0);
});

test('[thread_exit_test] pollers hold an exit back; a new one may still be registered', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  const calls = [0, 0];
  const count = (at: number) => () => {
    (calls[at] as number)++;
    return -1;
  };
  const poller2 = thread.run(() => {
    thread.registerPoller({ fn: count(0) }).unregister();
    thread.exit();
    return thread.registerPoller({ fn: count(1) });
  });
  host.poll();
  assert.deepEqual(calls, [0, 1]);
  assert.equal(thread.isExited, false);
  thread.run(() => poller2.unregister());
  host.poll();
  assert.equal(thread.isExited, true);
});

test('[thread_exit_test] after the timeout a thread is exited by force, and the log says what it had', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('stuck');
  const poller = thread.run(() => thread.registerPoller({ name: 'sticky', fn: () => 0 }));
  cluster.clock.nowUs = 10;
  thread.run(() => thread.exit());
  assert.equal(thread.nextPollUs(), 0);
  cluster.clock.nowUs = 10 + limits.thread_exit_timeout_ms * 1000 - 1;
  assert.deepEqual(
    logged(() => host.poll()),
    [],
  );
  assert.equal(thread.isExited, false);
  cluster.clock.nowUs++;
  for (let i = 0; i < 20; i++) thread.sendMsg(note, i, 0);
  const lines = logged(() => host.poll());
  assert.equal(thread.isExited, true);
  assert.equal(taken().length, 20, 'what waits is run, more than a batch of it');
  assert.match(
    lines[0] as string,
    /ERROR thread stuck:1 did not exit in 5000 ms and is exited by force; it still has 12 message\(s\), poller "sticky"/,
  );
  poller.unregister();
  assert.equal(getCount(host), 0);
});

test('a message that arrives after a forced exit is dropped, counted and logged', () => {
  const cluster = new TestCluster(2);
  const home = cluster.host(0);
  const thread = home.create('t');
  thread.run(() => {
    thread.registerPoller({ fn: () => 0 });
    thread.exit();
  });
  cluster.host(1).turn(() => sendMsg(thread.id, note, 1, 0));
  cluster.clock.nowUs += limits.thread_exit_timeout_ms * 1000;
  const lines = logged(() => {
    home.poll();
    cluster.deliverAll();
  });
  assert.equal(home.local(threadsOf).dropped, 1);
  assert.match(lines.at(-1) as string, /message "test.exit.note" on core 0 dropped: its thread is gone \(1 so far\)/);
  assert.deepEqual(taken(), []);
});

test('a core that has stopped is not asked when a thread exits', () => {
  const cluster = new TestCluster(3);
  const thread = cluster.host(0).create('t');
  cluster.host(2).stopped = true;
  thread.run(() => thread.exit());
  cluster.settle();
  assert.equal(thread.isExited, true);
});

test('exit belongs to the thread; others send it a message', () => {
  const cluster = new TestCluster(2);
  const [t0, t1] = [cluster.host(0).create('t0'), cluster.host(1).create('t1')];
  assert.throws(() => t1.run(() => t0.exit()), code('EWRONGTHREAD', /Thread.exit\(t0\) called from thread t1:\d+/));
  t1.run(() => sendMsg(t0.id, exitThread, 0, 0));
  cluster.settle();
  assert.equal(t0.isExited, true);
  cluster.close();
});
