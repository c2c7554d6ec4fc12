/** Which job runs where, what is refused and why, and that nothing is left behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stubChannel } from '../bdev/stub-module.sim.ts';
import { memoryDisk, perfCluster, stubDisk } from './job.sim.ts';
import type { PerfOptions } from './options.ts';
import { perfTable } from './table.ts';

const MIB = 1024 * 1024;

test('disks are dealt to cores in turn; with everyCore each core has every disk; a name means that disk', async () => {
  const t = await perfCluster({ reactors: 2 });
  for (const name of ['A', 'B', 'C']) await memoryDisk(t, name, 64);
  const jobs = async (options: Partial<PerfOptions>) => {
    const { results, core_count } = await t.perform({ ios: 10, queueDepth: 2, ...options });
    assert.ok(results.every((job) => job.io_completed === 10));
    return [results.map(({ job, core }) => `${job}${core}`).join(' '), core_count];
  };
  assert.deepEqual(await jobs({}), ['A0 B1 C0', 2]);
  assert.deepEqual(await jobs({ everyCore: true }), ['A0 A1 B0 B1 C0 C1', 2]);
  assert.deepEqual(await jobs({ bdevName: 'B' }), ['B0', 1]);
  assert.deepEqual(await jobs({ bdevName: 'B', everyCore: true }), ['B0 B1', 2]);
  await t.close();
});

test('jobs on several cores draw different places, and the same again with the same seed', async () => {
  const t = await perfCluster({ reactors: 2 });
  await stubDisk(t, 'S', 100_000);
  const drawn = async (seed: number): Promise<string[]> => {
    const run = await t.prepare({ workload: 'randwrite', ioBytes: 512, queueDepth: 20, everyCore: true, seed });
    const running = run.run();
    const stubs = () => [0, 1].map((core) => stubChannel('S', core));
    await t.cluster.untilTrue(() => stubs().every((stub) => stub.outstanding.length === 20));
    const places = stubs().map((stub) => stub.outstanding.map((io) => io.byteOffset).join());
    await t.cluster.until(run.stop());
    for (const stub of stubs()) stub.complete(20);
    await t.cluster.until(running);
    return places;
  };
  const first = await drawn(1);
  assert.notEqual(first[0], first[1]);
  assert.deepEqual(await drawn(1), first);
  assert.notDeepEqual(await drawn(2), first);
  await t.close();
});

test('what cannot be: named, with value and limit, and nothing is left behind', async () => {
  const t = await perfCluster({ reactors: 2 });
  await assert.rejects(t.prepare({}), { code: 'ENODEV', message: 'there is no bdev to test' });
  await memoryDisk(t, 'M', 64);
  await t.cluster.until(t.cluster.bdevs.create('stub', { name: 'R', writable: false, ioTypes: 1 << 1 }));
  const cases: [Partial<PerfOptions>, string, RegExp][] = [
    [{ bdevName: 'X' }, 'ENODEV', /no bdev named "X"/],
    [{ ioBytes: 1000 }, 'EINVAL', /I\/O size 1000: bdev "M" has blocks of 512 bytes/],
    [{ ioBytes: 32768 + 512 }, 'EINVAL', /I\/O size 33280: bdev "M" has 32768 bytes/],
    [{ queueDepth: 0 }, 'EINVAL', /queue depth 0: not a whole number from 1 to 16384/],
    [{ queueDepth: 1.5 }, 'EINVAL', /queue depth 1\.5/],
    [{ ioBytes: 0 }, 'EINVAL', /I\/O size 0/],
    [{ timeUs: 0 }, 'EINVAL', /time 0/],
    [{ readPercent: 101 }, 'EINVAL', /percentage of reads 101: not a whole number from 0 to 100/],
    [{ zipfTheta: -1 }, 'EINVAL', /zipf theta -1: not from 0 to 10/],
    [{ zipfTheta: Number.NaN }, 'EINVAL', /zipf theta NaN/],
    [{ seed: -1 }, 'EINVAL', /seed -1/],
    [{ abortOnTimeout: true }, 'EINVAL', /no timeout/],
    [{ queueDepth: 1024, ioBytes: 2 * MIB }, 'EINVAL', /needs 2147483648 bytes of memory, limit 1073741824/],
    [{ workload: 'unmap', bdevName: 'R' }, 'ENOTSUP', /workload "unmap": bdev "R" cannot do that/],
    [{ workload: 'flush', bdevName: 'R' }, 'ENOTSUP', /bdev "R"/],
    [{ workload: 'nothing' as PerfOptions['workload'] }, 'EINVAL', /no workload "nothing"; one of: read write/],
  ];
  for (const [options, code, message] of cases) await assert.rejects(t.prepare(options), { code, message });
  // The first disk's job is made before the second refuses; it goes again.
  await t.cluster.until(t.cluster.bdevs.create('stub', { name: 'P', writable: false }));
  await assert.rejects(t.prepare({ workload: 'write', bdevName: 'P' }), { code: 'EROFS', message: /"P" is read-only/ });
  await t.cluster.until(t.cluster.bdevs.delete('R'));
  await assert.rejects(t.prepare({ workload: 'write', ioBytes: 512 }), { code: 'EROFS' });
  t.cluster.turns();
  for (const name of ['M', 'P']) assert.equal(t.cluster.bdevs.get(name).shared.descs, 0);
  await t.close();
});

test('the table: a line a job, the sum, and what it was', async () => {
  const t = await perfCluster();
  for (const name of ['A', 'Long-name']) await memoryDisk(t, name, 64);
  const result = await t.perform({ workload: 'randrw', readPercent: 70, ios: 20, histogram: true });
  const lines = perfTable(result).split('\n');
  assert.equal(lines[0], 'A on core 0: randrw, 70 % reads, depth 32, I/O size 4096');
  const head = lines.findIndex((line) => line.startsWith('disk '));
  assert.match(lines[head], /^disk +core +runtime\(s\) +IOPS +MiB\/s +Fail\/s +TO\/s +Average +min +max$/);
  assert.match(lines[head + 1], /^A +0 +[\d.]+ +[\d.]+ +[\d.]+ +0\.00 +0\.00 +[\d.]+ +[\d.]+ +[\d.]+$/);
  assert.match(lines[head + 2], /^Long-name +0 /);
  assert.match(lines[head + 3], /^Total /);
  assert.equal(
    new Set(lines.slice(head, head + 4).map((line) => line.length)).size,
    1,
    'columns stand below each other',
  );
  assert.match(perfTable(result), /Latency of all jobs:\n +1\.00000% :/);
  assert.match(perfTable(result), /99\.99999% :/);
  await t.close();
});
