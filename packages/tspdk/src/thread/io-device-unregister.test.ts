// One unregistration for all cores: it ends when the last channel on any core is gone, on the thread that asked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { getIoChannel, type IoChannel, putIoChannel } from './io-channel.ts';
import { IoDevice } from './io-device.ts';
import { unregisterEverywhere } from './io-device-unregister.ts';
import { TestCluster } from './test-host.ts';
import { currentThread, type Thread } from './thread.ts';

function setUp(): {
  cluster: TestCluster;
  id: number;
  threads: Thread[];
  channels: IoChannel[];
  destroyed: () => number;
} {
  const cluster = new TestCluster(3);
  const id = cluster.host(0).allocIoDeviceId();
  let destroyed = 0;
  for (const host of cluster.hosts) IoDevice.register(host, { id, create: () => 0, destroy: () => destroyed++ });
  const threads = cluster.hosts.map((host) => host.create());
  const channels = threads.map((thread) => thread.run(() => getIoChannel(id)));
  return { cluster, id, threads, channels, destroyed: () => destroyed };
}

test('[device_unregister_and_thread_exit_race] across cores: the asker stays until the last channel anywhere is gone', () => {
  const { cluster, id, threads, channels, destroyed } = setUp();
  const asker = threads[1] as Thread;
  let at = -1;
  asker.run(() => {
    putIoChannel(channels[1] as IoChannel);
    unregisterEverywhere(id, () => {
      assert.equal(currentThread(), asker);
      at = destroyed();
    });
    asker.exit();
  });
  cluster.settle();
  for (const host of cluster.hosts) assert.equal(IoDevice.find(host, id), undefined, 'no core gives new channels');
  assert.equal(cluster.host(1).heap.blocks, 1);
  for (const at of [0, 2]) {
    assert.equal(asker.isExited, false);
    threads[at]?.run(() => putIoChannel(channels[at] as IoChannel));
    cluster.settle();
  }
  assert.equal(at, 3);
  assert.equal(asker.isExited, true);
  assert.equal(cluster.host(1).heap.blocks, 0);
  cluster.close();
});

test('a replica that is missing, on its way out, or on a core that has stopped is not waited for', () => {
  const { cluster, id, threads, channels } = setUp();
  const [t0] = threads as [Thread];
  cluster.host(2).stopped = true;
  IoDevice.find(cluster.host(1), id)?.unregister();
  let done = false;
  t0.run(() => {
    putIoChannel(channels[0] as IoChannel);
    unregisterEverywhere(id, () => {
      done = true;
    });
  });
  cluster.settle();
  assert.equal(done, true);
  cluster.host(2).stopped = false;
  for (const at of [1, 2]) threads[at]?.run(() => putIoChannel(channels[at] as IoChannel));
  IoDevice.find(cluster.host(2), id)?.unregister();
  assert.throws(
    () => unregisterEverywhere(id, () => {}),
    (error) => error instanceof SpdkError && error.code === 'EINVAL',
  );
  cluster.close();
});
