/** A disk on a disk: what is written through it is written, and it comes, grows and goes with what it stands on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { stubChannel, stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, make, open, takeBdevIos } from '../../../bdev/stub-setup.sim.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import '../delay/delay-bdev.ts';
import '../error/error-bdev.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import './passthru-bdev.ts';

const over = (cluster: Cluster, base: string, name = 'P') =>
  cluster.until(cluster.bdevs.create('passthru', { name, base_bdev_name: base }));

test('a passthru disk holds what was written, from every reactor', async () => {
  await fc.assert(
    fc.asyncProperty(modelBatches(2048, 300), async (batches) => {
      const cluster = await startCluster({ reactors: 2 });
      await malloc(cluster, 'M', 2048);
      const bdev = await over(cluster, 'M');
      await runModel(cluster, bdev, new Uint8Array(bdev.sizeBytes), batches);
      await cluster.close();
    }),
    { numRuns: 20 },
  );
});

test('a disk on another that is given no uuid has one that follows from its base’s, of its kind', async () => {
  const cluster = await startCluster();
  const uuid = '11111111-2222-4333-8444-555555555555';
  await make(cluster, { name: 'S', uuid });
  const latencies = { avg_read_latency: 0, p99_read_latency: 0, avg_write_latency: 0, p99_write_latency: 0 };
  const found: string[] = [];
  for (const [module, params] of [
    ['passthru', { name: 'P', base_bdev_name: 'S' }],
    ['passthru', { name: 'Q', base_bdev_name: 'S' }],
    ['delay', { name: 'D', base_bdev_name: 'S', ...latencies }],
    ['error', { base_name: 'S' }],
    ['passthru', { name: 'P', base_bdev_name: 'S', uuid: '99999999-2222-4333-8444-555555555555' }],
  ] as const) {
    const bdev = await cluster.until(cluster.bdevs.create(module, params));
    found.push(bdev.uuid);
    await cluster.until(cluster.bdevs.delete(bdev.name));
  }
  const [passthru, again, delay, error, given] = found;
  assert.deepEqual(
    [passthru, again, delay, given],
    [
      '04636583-270a-552b-bb7f-4b567401d48a',
      '04636583-270a-552b-bb7f-4b567401d48a',
      '873b792d-b6e3-5eb6-9b41-e176ea82de91',
      '99999999-2222-4333-8444-555555555555',
    ],
  );
  assert.equal(new Set([uuid, ...found]).size, 5);
  assert.equal(error[14], '5');
  await cluster.close();
});

test('type, range, flags and memory reach the base as they are; its status comes back; an abort reaches it', async () => {
  const cluster = await startCluster();
  await make(cluster, { name: 'Base1' });
  await over(cluster, 'Base1');
  const desc = open(cluster, 'P');
  const channel = channelOf(cluster, desc);
  const stub = stubChannel('Base1');
  const buf = cluster.memory(4096);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  assert.equal(channel.write(buf, 512, 1024, 1536, cb, 'w', 1), 0);
  const [io] = stub.outstanding;
  assert.deepEqual([io.type, io.byteOffset, io.bytes, io.flags, io.iovs.offset[0]], [2, 1024, 1536, 1, 512]);
  stub.complete(1, -5);
  cluster.turns();
  assert.equal(channel.unmap(0, 512, cb, 'u'), 0);
  assert.equal(channel.abort('u'), 1);
  cluster.turns();
  assert.deepEqual(done, ['w -5', 'u -125']);
  stub.depth = 0;
  assert.equal(channel.read(buf, 0, 0, 512, cb, 'r'), 0);
  stub.depth = 1;
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done.slice(2), ['r 0'], 'out of memory below is waiting, not failing');
  desc.close();
  await cluster.close();
});

test('memory below is reached without a copy', async () => {
  const cluster = await startCluster();
  await malloc(cluster, 'M', 64);
  await over(cluster, 'M');
  const upper = open(cluster, 'P');
  const lower = open(cluster, 'M', false);
  const [a, b] = [new IoVecs(4), new IoVecs(4)];
  const [above, below] = [channelOf(cluster, upper), channelOf(cluster, lower)];
  assert.equal(above.zcopy(512, 1024, a), true);
  assert.equal(below.zcopy(512, 1024, b), true);
  assert.deepEqual([a.segment[0], a.offset[0]], [b.segment[0], b.offset[0]]);
  assert.equal(above.zcopy(0, 512, a, true), true);
  assert.equal(below.shared.windows.overlap(0, 1), true, 'a lock of the lower disk waits for it');
  above.zcopyWritten(0, 0);
  assert.equal(below.shared.windows.count, 0);
  upper.close();
  lower.close();
  await cluster.close();
});

test('the base is claimed: nobody else writes to it or stands on it, until the upper disk is gone', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await make(cluster, { name: 'Base2' });
  await over(cluster, 'Base2');
  for (const core of [0, 1]) {
    assert.throws(() => cluster.on(core, () => BdevDesc.open('Base2', { write: true, onEvent: () => {} })), {
      code: 'EPERM',
    });
  }
  await assert.rejects(over(cluster, 'Base2', 'Q'), { code: 'EPERM' });
  await assert.rejects(over(cluster, 'P', 'P'), { code: 'EEXIST' });
  await over(cluster, 'P', 'Q');
  await cluster.until(cluster.bdevs.delete('P', 'passthru'));
  assert.deepEqual(
    cluster.bdevs.list().map(({ name }) => name),
    ['Base2'],
    'what stood on P went with it',
  );
  open(cluster, 'Base2').close();
  await cluster.close();
});

test('removing the base removes what stands on it, when its users have let go, and what they had under way completes', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await make(cluster, { name: 'Base3' });
  await over(cluster, 'Base3');
  await over(cluster, 'P', 'Q');
  const events: string[] = [];
  const desc = open(cluster, 'Q', true, events);
  const channel = channelOf(cluster, desc);
  const done: number[] = [];
  assert.equal(
    channel.read(cluster.memory(512), 0, 0, 512, (_, status) => void done.push(status), 0),
    0,
  );
  const removal = cluster.bdevs.delete('Base3');
  await cluster.untilTrue(() => events.length === 1);
  assert.deepEqual(events, ['remove Q']);
  assert.equal(stubs.destroyed.includes('Base3'), false);
  stubChannel('Base3').complete(1);
  cluster.turns();
  assert.deepEqual(done, [-19]);
  desc.close();
  await cluster.until(removal);
  assert.equal(stubs.destroyed.includes('Base3'), true);
  assert.deepEqual(cluster.bdevs.list(), []);
  await cluster.close();
});

test('a base that goes while a disk is being made on it takes the disk with it', async () => {
  for (let turn = 0; turn < 12; turn++) {
    const cluster = await startCluster({ reactors: 2 });
    await make(cluster, { name: 'Base4' });
    const making = cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'Base4' });
    const made = making.then(
      () => 'made',
      (error: { code: string }) => error.code,
    );
    for (let i = 0; i < turn; i++) await null;
    const removal = cluster.bdevs.delete('Base4');
    assert.match(await cluster.until(made), /^(made|ENODEV)$/);
    await cluster.until(removal);
    assert.deepEqual(cluster.bdevs.list(), [], `after ${turn}`);
    await cluster.close();
  }
});

test('it grows with its base, and is made later when its base is not there yet', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const params = { name: 'P', base_bdev_name: 'Base5' };
  assert.equal(await cluster.bdevs.createOn('Base5', 'passthru', params, null), 'P');
  await assert.rejects(cluster.bdevs.createOn('Base5', 'passthru', params, null), { code: 'EEXIST' });
  assert.throws(() => cluster.bdevs.get('P'), { code: 'ENODEV' });
  await make(cluster, { name: 'Base5', blocks: 100 });
  await cluster.until(cluster.bdevs.waitForExamine());
  assert.equal(cluster.bdevs.get('P').blocks, 100);
  await cluster.until(cluster.bdevs.resize('Base5', 200));
  await cluster.untilTrue(() => cluster.bdevs.get('P').blocks === 200);
  assert.deepEqual(cluster.bdevs.configCalls().find(({ method }) => method === 'bdev_passthru_create')?.params, {
    name: 'P',
    base_bdev_name: 'Base5',
    uuid: cluster.bdevs.get('P').uuid,
  });
  await cluster.close();
});

test('a reset is passed on: the base is reset, with its status, when what was under way above has ended', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await make(cluster, { name: 'Base6' });
  await over(cluster, 'Base6');
  await over(cluster, 'P', 'Q');
  const desc = open(cluster, 'Q');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(512);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  const stub = stubChannel('Base6');
  stub.abortable = false;
  channel.read(buf, 0, 0, 512, cb, 'slow');
  channel.reset(cb, 'reset');
  cluster.turns();
  assert.equal(stub.resets, 0);
  stub.complete(1);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done.splice(0), ['slow 0', 'reset 0']);
  assert.equal(stub.resets, 1);
  stub.resetStatus = -5;
  // No BdevIo is left for the base's: it waits for one.
  const { pool } = channel.shared.manager;
  channel.reset(cb, 'fails');
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: 1, bdev_io_cache_size: 1 }));
  const giveBack = takeBdevIos(pool);
  for (let i = 0; i < 4; i++) {
    cluster.turns();
    cluster.clock.nowUs += 100;
  }
  assert.equal(pool.waiting, 1);
  giveBack();
  await cluster.untilTrue(() => done.length === 1);
  assert.deepEqual(done, ['fails -5']);
  assert.equal(stub.resets, 2);
  channel.read(buf, 0, 0, 512, cb, 'after');
  stub.complete(1);
  cluster.turns();
  assert.equal(done[1], 'after 0');
  desc.close();
  await cluster.close();
});
