/** Split disks: where their data lies, what they share, how they come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { EXTENT_HOLE, EXTENT_ZERO, Extents } from '../../../bdev/extents.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { describeBdev } from '../../../bdev/rpc.ts';
import { stubChannel } from '../../../bdev/stub-module.sim.ts';
import { channelOf, make, open } from '../../../bdev/stub-setup.sim.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../../rpc/index.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { registerSplitRpc } from './rpc.ts';
import { splitModule } from './split-bdev.ts';

async function world(reactors = 1) {
  const cluster = await startCluster({ reactors });
  const rpc = new RpcRegistry();
  registerSplitRpc(rpc, { registry: () => cluster.bdevs });
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params: object) => cluster.until((async () => rpc.call(method, params))());
  const memory = (name: string, num_blocks: number) => malloc(cluster, name, num_blocks);
  return { cluster, call, memory };
}

test('part_construct_ext: a part’s uuid follows from its base’s and where it lies, and is the same when it is made again', async () => {
  const { cluster, call, memory } = await world();
  await cluster.until(
    cluster.bdevs.create('malloc', {
      name: 'M',
      block_size: 512,
      num_blocks: 1024,
      uuid: '11111111-2222-4333-8444-555555555555',
    }),
  );
  await memory('N', 1024);
  const uuids = async (base_bdev: string, split_count = 2) => {
    const names = (await call('bdev_split_create', { base_bdev, split_count })) as string[];
    const found = names.map((name) => cluster.bdevs.get(name).uuid);
    await call('bdev_split_delete', { base_bdev });
    return found;
  };
  const first = await uuids('M');
  assert.deepEqual(first, ['222d10a9-0bdd-58a9-b48c-0a88d4cadf86', '6a211fd5-7dd9-5c98-a08a-d87c89a097e0']);
  assert.deepEqual(await uuids('M'), first);
  assert.equal(new Set([...first, ...(await uuids('M', 4)), ...(await uuids('N'))]).size, 8);
  await cluster.close();
});

test('each part keeps what is written to it, whatever its neighbours do, on several cores', async () => {
  await fc.assert(
    fc.asyncProperty(modelBatches(64, 16), async (batches) => {
      const { cluster, call, memory } = await world(2);
      await memory('M', 3 * 64 + 1);
      assert.deepEqual(await call('bdev_split_create', { base_bdev: 'M', split_count: 3 }), ['Mp0', 'Mp1', 'Mp2']);
      assert.equal(cluster.bdevs.get('Mp1').blocks, 64);
      const models = [0, 1, 2].map(() => new Uint8Array(64 * 512));
      for (const i of [0, 1, 2, 0]) await runModel(cluster, cluster.bdevs.get(`Mp${i}`), models[i], batches);
      await cluster.close();
    }),
    { numRuns: 20 },
  );
});

test('a part’s block 0 is its base’s at the offset, for I/O, memory and holes; past its end is nothing of the next one', async () => {
  const { cluster, call, memory } = await world();
  await memory('M', 1024);
  await call('bdev_split_create', { base_bdev: 'M', split_count: 4 });
  const [base, part] = [open(cluster, 'M', false), open(cluster, 'Mp2')];
  const [below, above] = [channelOf(cluster, base), channelOf(cluster, part)];
  const [a, b] = [new IoVecs(1), new IoVecs(1)];
  assert.ok(below.zcopy(512 * 512 + 100, 7, a) && above.zcopy(100, 7, b, true));
  assert.deepEqual([a.segment[0], a.offset[0]], [b.segment[0], b.offset[0]]);
  above.zcopyWritten(100, 7);
  const extents = new Extents(4);
  above.blockStatus(0, 65536 * 2, extents);
  assert.deepEqual([...extents.flags.subarray(0, extents.count)], [0, EXTENT_HOLE | EXTENT_ZERO]);
  assert.equal(
    above.read(cluster.memory(1024), 0, 255 * 512, 1024, () => {}, null),
    -22,
  );
  for (const desc of [base, part]) desc.close();
  await cluster.close();
});

test('parts share the claim of their base, which is free again after the last', async () => {
  const { cluster, call, memory } = await world();
  const base = await memory('M', 1 << 13);
  await call('bdev_split_create', { base_bdev: 'M', split_count: 2, split_size_mb: 1 });
  assert.equal(cluster.bdevs.get('Mp1').blocks, 2048);
  assert.throws(() => open(cluster, 'M'), { code: 'EPERM' });
  const { driver_specific } = describeBdev(cluster.bdevs.get('Mp1'));
  assert.deepEqual(driver_specific, { split: { base_bdev: 'M', offset_blocks: 2048 } });
  const saved = cluster.bdevs.configCalls().filter(({ method }) => method === 'bdev_split_create');
  assert.deepEqual(saved, [
    { method: 'bdev_split_create', params: { base_bdev: 'M', split_count: 2, split_size_mb: 1 } },
  ]);
  await cluster.until(cluster.bdevs.delete('Mp0'));
  assert.throws(() => open(cluster, 'M'), { code: 'EPERM' }, 'the other one still stands on it');
  assert.equal(await call('bdev_split_delete', { base_bdev: 'M' }), true);
  assert.equal(base.shared.claim, 0);
  open(cluster, 'M').close();
  await assert.rejects(call('bdev_split_delete', { base_bdev: 'M' }), { code: 'ENOENT' });
  // And once more, from the start.
  await call('bdev_split_create', { base_bdev: 'M', split_count: 3 });
  assert.throws(() => open(cluster, 'M'), { code: 'EPERM' });
  // One that has gone before its base does not go again with it.
  const gone: string[] = [];
  cluster.bdevs.onUnregister = ({ name }) => void gone.push(name);
  await cluster.until(cluster.bdevs.delete('Mp1'));
  await cluster.until(cluster.bdevs.delete('M'));
  assert.deepEqual(gone.sort(), ['M', 'Mp0', 'Mp1', 'Mp2']);
  await cluster.close();
});

test('the base goes: all its parts go, and their owners hear of it', async () => {
  const { cluster, call, memory } = await world(2);
  await memory('M', 64);
  await call('bdev_split_create', { base_bdev: 'M', split_count: 2 });
  const events: string[] = [];
  const descs = ['Mp0', 'Mp1'].map((name) => {
    const desc: BdevDesc = BdevDesc.open(name, {
      write: true,
      reactor: cluster.reactors[1],
      onEvent: (event) => {
        events.push(`${name} ${event}`);
        desc.close();
      },
    });
    return desc;
  });
  assert.equal(descs.length, 2);
  await cluster.until(cluster.bdevs.delete('M'));
  assert.deepEqual(events.sort(), ['Mp0 remove', 'Mp1 remove']);
  assert.deepEqual(cluster.bdevs.list(), []);
  await cluster.close();
});

test('what does not fit makes no part at all; what waits for its base is made with it', async () => {
  const { cluster, call, memory } = await world();
  assert.deepEqual(await call('bdev_split_create', { base_bdev: 'Later', split_count: 2 }), ['Laterp0', 'Laterp1']);
  assert.equal(cluster.bdevs.list().length, 0);
  await memory('Later', 10);
  await cluster.until(cluster.bdevs.waitForExamine());
  assert.deepEqual([cluster.bdevs.get('Laterp0').blocks, cluster.bdevs.get('Laterp1').blocks], [5, 5]);
  await memory('M', 1 << 12);
  for (const [params, message] of [
    [{ split_count: 0 }, /split_count 0, limit 1 to 4096/],
    [{ base_bdev: 'none', split_count: 4097 }, /split_count 4097, limit 1 to 4096/],
    [{ base_bdev: 'Later', split_count: 11 }, /split_count 11: bdev "Later" has 10 blocks/],
    [{ split_count: 3, split_size_mb: 1 }, /split_count 3: bdev "M" has room for 2 of 1 MiB/],
  ] as const) {
    await assert.rejects(call('bdev_split_create', { base_bdev: 'M', ...params }), { code: 'EINVAL', message });
  }
  // A name in the middle is taken: what was made before goes again.
  await memory('Mp1', 8);
  await assert.rejects(call('bdev_split_create', { base_bdev: 'M', split_count: 3 }), { code: 'EEXIST' });
  assert.equal(cluster.bdevs.has('Mp0'), false);
  open(cluster, 'M').close();
  await cluster.close();
});

test('a part of a disk that is written in units begins at one', async () => {
  const { cluster } = await world();
  await make(cluster, { name: 'U', blocks: 64, limits: { writeUnitBlocks: 8, splitOnWriteUnit: true } });
  const create = (split_count: number) =>
    cluster.until(cluster.bdevs.create(splitModule.name, { name: 'P', base_bdev: 'U', index: 1, split_count }));
  await assert.rejects(create(5), /"P" begins at block 12, no multiple of the 8 that "U" is written in/);
  const made = await create(4);
  assert.deepEqual([made.limits.writeUnitBlocks, made.blocks], [8, 16]);
  const desc = open(cluster, 'P');
  const channel = channelOf(cluster, desc);
  const done: number[] = [];
  assert.equal(
    channel.write(cluster.memory(8192), 0, 0, 16 * 512, (_, status) => void done.push(status), null),
    0,
  );
  assert.deepEqual(
    stubChannel('U').outstanding.map(({ byteOffset, bytes }) => [byteOffset / 512, bytes / 512]),
    [
      [16, 8],
      [24, 8],
    ],
  );
  stubChannel('U').complete(2);
  cluster.turns();
  assert.deepEqual(done, [0]);
  desc.close();
  await cluster.close();
});

test('a reset of one part resets the base, and ends what the others have under way there', async () => {
  const { cluster, call } = await world(2);
  await make(cluster, { name: 'PartBase' });
  await call('bdev_split_create', { base_bdev: 'PartBase', split_count: 2 });
  const [here, there] = ['PartBasep0', 'PartBasep1'].map((name, core) => {
    const desc = cluster.on(core, () => BdevDesc.open(name, { write: true, onEvent: () => {} }));
    return { desc, channel: cluster.on(core, () => desc.getIoChannel()) };
  });
  const buf = cluster.memory(512);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  here.channel.read(buf, 0, 0, 512, cb, 'own');
  there.channel.read(buf, 0, 0, 512, cb, 'other');
  here.channel.reset(cb, 'reset');
  await cluster.untilTrue(() => done.length === 3);
  assert.deepEqual(done, ['own -125', 'other -125', 'reset 0']);
  assert.equal(stubChannel('PartBase', 0).resets, 1);
  there.channel.read(buf, 0, 0, 512, cb, 'after');
  stubChannel('PartBase', 1).complete(1);
  cluster.turns();
  assert.equal(done[3], 'after 0');
  for (const [core, { desc }] of [here, there].entries()) cluster.on(core, () => desc.close());
  await cluster.close();
});
