// forEachChannel. Names in brackets are those of SPDK's thread_ut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import {
  type ChannelIter,
  forEachChannel,
  forEachChannelAsync,
  forEachChannelContinue,
  iterChannel,
} from './for-each-channel.ts';
import { getIoChannel, type IoChannel, putIoChannel } from './io-channel.ts';
import { IoDevice } from './io-device.ts';
import { TestCluster } from './test-host.ts';
import { currentThread, type Thread } from './thread.ts';

const seen: string[] = [];
const taken = () => seen.splice(0);
/** arg 0 goes on; another is the status. */
const visit = defineEvent('test.for_each_channel.visit', (iter, arg) => {
  assert.equal(iterChannel(iter)?.thread, currentThread());
  seen.push((currentThread() as Thread).name);
  forEachChannelContinue(iter, arg);
});
const held: ChannelIter[] = [];
const hold = defineEvent('test.for_each_channel.hold', (iter) => {
  seen.push((currentThread() as Thread).name);
  held.push(iter);
});

/** Threads on the given cores, a device on all cores, a channel on each thread. */
function setUp(cores: number[]): {
  cluster: TestCluster;
  id: number;
  threads: Thread[];
  channels: IoChannel[];
  unregister: () => void;
} {
  const cluster = new TestCluster(Math.max(...cores) + 1);
  const id = cluster.host(0).allocIoDeviceId();
  const devices = cluster.hosts.map((host) => IoDevice.register(host, { id, create: () => 0, destroy: () => {} }));
  const threads = cores.map((core, i) => cluster.host(core).create(`t${i}`));
  const channels = threads.map((thread) => thread.run(() => getIoChannel(id)));
  const unregister = () => {
    for (const device of devices) device.unregister();
  };
  return { cluster, id, threads, channels, unregister };
}

test('[for_each_channel_remove] a channel that goes before or during the iteration is left out, one that is going is visited', () => {
  const { cluster, id, threads, channels, unregister } = setUp([0, 0, 0]);
  const [t0, t1, t2] = threads as [Thread, Thread, Thread];
  let statuses: number[] = [];
  const start = () => forEachChannel(id, visit, 0, (status) => statuses.push(status));
  t0.run(() => putIoChannel(channels[0] as IoChannel));
  cluster.settle();
  t0.run(start);
  assert.deepEqual(seen, []);
  cluster.settle();
  assert.deepEqual(taken(), ['t1', 't2']);
  assert.deepEqual(statuses, [0]);

  statuses = [];
  t0.run(() => {
    const channel = getIoChannel(id);
    start();
    putIoChannel(channel);
  });
  cluster.settle();
  assert.deepEqual(taken(), ['t0', 't1', 't2'], 'its destroy message is behind the call');

  t0.run(() => {
    start();
    putIoChannel(getIoChannel(id));
  });
  t2.run(() => putIoChannel(channels[2] as IoChannel));
  cluster.settle();
  assert.deepEqual(taken(), ['t1'], 'the channel of t2 had gone when its turn came');
  assert.deepEqual(statuses, [0, 0]);
  t1.run(() => putIoChannel(channels[1] as IoChannel));
  cluster.settle();
  unregister();
  cluster.close();
});

test('[for_each_channel_unreg] a device stays while an iteration is under way; no new one starts', () => {
  const { cluster, id, threads, channels } = setUp([0]);
  const [t0] = threads as [Thread];
  const device = IoDevice.find(cluster.host(0), id) as IoDevice;
  const order: string[] = [];
  t0.run(() => {
    forEachChannel(id, visit, 0, (status) => order.push(`first ${status}`));
    device.unregister(() => order.push('unregistered'));
    assert.equal(IoDevice.find(cluster.host(0), id), device, 'the iteration holds it');
    assert.throws(
      () => IoDevice.register(cluster.host(0), { id, create: () => 0, destroy: () => {} }),
      /already registered/,
    );
    forEachChannel(id, visit, 0, (status) => order.push(`second ${status}`));
  });
  cluster.settle();
  assert.deepEqual(taken(), ['t0']);
  assert.equal(
    IoDevice.find(cluster.host(0), id),
    undefined,
    'it went when the iteration ended, though a channel is open',
  );
  assert.deepEqual(order, ['second -19', 'first 0']);
  t0.run(() => putIoChannel(channels[0] as IoChannel));
  cluster.settle();
  assert.deepEqual(order, ['second -19', 'first 0', 'unregistered']);
  t0.run(() => forEachChannel(id, visit, 0, (status) => order.push(`third ${status}`)));
  cluster.settle();
  assert.equal(order.at(-1), 'third -19');
  cluster.close();
});

test('the iteration goes core by core, visits each channel once, and its block is freed at home', () => {
  const { cluster, id, threads, channels, unregister } = setUp([2, 0, 1, 0, 2]);
  const caller = threads[2] as Thread;
  let done: [number, number, string | undefined] | null = null;
  caller.run(() =>
    forEachChannel(id, visit, 0, (status, arg) => {
      done = [status, arg, currentThread()?.name];
    }),
  );
  assert.equal(cluster.host(1).heap.blocks, 1);
  cluster.settle();
  assert.deepEqual(taken(), ['t1', 't3', 't2', 't0', 't4']);
  assert.deepEqual(done, [0, 0, 't2']);
  for (const host of cluster.hosts) assert.equal(host.heap.blocks, 0);
  threads.forEach((thread, i) => {
    thread.run(() => putIoChannel(channels[i] as IoChannel));
  });
  cluster.settle();
  unregister();
  cluster.close();
});

test('a status ends the iteration; a function that throws ends it with -EIO', async () => {
  const { cluster, id, threads, channels, unregister } = setUp([0, 1]);
  const [t0] = threads as [Thread];
  const promise = forEachChannelAsync(t0, id, visit, -16);
  cluster.settle();
  assert.equal(await promise, -16);
  assert.deepEqual(taken(), ['t0']);
  const throws = defineEvent('test.for_each_channel.throws', () => {
    throw new Error('on purpose');
  });
  let status = 0;
  t0.run(() =>
    forEachChannel(id, throws, 0, (rc) => {
      status = rc;
    }),
  );
  assert.throws(() => cluster.settle(), /on purpose/);
  cluster.settle();
  assert.equal(status, -5);
  threads.forEach((thread, i) => {
    thread.run(() => putIoChannel(channels[i] as IoChannel));
  });
  cluster.settle();
  unregister();
  cluster.close();
});

test('the iteration waits for continue, which belongs to the thread it is at', () => {
  const { cluster, id, threads, channels, unregister } = setUp([0, 1]);
  const [t0, t1] = threads as [Thread, Thread];
  let done = false;
  t0.run(() =>
    forEachChannel(id, hold, 0, () => {
      done = true;
    }),
  );
  cluster.settle();
  assert.deepEqual(taken(), ['t0']);
  const iter = held.pop() as ChannelIter;
  const wrong = (error: unknown) => error instanceof SpdkError && error.code === 'EWRONGTHREAD';
  assert.throws(() => t1.run(() => forEachChannelContinue(iter, 0)), wrong);
  t0.run(() => forEachChannelContinue(iter, 0));
  assert.throws(() => t0.run(() => forEachChannelContinue(iter, 0)), wrong, 'the iteration has left this thread');
  cluster.settle();
  assert.deepEqual(taken(), ['t1']);
  assert.equal(done, false);
  t1.run(() => forEachChannelContinue(held.pop() as ChannelIter, 0));
  cluster.settle();
  assert.equal(done, true);
  threads.forEach((thread, i) => {
    thread.run(() => putIoChannel(channels[i] as IoChannel));
  });
  cluster.settle();
  unregister();
  cluster.close();
});

test('[for_each_channel_and_thread_exit_race] neither the caller nor a thread that is visited exits too early', () => {
  const { cluster, id, threads, channels, unregister } = setUp([0, 1]);
  const [t0, t1] = threads as [Thread, Thread];
  let done = 0;
  t0.run(() => {
    forEachChannel(id, hold, 0, () => done++);
    putIoChannel(channels[0] as IoChannel);
    t0.exit();
  });
  cluster.settle();
  assert.deepEqual(taken(), ['t0']);
  t1.run(() => t1.exit());
  cluster.settle();
  assert.equal(t0.isExited, false, 'its iteration is under way, though its channel has gone');
  assert.equal(t1.isExited, false, 'its channel holds it');
  t0.run(() => forEachChannelContinue(held.pop() as ChannelIter, 0));
  cluster.settle();
  assert.deepEqual(taken(), ['t1'], 'a thread on its way out is visited while it has a channel');
  assert.equal(t0.isExited, false);
  t1.run(() => putIoChannel(channels[1] as IoChannel));
  cluster.settle();
  assert.equal(t1.channels.size, 0);
  assert.equal(t1.isExited, false, 'the iteration is at it');
  t1.run(() => forEachChannelContinue(held.pop() as ChannelIter, 0));
  cluster.settle();
  assert.equal(done, 1);
  assert.deepEqual([t0.isExited, t1.isExited], [true, true]);
  unregister();
  cluster.close();
});

test('cores that have stopped are skipped; outside of any thread it is refused', () => {
  const { cluster, id, threads, channels, unregister } = setUp([0, 1, 2]);
  const [t0] = threads as [Thread];
  cluster.host(1).stopped = true;
  let done = false;
  t0.run(() =>
    forEachChannel(id, visit, 0, () => {
      done = true;
    }),
  );
  cluster.settle();
  assert.deepEqual(taken(), ['t0', 't2']);
  assert.equal(done, true);
  cluster.host(1).stopped = false;
  assert.throws(() => forEachChannel(id, visit, 0, () => {}), /no thread is running/);
  threads.forEach((thread, i) => {
    thread.run(() => putIoChannel(channels[i] as IoChannel));
  });
  cluster.settle();
  unregister();
  cluster.close();
});
