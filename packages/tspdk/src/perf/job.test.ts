/** Jobs on stub and memory disks: each workload, depth, ends, failures, timeouts, resets. Time is the test's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE, IO_WRITE_ZEROES } from '../bdev/index.ts';
import { stubChannel } from '../bdev/stub-module.sim.ts';
import { memoryDisk, type PerfCluster, perfCluster, stubDisk } from './job.sim.ts';
import type { PerfOptions } from './options.ts';
import type { PerfResult } from './result.ts';

/** What a stub disk is asked, while it completes `count` I/Os in order. */
interface Asked {
  readonly type: number;
  readonly at: number;
  readonly bytes: number;
}

/** Runs `options` on stub disk S, which completes each I/O in the round after it came; what it was asked, and the result. */
async function runOnStub(
  t: PerfCluster,
  options: Partial<PerfOptions>,
): Promise<{ asked: Asked[]; result: PerfResult }> {
  const { cluster } = t;
  const run = await t.prepare({ bdevName: 'S', ...options });
  const running = run.run();
  const asked: Asked[] = [];
  let ended = false;
  void running.finally(() => {
    ended = true;
  });
  await cluster.untilTrue(() => {
    const stub = stubChannel('S');
    for (const io of stub.outstanding) asked.push({ type: io.type, at: io.byteOffset, bytes: io.bytes });
    stub.complete(stub.outstanding.length);
    return ended;
  });
  return { asked, result: await running };
}

test('each workload asks for what its name says, where its name says', async () => {
  const t = await perfCluster();
  await stubDisk(t, 'S', 64);
  const types: [PerfOptions['workload'], number, boolean][] = [
    ['read', IO_READ, false],
    ['write', IO_WRITE, false],
    ['randread', IO_READ, true],
    ['randwrite', IO_WRITE, true],
    ['unmap', IO_UNMAP, false],
    ['flush', IO_FLUSH, false],
    ['write_zeroes', IO_WRITE_ZEROES, false],
  ];
  for (const [workload, type, random] of types) {
    const { asked, result } = await runOnStub(t, { workload, queueDepth: 4, ioBytes: 1024, ios: 70 });
    assert.equal(asked.length, 70, workload);
    assert.ok(
      asked.every((io) => io.type === type && io.bytes === 1024 && io.at % 1024 === 0),
      workload,
    );
    const inOrder = asked.every((io, i) => io.at === (i % 32) * 1024);
    assert.equal(inOrder, !random, workload);
    if (random) assert.ok(new Set(asked.map((io) => io.at)).size > 20, workload);
    assert.equal(result.results[0].status, 'finished');
    assert.equal(result.total.io_completed, 70);
    assert.equal(result.total.io_failed, 0);
  }
  await t.close();
});

test('rw and randrw read as often as the mix says; 0 and 100 are exact', async () => {
  const t = await perfCluster();
  await stubDisk(t, 'S');
  for (const workload of ['rw', 'randrw'] as const) {
    for (const readPercent of [0, 30, 70, 100]) {
      const ios = 4000;
      const { asked, result } = await runOnStub(t, { workload, readPercent, ios, queueDepth: 8, ioBytes: 512 });
      const reads = asked.filter((io) => io.type === IO_READ).length;
      assert.equal(asked.length, ios);
      assert.ok(asked.every((io) => io.type === IO_READ || io.type === IO_WRITE));
      // Five standard deviations.
      const slack = 5 * Math.sqrt((ios * readPercent * (100 - readPercent)) / 10_000);
      assert.ok(Math.abs(reads - (ios * readPercent) / 100) <= slack, `${workload} ${readPercent}: ${reads}`);
      assert.equal(result.results[0].percentage, readPercent);
    }
  }
  await t.close();
});

test('the queue is as deep as asked, and full until the time is over; then what is under way ends', async () => {
  const t = await perfCluster();
  const { cluster } = t;
  await stubDisk(t, 'S');
  const run = await t.prepare({ queueDepth: 5, timeUs: 1000 });
  const running = run.run();
  await cluster.untilTrue(() => stubChannel('S').outstanding.length > 0);
  const stub = stubChannel('S');
  for (let i = 0; i < 20; i++) {
    assert.equal(stub.outstanding.length, 5);
    assert.equal(new Set(stub.outstanding.map((io) => io.iovs.offset[0])).size, 5, 'a buffer each');
    stub.complete(2);
    cluster.turns();
  }
  cluster.clock.nowUs += 1000;
  cluster.turns();
  assert.equal(stub.outstanding.length, 5);
  stub.complete(4);
  cluster.turns();
  assert.equal(stub.outstanding.length, 1, 'no new ones');
  cluster.clock.nowUs += 500;
  stub.complete(1);
  const { results, total } = await cluster.until(running);
  assert.equal(results[0].status, 'finished');
  assert.equal(total.io_completed, 45);
  assert.ok(total.max_latency_us >= 1500 && total.max_latency_us < 1700, String(total.max_latency_us));
  assert.ok(total.runtime >= 0.0015 && total.runtime < 0.0017, String(total.runtime));
  assert.ok(Math.abs(total.iops * total.runtime - 45) < 1e-9);
  await t.close();
});

test('figures: latency and rates are those of the clock, percentiles come when asked for', async () => {
  const t = await perfCluster();
  const { cluster } = t;
  await stubDisk(t, 'S');
  const run = await t.prepare({ queueDepth: 1, ios: 4, ioBytes: 512, histogram: true });
  const running = run.run();
  for (const us of [10, 20, 30, 1000]) {
    await cluster.untilTrue(() => stubChannel('S').outstanding.length === 1);
    cluster.clock.nowUs += us;
    stubChannel('S').complete(1);
  }
  const { total, results } = await cluster.until(running);
  const near = (value: number, expected: number) =>
    assert.ok(value >= expected && value < expected + 10, `${value}, not about ${expected}`);
  near(total.min_latency_us, 10);
  near(total.max_latency_us, 1000);
  near(total.avg_latency_us, 265);
  near(total.percentiles_us?.['50'] ?? 0, 20);
  near(total.percentiles_us?.['99.99999'] ?? 0, 1000);
  assert.deepEqual(results[0].percentiles_us, total.percentiles_us);
  assert.ok(Math.abs(total.mibps - (total.iops * 512) / 2 ** 20) < 1e-9);
  await t.close();
});

test('a failed I/O ends its job and no other; with continueOnFailure none', async () => {
  const t = await perfCluster();
  const { cluster } = t;
  for (const continueOnFailure of [false, true]) {
    await stubDisk(t, 'S');
    await memoryDisk(t, 'M', 64);
    const run = await t.prepare({ workload: 'write', queueDepth: 2, ios: 10, ioBytes: 512, continueOnFailure });
    const running = run.run();
    await cluster.untilTrue(() => stubChannel('S').outstanding.length === 2);
    const stub = stubChannel('S');
    stub.complete(1);
    cluster.turns();
    stub.complete(1, -28);
    cluster.turns();
    assert.equal(stub.outstanding.length, continueOnFailure ? 2 : 1);
    let ended = false;
    void running.finally(() => {
      ended = true;
    });
    await cluster.untilTrue(() => {
      stub.complete(stub.outstanding.length);
      return ended;
    });
    const { results, total } = await running;
    assert.deepEqual(
      results.map(({ job, status, io_failed }) => [job, status, io_failed]),
      [
        ['S', 'failed', 1],
        ['M', 'finished', 0],
      ],
    );
    assert.match(results[0].error ?? '', /^bdev "S": write of 512 bytes at offset 512 failed: ENOSPC \(-28\)$/);
    assert.equal(results[0].io_completed, continueOnFailure ? 9 : 2);
    assert.equal(total.io_failed, 1);
    await cluster.until(Promise.all([cluster.bdevs.delete('S'), cluster.bdevs.delete('M')]));
  }
  await t.close();
});

test('timeouts are counted once an I/O; with abort they end it', async () => {
  for (const abortOnTimeout of [false, true]) {
    const t = await perfCluster();
    const { cluster } = t;
    await stubDisk(t, 'S');
    const run = await t.prepare({ queueDepth: 2, ios: 4, timeoutUs: 4000, abortOnTimeout, continueOnFailure: true });
    const running = run.run();
    await cluster.untilTrue(() => stubChannel('S').outstanding.length === 2);
    const stub = stubChannel('S');
    cluster.clock.nowUs += 3000;
    cluster.turns();
    stub.complete(1);
    cluster.turns();
    assert.equal(stub.outstanding.length, 2);
    // The older one is late now, the one that was just sent is not.
    cluster.clock.nowUs += 1500;
    cluster.turns();
    cluster.clock.nowUs += 1500;
    cluster.turns();
    assert.equal(stub.outstanding.length, 2);
    let ended = false;
    void running.finally(() => {
      ended = true;
    });
    await cluster.untilTrue(() => {
      stub.complete(stub.outstanding.length);
      return ended;
    });
    const { total, results } = await running;
    assert.equal(total.io_timeout, 1);
    assert.equal(total.io_failed, abortOnTimeout ? 1 : 0);
    assert.equal(total.io_completed, abortOnTimeout ? 3 : 4);
    assert.equal(results[0].status, abortOnTimeout ? 'failed' : 'finished');
    if (abortOnTimeout) assert.match(results[0].error ?? '', /ECANCELED/);
    await t.close();
  }
});

test('reset: the disk is reset under the I/O, what that aborts is sent again and is no failure', async () => {
  const t = await perfCluster({ reactors: 2, roundUs: 50 });
  await memoryDisk(t, 'M', 1024);
  // Both cores' jobs: what one resets, the other sees aborted.
  const { results } = await t.perform({ workload: 'reset', everyCore: true, timeUs: 550_000, queueDepth: 8 });
  for (const job of results) {
    assert.equal(job.status, 'finished');
    assert.ok(job.resets >= 4 && job.resets <= 5, String(job.resets));
    assert.ok(job.io_aborted > 0 && job.io_completed > 1000);
  }
  await t.close();
});

test('stopped in the middle: ends when its last I/O is back, with what was done so far', async () => {
  const t = await perfCluster({ reactors: 2 });
  const { cluster } = t;
  await stubDisk(t, 'S');
  const run = await t.prepare({ everyCore: true, queueDepth: 3 });
  const running = run.run();
  await cluster.untilTrue(() => [0, 1].every((core) => stubChannel('S', core).outstanding.length === 3));
  stubChannel('S', 0).complete(2);
  cluster.turns();
  assert.equal(await cluster.until(run.completed()), 2);
  await cluster.until(run.stop());
  for (const core of [0, 1]) stubChannel('S', core).complete(3);
  const { results } = await cluster.until(running);
  assert.deepEqual(
    results.map(({ status, io_completed }) => [status, io_completed]),
    [
      ['terminated', 5],
      ['terminated', 3],
    ],
  );
  await t.close();
});

test('stopped before it runs: nothing is sent', async () => {
  const t = await perfCluster();
  await stubDisk(t, 'S');
  const run = await t.prepare({});
  await t.cluster.until(run.stop());
  const { results } = await t.cluster.until(run.run());
  assert.deepEqual([results[0].status, results[0].io_completed], ['terminated', 0]);
  await t.close();
});

test('a disk that is removed under a test ends its job, and goes', async () => {
  const t = await perfCluster();
  const { cluster } = t;
  await stubDisk(t, 'S');
  const run = await t.prepare({ queueDepth: 2 });
  const running = run.run();
  await cluster.untilTrue(() => stubChannel('S').outstanding.length === 2);
  const removal = cluster.bdevs.delete('S');
  cluster.turns();
  await cluster.untilTrue(() => cluster.bdevs.list()[0].removing);
  stubChannel('S').complete(2);
  const { results } = await cluster.until(running);
  assert.equal(results[0].status, 'failed');
  assert.match(results[0].error ?? '', /bdev "S" was removed/);
  await cluster.until(removal);
  await t.close();
});

test('no BdevIo left: tasks wait for one and go on', async () => {
  const t = await perfCluster();
  const { cluster } = t;
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 2, bdev_io_cache_size: 2 }));
  await stubDisk(t, 'S');
  const { asked, result } = await runOnStub(t, { queueDepth: 6, ios: 50 });
  assert.equal(asked.length, 50);
  assert.equal(result.total.io_completed, 50);
  assert.equal(result.total.io_failed, 0);
  await t.close();
});
