// io_devices and their channels. Names in brackets are those of SPDK's thread_ut.
//
// io_device_lookup: SPDK tests its tree of io_devices by address; here it is a map by id, one for each reactor.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { log } from '../log/index.ts';
import { getIoChannel, type IoChannel, putIoChannel } from './io-channel.ts';
import { IoDevice } from './io-device.ts';
import type { Poller } from './poller.ts';
import { TestCluster, type TestHost } from './test-host.ts';
import type { Thread } from './thread.ts';

const code = (expected: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SpdkError, String(error));
  assert.equal(error.code, expected);
  assert.match(error.message, pattern);
  return true;
};

/** A device that counts the channels it has made and not destroyed; each channel's ctx is its number. */
function counting(
  host: TestHost,
  id?: number,
): { device: IoDevice<number>; created: () => number; destroyed: () => number } {
  let [created, destroyed] = [0, 0];
  const device = IoDevice.register<number>(host, {
    ...(id === undefined ? {} : { id }),
    create: (channel) => {
      channel.ctx = ++created;
      return 0;
    },
    destroy: () => {
      destroyed++;
    },
  });
  return { device, created: () => created, destroyed: () => destroyed };
}

test('[channel] one channel a thread and device, created once, destroyed by a message after the last put', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  const [one, two] = [counting(host), counting(host)];
  thread.run(() => {
    const ch1 = getIoChannel(one.device);
    assert.equal(one.created(), 1);
    assert.equal(ch1.device, one.device);
    assert.equal(ch1.thread, thread);
    assert.equal(ch1.ctx, 1);
    const again = getIoChannel(one.device.id);
    assert.equal(again, ch1);
    assert.equal(ch1.ref, 2);
    assert.equal(one.created(), 1);
    putIoChannel(ch1);
    cluster.settle();
    assert.equal(one.destroyed(), 0);

    const ch2 = getIoChannel(two.device);
    assert.notEqual(ch2, ch1 as unknown);
    putIoChannel(ch1);
    assert.equal(one.destroyed(), 0, 'not before the message has run');
    assert.equal(thread.channels.size, 2);
    cluster.settle();
    assert.equal(one.destroyed(), 1);
    assert.throws(() => putIoChannel(ch1), code('EINVAL', /no reference is held/));
    putIoChannel(ch2);
    cluster.settle();
    assert.equal(two.destroyed(), 1);
    assert.throws(() => getIoChannel(77), code('ENODEV', /io_device 77 is not registered on core 0/));
    one.device.unregister();
    two.device.unregister();
    assert.throws(() => getIoChannel(one.device), code('ENODEV', /is not registered/));
  });
  assert.deepEqual(IoDevice.list(host), []);
  cluster.close();
});

test('[channel_destroy_races] put, got and put again before the message runs: destroyed once', () => {
  const cluster = new TestCluster(1);
  const thread = cluster.host(0).create('t');
  const { device, created, destroyed } = counting(cluster.host(0));
  thread.run(() => {
    const first = getIoChannel(device);
    putIoChannel(first);
    const second = getIoChannel(device);
    assert.equal(second, first, 'the channel is alive until the message runs');
    putIoChannel(second);
    cluster.settle();
    assert.deepEqual([created(), destroyed()], [1, 1]);
    const third = getIoChannel(device);
    assert.notEqual(third, first);
    putIoChannel(third);
    getIoChannel(device);
    cluster.settle();
    assert.equal(destroyed(), 1, 'got again before the message: it lives on');
    putIoChannel(third);
    device.unregister();
  });
  cluster.close();
  assert.deepEqual([created(), destroyed()], [2, 2]);
});

test('[channel_create_cb_failed] a failed creation leaves no channel and does not hold the device', () => {
  const cluster = new TestCluster(1);
  const thread = cluster.host(0).create('t');
  let mode: 'fail' | 'throw' = 'fail';
  const device = IoDevice.register(cluster.host(0), {
    name: 'broken',
    create: () => {
      if (mode === 'throw') throw new Error('on purpose');
      return -12;
    },
    destroy: () => assert.fail('was never created'),
  });
  thread.run(() => {
    assert.throws(
      () => getIoChannel(device),
      code('ENOMEM', /could not create a channel of io_device "broken" on thread t: rc -12/),
    );
    mode = 'throw';
    assert.throws(() => getIoChannel(device), /on purpose/);
  });
  assert.equal(thread.channels.size, 0);
  assert.equal(device.channelCount, 0);
  let done = false;
  thread.run(() =>
    device.unregister(() => {
      done = true;
    }),
  );
  cluster.close();
  assert.equal(done, true);
});

test('[nested_channel] a channel may get channels of other devices; they go one after the other, and hold an exit', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  interface Nested {
    child: IoChannel<Nested> | null;
    poller: Poller;
  }
  const devices: IoDevice<Nested>[] = [];
  for (const at of [0, 1, 2]) {
    devices.push(
      IoDevice.register<Nested>(host, {
        name: `dev${at}`,
        create: (channel) => {
          const below = devices[at + 1];
          channel.ctx = {
            child: below === undefined ? null : getIoChannel(below),
            poller: thread.registerPoller({ fn: () => -1 }),
          };
          return 0;
        },
        destroy: ({ ctx }) => {
          if (ctx.child !== null) putIoChannel(ctx.child);
          ctx.poller.unregister();
        },
      }),
    );
  }
  const counts = () => devices.map(({ channelCount }) => channelCount);
  const ch1 = thread.run(() => getIoChannel(devices[0] as IoDevice<Nested>));
  assert.deepEqual(counts(), [1, 1, 1]);
  assert.equal(thread.pollers.registered, 3);
  assert.equal(ch1.ctx.child?.ctx.child?.ctx.child, null);
  thread.run(() => {
    putIoChannel(ch1);
    thread.exit();
  });
  for (const expected of [
    [0, 1, 1],
    [0, 0, 1],
  ]) {
    host.poll();
    assert.deepEqual(counts(), expected);
    assert.equal(thread.isExited, false);
  }
  host.poll();
  assert.deepEqual(counts(), [0, 0, 0]);
  assert.equal(thread.isExited, true);
  for (const device of devices) device.unregister();
  assert.deepEqual(IoDevice.list(host), []);
});

test('[thread_exit_test] a channel that is being released holds an exit; it may even be got again meanwhile', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  const { device, created, destroyed } = counting(host);
  thread.run(() => {
    putIoChannel(getIoChannel(device));
    thread.exit();
    putIoChannel(getIoChannel(device));
  });
  assert.equal(thread.isExited, false);
  cluster.settle();
  assert.deepEqual([created(), destroyed()], [1, 1]);
  assert.equal(thread.isExited, true);
  assert.throws(() => thread.run(() => getIoChannel(device)), code('EIO', /thread t has exited/));
  device.unregister();
});

test('a thread that is exited by force leaves its channel in the log; a late put still destroys it', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  const { device, destroyed } = counting(host);
  const channel = thread.run(() => getIoChannel(device));
  thread.run(() => thread.exit());
  cluster.clock.nowUs += limits.thread_exit_timeout_ms * 1000;
  const lines: string[] = [];
  log.open(({ text }) => lines.push(text));
  host.poll();
  log.close();
  assert.match(lines.join('\n'), /it still has a channel of io_device "io_device_1"/);
  putIoChannel(channel);
  assert.equal(destroyed(), 1);
  device.unregister();
});

test('unregister takes the device out at once; its callback runs on the thread that asked, after the last channel', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const [asker, user] = [host.create('asker'), host.create('user')];
  const { device, destroyed } = counting(host);
  const channel = user.run(() => getIoChannel(device));
  let at = -1;
  asker.run(() => {
    device.unregister(() => {
      at = destroyed();
    });
    assert.throws(() => device.unregister(), code('EALREADY', /already being unregistered on core 0/));
  });
  assert.throws(() => user.run(() => getIoChannel(device)), code('ENODEV', /not registered/));
  const reborn = counting(host, device.id);
  const second = user.run(() => getIoChannel(reborn.device));
  assert.notEqual(second, channel, 'a new device under the old id has channels of its own');
  cluster.settle();
  assert.equal(at, -1);
  user.run(() => putIoChannel(channel));
  host.turn(() => user.poll(0));
  assert.equal(destroyed(), 1);
  assert.equal(at, -1, 'the callback is a message to the thread that asked');
  host.turn(() => asker.poll(0));
  assert.equal(at, 1);
  user.run(() => putIoChannel(second));
  reborn.device.unregister();
  cluster.close();
});

test('unregister from outside of any thread calls back in a turn of the reactor', () => {
  const cluster = new TestCluster(1);
  const { device } = counting(cluster.host(0));
  let done = false;
  device.unregister(() => {
    done = true;
  });
  assert.equal(done, false);
  cluster.settle();
  assert.equal(done, true);
});

test('[device_unregister_and_thread_exit_race] the thread that unregisters stays until the last channel of another is gone', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const [t1, t2] = [host.create('t1'), host.create('t2')];
  const { device } = counting(host);
  const ch1 = t1.run(() => getIoChannel(device));
  const ch2 = t2.run(() => getIoChannel(device));
  const one = (thread: Thread) => host.turn(() => thread.poll(0));
  t1.run(() => t1.exit());
  one(t1);
  let done = false;
  t1.run(() => {
    putIoChannel(ch1);
    device.unregister(() => {
      done = true;
    });
  });
  one(t1);
  assert.equal(t1.isExited, false);
  t2.run(() => t2.exit());
  one(t2);
  assert.equal(t2.isExited, false);
  t2.run(() => putIoChannel(ch2));
  one(t2);
  assert.equal(t1.isExited, false);
  assert.equal(t2.isExited, true);
  one(t1);
  assert.equal(done, true);
  assert.equal(t1.isExited, true);
});

test('[io_device_lookup] devices are found by id, on the reactor that registered them, until they are unregistered', () => {
  const cluster = new TestCluster(2);
  const [host0, host1] = [cluster.host(0), cluster.host(1)];
  const devices = Array.from({ length: 50 }, () => counting(host0).device);
  assert.equal(new Set(devices.map(({ id }) => id)).size, 50);
  for (const device of devices) assert.equal(IoDevice.find(host0, device.id), device);
  const [first] = devices as [IoDevice<number>];
  assert.equal(IoDevice.find(host1, first.id), undefined);
  assert.throws(
    () => counting(host0, first.id),
    code('EEXIST', /io_device 1 is already registered on core 0 \(old:io_device_1 new:/),
  );
  const replica = counting(host1, first.id).device;
  assert.equal(IoDevice.find(host1, first.id), replica);
  devices.forEach((device, i) => {
    device.unregister();
    assert.equal(IoDevice.find(host0, device.id), undefined);
    assert.equal(IoDevice.list(host0).length, 49 - i);
  });
  assert.equal(IoDevice.find(host1, first.id), replica, 'the other reactor has its own');
  replica.unregister();
  assert.throws(
    () => IoDevice.register(host0, { name: 'x'.repeat(253), create: () => 0, destroy: () => {} }),
    code('ENAMETOOLONG', /io_device name of 253 bytes/),
  );
});

test('a channel belongs to its thread and its reactor', () => {
  const cluster = new TestCluster(2);
  const [t0, t1] = [cluster.host(0).create('t0'), cluster.host(1).create('t1')];
  const local = counting(cluster.host(0));
  const far = counting(cluster.host(1), local.device.id);
  const channel = t0.run(() => getIoChannel(local.device));
  assert.throws(
    () => t1.run(() => putIoChannel(channel)),
    code('EWRONGTHREAD', /putIoChannel\(io_device_1\) called from thread t1:2; it belongs to thread t0:1 on core 0/),
  );
  const other = t1.run(() => getIoChannel(local.device));
  assert.equal(other.device, far.device, 'the device of another reactor stands for the replica of this one');
  assert.throws(() => getIoChannel(local.device), code('EINVAL', /no thread is running/));
  t0.run(() => putIoChannel(channel));
  t1.run(() => putIoChannel(other));
  cluster.settle();
  local.device.unregister();
  far.device.unregister();
  cluster.close();
});
