/** I/Os that go on to the disks below as they are (thread-channel.ts): under way in each disk on their way, whatever happens to them there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import '../module/bdev/passthru/passthru-bdev.ts';
import '../module/bdev/split/split-bdev.ts';
import type { BdevIo } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { faultRegistry } from './faults/registry.ts';
import { IoStat } from './io-stat.ts';
import { IO_FLAG_FUA, IO_READ } from './io-type.ts';
import { lockRange } from './lba-lock.ts';
import { bdevManager } from './manager.ts';
import { type StubChannel, stubChannel, stubs } from './stub-module.sim.ts';
import { channelOf, make, open } from './stub-setup.sim.ts';

const BLOCK = 512;
const BLOCKS = 1024;
/** Where the second half begins. */
const HALF = (BLOCKS / 2) * BLOCK;

interface Stack {
  readonly cluster: Cluster;
  /** A passthru disk on the second half of a stub disk. */
  readonly top: BdevDesc;
  readonly channel: BdevChannel;
  readonly stub: StubChannel;
  readonly done: string[];
  readonly cb: (ctx: unknown, status: number) => void;
  read(ctx: unknown, at?: number): number;
  write(ctx: unknown, at?: number): number;
  /** Its one I/O that the stub has. */
  only(): BdevIo;
  /** BdevIos in use. */
  used(): number;
  stat(name: string): Record<string, unknown>;
  tearDown(): Promise<void>;
}

/** `S` is the stub, `Sp0` and `Sp1` its halves, `P` what stands on the second. */
async function setUp(): Promise<Stack> {
  const cluster = await startCluster();
  await make(cluster, { name: 'S', blocks: BLOCKS });
  const split = { base_bdev: 'S', split_count: 2 };
  for (const index of [0, 1])
    await cluster.until(cluster.bdevs.create('split', { ...split, index, name: `Sp${index}` }));
  await cluster.until(cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'Sp1' }));
  const top = open(cluster, 'P');
  const channel = channelOf(cluster, top);
  const stub = stubChannel('S');
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  const buf = cluster.memory(8 * BLOCK);
  const { pool } = cluster.reactors[0].local(bdevManager);
  return {
    cluster,
    top,
    channel,
    stub,
    done,
    cb,
    read: (ctx, at = 0) => channel.read(buf, 0, at, BLOCK, cb, ctx),
    write: (ctx, at = 0) => channel.write(buf, 0, at, BLOCK, cb, ctx),
    only: () => {
      assert.equal(stub.outstanding.length, 1);
      return stub.outstanding[0];
    },
    used: () => pool.used,
    stat: (name) => {
      const stat = new IoStat();
      cluster.bdevs.get(name).collectStat(stat);
      return stat.toJson();
    },
    tearDown: async () => {
      top.close();
      await cluster.close();
      assert.equal(pool.used, 0);
    },
  };
}

test('a read and a write go down three disks in one BdevIo, to their place in the last; each disk counts them', async () => {
  const { channel, stub, only, used, stat, read, done, cb, cluster, tearDown } = await setUp();
  read('r', 3 * BLOCK);
  assert.equal(used(), 1);
  assert.deepEqual([only().type, only().byteOffset, only().bytes], [IO_READ, HALF + 3 * BLOCK, BLOCK]);
  for (const name of ['P', 'Sp1', 'S']) {
    const [{ outstanding }] = cluster.bdevs.get(name).channels;
    assert.equal(outstanding, 1, name);
  }
  stub.complete(1);
  assert.deepEqual(done, ['r 0']);
  channel.write(cluster.memory(BLOCK), 0, BLOCK, BLOCK, cb, 'w', IO_FLAG_FUA);
  assert.equal(only().flags & IO_FLAG_FUA, IO_FLAG_FUA);
  stub.complete(1, -5);
  assert.deepEqual(done, ['r 0', 'w -5']);
  for (const name of ['P', 'Sp1', 'S']) {
    const { num_read_ops, bytes_read, num_write_ops, io_error } = stat(name);
    assert.deepEqual([num_read_ops, bytes_read, num_write_ops, io_error], [1, BLOCK, 0, { failed: 1 }], name);
  }
  assert.equal(stat('Sp0').num_read_ops, 0);
  // The same BdevIo serves another disk next: nothing of the way is left in it.
  const other = open(cluster, 'Sp0');
  channelOf(cluster, other).read(cluster.memory(BLOCK), 0, 5 * BLOCK, BLOCK, cb, 'o');
  assert.equal(only().byteOffset, 5 * BLOCK);
  stub.complete(1);
  assert.equal(stat('P').num_read_ops, 1);
  other.close();
  await tearDown();
});

test('what the module answers inside submit reaches the submitter after its own call, once', async () => {
  const { cluster, stub, read, done, tearDown } = await setUp();
  stub.submit = (io) => io.complete(0);
  read('r');
  assert.deepEqual(done, []);
  cluster.turns();
  assert.deepEqual(done, ['r 0']);
  stub.submit = () => {
    throw new Error('broken');
  };
  read('s');
  cluster.turns();
  assert.deepEqual(done, ['r 0', 's -5']);
  assert.equal(cluster.faults.length, 1);
  cluster.faults.length = 0;
  await tearDown();
});

test('an abort from above reaches the disk that has it, also while it waits there for memory', async () => {
  const { channel, stub, read, done, only, cluster, tearDown } = await setUp();
  read('a');
  assert.equal(channel.abort('a'), 1);
  assert.deepEqual(done, ['a -125']);
  stub.depth = 1;
  read('b');
  read('c');
  read('d', 4 * BLOCK);
  assert.equal(channel.abort('c'), 1);
  cluster.turns();
  assert.deepEqual(done, ['a -125', 'c -125']);
  stub.complete(1);
  assert.equal(only().byteOffset, HALF + 4 * BLOCK, 'what waited behind it goes on');
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['a -125', 'c -125', 'b 0', 'd 0']);
  await tearDown();
});

test('without memory below they wait in the disk below, in order, and behind them what comes', async () => {
  const { cluster, stub, read, done, only, used, tearDown } = await setUp();
  stub.depth = 1;
  for (const name of ['a', 'b', 'c']) read(name);
  const [bottom] = cluster.bdevs.get('S').channels;
  assert.ok(bottom.queued > 0);
  assert.equal(only().ctx, 'a');
  for (const name of ['a', 'b', 'c']) {
    await cluster.untilTrue(() => stub.outstanding.length === 1);
    stub.complete(1);
    await cluster.untilTrue(() => done.includes(`${name} 0`));
  }
  assert.deepEqual(done, ['a 0', 'b 0', 'c 0']);
  assert.equal(used(), 0);
  await tearDown();
});

test('what comes while others wait below for memory does not overtake them, though there is memory again', async () => {
  const { cluster, stub, read, done, tearDown } = await setUp();
  stub.depth = 1;
  read('a');
  read('b', BLOCK);
  stub.depth = 8;
  read('c', 2 * BLOCK);
  const places = () => stub.outstanding.map(({ byteOffset }) => (byteOffset - HALF) / BLOCK);
  assert.deepEqual(places(), [0]);
  stub.complete(1);
  await cluster.untilTrue(() => stub.outstanding.length === 2);
  assert.deepEqual(places(), [1, 2]);
  stub.complete(2);
  await cluster.untilTrue(() => done.length === 3);
  assert.deepEqual(done, ['a 0', 'b 0', 'c 0']);
  await tearDown();
});

for (const name of ['P', 'Sp1', 'S']) {
  test(`for what comes back without memory during a reset of any disk on their way, nobody asks again: ${name}`, async () => {
    const { cluster, top, stub, read, done, cb, tearDown } = await setUp();
    stub.abortable = false;
    read('a');
    const desc = name === 'P' ? top : open(cluster, name, false);
    channelOf(cluster, desc).reset(cb, 'reset');
    for (let i = 0; i < 10; i++) cluster.turns();
    stub.complete(1, -12);
    for (let i = 0; i < 50; i++) cluster.turns();
    assert.deepEqual([done, stub.outstanding.length], [['a -125', 'reset 0'], 0]);
    if (desc !== top) desc.close();
    await tearDown();
  });
}

for (const name of ['P', 'Sp1', 'S']) {
  test(`a reset of any disk on their way ends them: ${name}`, async () => {
    const { cluster, top, stub, read, done, cb, tearDown } = await setUp();
    stub.depth = 1;
    read('a');
    read('waits');
    const desc = name === 'P' ? top : open(cluster, name, false);
    channelOf(cluster, desc).reset(cb, 'reset');
    await cluster.untilTrue(() => done.includes('reset 0'));
    assert.deepEqual(done.toSorted(), ['a -125', 'reset 0', 'waits -125']);
    assert.equal(stub.outstanding.length, 0);
    read('b');
    stub.complete(1);
    assert.ok(done.includes('b 0'), 'and then it goes on');
    if (desc !== top) desc.close();
    await tearDown();
  });
}

for (const [name, from] of [
  ['P', 0],
  ['Sp1', 0],
  ['S', HALF],
] as const) {
  test(`a lock of any disk on their way waits for those in its range, and holds the next back: ${name}`, async () => {
    const { cluster, stub, write, done, tearDown } = await setUp();
    const bdev = cluster.bdevs.get(name);
    write('in', 7 * BLOCK);
    let held = '';
    const lock = (at: number, what: string) => {
      const onHeld = (): void => {
        held = what;
      };
      return cluster.on(0, () => lockRange(bdev, from + at, BLOCK, false, onHeld));
    };
    const beside = lock(8 * BLOCK, 'beside');
    await cluster.untilTrue(() => held === 'beside');
    beside.release();
    const same = lock(7 * BLOCK, 'same');
    for (let i = 0; i < 50; i++) cluster.turns();
    assert.equal(held, 'beside', 'the write is under way');
    stub.complete(1);
    await cluster.untilTrue(() => held === 'same');
    write('held back', 7 * BLOCK);
    for (let i = 0; i < 50; i++) cluster.turns();
    assert.equal(stub.outstanding.length, 0);
    same.release();
    await cluster.untilTrue(() => stub.outstanding.length === 1);
    stub.complete(1);
    await cluster.untilTrue(() => done.length === 2);
    assert.deepEqual(done, ['in 0', 'held back 0']);
    await tearDown();
  });
}

test('a fault of the disk in the middle strikes them; without one they go on as they are again', async () => {
  const { cluster, stub, read, done, used, only, tearDown } = await setUp();
  const faults = faultRegistry(cluster.reactors[0]);
  await cluster.until(faults.add('Sp1', { op: 'read', action: 'error', errno: 'ENOSPC', count: 1 }));
  read('struck');
  await cluster.untilTrue(() => done.length === 1);
  assert.deepEqual(done, ['struck -28']);
  await cluster.until(faults.clear('Sp1'));
  read('r');
  assert.equal(used(), 1);
  assert.equal(only().ctx, 'r');
  stub.complete(1);
  assert.deepEqual(done, ['struck -28', 'r 0']);
  await tearDown();
});

test('a fault of aborts goes by the place in the disk that the abort is for', async () => {
  const { cluster, channel, stub, read, used, done, tearDown } = await setUp();
  const faults = faultRegistry(cluster.reactors[0]);
  for (const block of [1, 3]) read(block, block * BLOCK);
  assert.equal(used(), 2, 'they have gone on as they are');
  await cluster.until(faults.add('P', 'op=abort,offset_blocks=3,num_blocks=1'));
  assert.deepEqual([channel.abort(1), channel.abort(3)], [1, 0]);
  cluster.turns();
  assert.deepEqual(done, ['1 -125']);
  stub.complete(1);
  await cluster.until(faults.clear('P'));
  await tearDown();
});

test('a fault of the disk above counts once there, and once in each disk below', async () => {
  const { cluster, stub, read, done, stat, tearDown } = await setUp();
  const faults = faultRegistry(cluster.reactors[0]);
  await cluster.until(faults.add('P', { op: 'read', action: 'delay', stage: 'completion', delay_us: 5 }));
  read('r');
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  stub.complete(1);
  await cluster.untilTrue(() => done.length === 1);
  for (const name of ['P', 'Sp1', 'S']) assert.equal(stat(name).num_read_ops, 1, name);
  await tearDown();
});

test('one that takes too long is told of with its place in the disk that it was submitted to', async () => {
  const { cluster, top, stub, read, tearDown } = await setUp();
  const told: unknown[] = [];
  top.setTimeout(50, ({ ctx, byteOffset }) => void told.push([ctx, byteOffset]));
  const channel = channelOf(cluster, top);
  channel.read(cluster.memory(BLOCK), 0, 9 * BLOCK, BLOCK, () => {}, 'late');
  await cluster.untilTrue(() => told.length > 0);
  assert.deepEqual(told[0], ['late', 9 * BLOCK]);
  stub.complete(1);
  top.setTimeout(0);
  await cluster.untilTrue(() => read('r') === 0);
  stub.complete(1);
  channel.close();
  await tearDown();
});

test('hot removal of the last disk: they end with -ENODEV, and everything above goes', async () => {
  const { cluster, top, stub, read, done } = await setUp();
  read('a');
  const removal = cluster.bdevs.delete('S', 'stub');
  let gone = false;
  void removal.then(() => {
    gone = true;
  });
  await cluster.untilTrue(() => cluster.bdevs.get('S').removing);
  stub.complete(1);
  assert.deepEqual(done, ['a -19']);
  top.close();
  await cluster.untilTrue(() => gone);
  assert.equal(stub.closed, true);
  assert.ok(stubs.destroyed.includes('S'));
  for (const name of ['P', 'Sp0', 'Sp1', 'S']) assert.equal(cluster.bdevs.has(name), false, name);
  assert.throws(() => cluster.on(0, () => BdevDesc.open('P', { write: false, onEvent: () => {} })), { code: 'ENODEV' });
  await cluster.close();
});
