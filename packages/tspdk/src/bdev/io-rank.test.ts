/**
 * More I/Os than the pool of BdevIos holds, each of which needs others on the way: all end, whatever they stand on, and however small the pool.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import '../module/bdev/logwrites/logwrites-bdev.ts';
import '../module/bdev/malloc/malloc-bdev.ts';
import '../module/bdev/passthru/passthru-bdev.ts';
import '../module/bdev/raid/raid-bdev.ts';
import { raidLevelOf } from '../module/bdev/raid/raid-level.ts';
import { raidRegistry } from '../module/bdev/raid/raid-registry.ts';
import '../module/bdev/verify/verify-bdev.ts';
import type { IoBuf } from '../env/iobuf.ts';
import { IoVecs } from '../env/iovecs.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { faultRegistry } from './faults/registry.ts';
import { IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import { bdevManager } from './manager.ts';
import { metadataFormat } from './metadata.ts';
import { ENOMEM } from './status.ts';
import { stubChannel, stubs } from './stub-module.sim.ts';
import { make, setUp, takeBdevIos, takeLargeBuffers } from './stub-setup.sim.ts';

const KIB = 1024;
const BLOCK = 512;
const BYTES = 64 * KIB;
const ROUNDS = 20_000;

const malloc = async (cluster: Cluster, name: string, more: object = {}): Promise<string> => {
  const params = { name, block_size: BLOCK, num_blocks: (32 * BYTES) / BLOCK, ...more };
  await cluster.until(cluster.bdevs.create('malloc', params));
  return name;
};

/** A disk whose every I/O is sixteen. */
const pieces = (cluster: Cluster, name: string) => malloc(cluster, name, { optimal_io_boundary: 8 });

const raid = async (cluster: Cluster, name: string, level: string, baseBdevs: string[], stripSizeKb = 4) => {
  const strip = level === 'raid1' ? 0 : stripSizeKb;
  const params = { name, level: raidLevelOf(level), stripSizeKb: strip, baseBdevs, superblock: false, uuid: undefined };
  await cluster.until(raidRegistry(cluster.reactors[0]).create(params));
  return name;
};

const over = async (cluster: Cluster, kind: 'passthru' | 'verify' | 'logwrites', name: string, more: object) => {
  await cluster.until(cluster.bdevs.create(kind, { name, ...more } as never));
  return name;
};

/** Ends what stub disk `name` has on `core`. */
const finish = (name: string, core: number): void => {
  if (!stubs.channels.get(name)?.some((channel) => channel.core === core)) return;
  const { outstanding } = stubChannel(name, core);
  stubChannel(name, core).complete(outstanding.length);
};

type Submit = (channel: BdevChannel, n: number, cb: (ctx: unknown, status: number) => void) => number;

/** `at`: where in memory. */
const io = (cluster: Cluster, at = 0): Record<string, Submit> => {
  const memory = cluster.memory(BYTES + 4096);
  const iovs = new IoVecs(1);
  iovs.push(memory, 0, BYTES);
  return {
    read: (channel, n, cb) => channel.read(memory, at, (n % 16) * BYTES, BYTES, cb, n),
    write: (channel, n, cb) => channel.write(memory, at, (n % 16) * BYTES, BYTES, cb, n),
    zeroes: (channel, n, cb) => channel.writeZeroes((n % 16) * BYTES, BYTES, 0, cb, n),
    compare: (channel, n, cb) => channel.comparev(iovs, (n % 16) * BYTES, cb, n),
    'compare-and-write': (channel, n, cb) => channel.comparevAndWritev(iovs, iovs, (n % 16) * BYTES, cb, n),
    copy: (channel, n, cb) => channel.copy((16 + (n % 8)) * BYTES, 0, BYTES, cb, n),
  };
};

/** `count` of each kind of I/O on each core, on a pool of `ios`: how many have ended, and with what. */
async function load(
  make: (cluster: Cluster) => Promise<string>,
  {
    ios = 2,
    count = 8,
    reactors = 1,
    cores = [0],
    kinds = ['read', 'write'] as string[],
    at = 0,
    end = (): void => {},
    buffers = true,
  },
): Promise<void> {
  const cluster = await startCluster({ reactors });
  // Before there are any, as those that exist stay.
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: ios, bdev_io_cache_size: 1 }));
  const name = await make(cluster);
  await cluster.until(cluster.bdevs.waitForExamine());
  const submits = io(cluster, at);
  const taken: IoBuf[] = [];
  const { iobuf } = cluster.reactors[0];
  if (!buffers) for (let buf = iobuf.getLarge(); buf !== null; buf = iobuf.getLarge()) taken.push(buf);
  const ended: string[] = [];
  const wanted: string[] = [];
  const descs = cores.map((core) => cluster.on(core, () => BdevDesc.open(name, { write: true, onEvent: () => {} })));
  for (const [i, core] of cores.entries()) {
    const channel = cluster.on(core, () => descs[i].getIoChannel());
    for (const kind of kinds) {
      for (let n = 0; n < count; n++) {
        const label = `${kind} ${n} on ${core}`;
        wanted.push(`${label}: 0`);
        const onReady = (): void => {
          const rc = submits[kind](channel, n, (_, status) => void ended.push(`${label}: ${status}`));
          if (rc === ENOMEM) channel.queueIoWait({ onReady });
          else assert.equal(rc, 0);
        };
        cluster.on(core, onReady);
      }
    }
  }
  for (let round = 0; round < ROUNDS && ended.length < wanted.length; round++) {
    end();
    cluster.round();
  }
  assert.deepEqual(ended.toSorted(), wanted.toSorted());
  for (const buf of taken) iobuf.put(buf);
  for (const desc of descs) desc.close();
  for (const reactor of cluster.reactors) {
    const { pool } = reactor.local(bdevManager);
    assert.deepEqual([pool.used, pool.waiting], [0, 0]);
  }
  await cluster.close();
}

const ALL = ['read', 'write', 'zeroes', 'compare', 'compare-and-write', 'copy'];

test('a disk that takes I/Os in pieces', async () => {
  for (const ios of [1, 2, 4]) await load((cluster) => pieces(cluster, 'P'), { ios });
});

test('emulations, of a disk that takes I/Os in pieces', () =>
  load(async (cluster) => over(cluster, 'passthru', 'T', { base_bdev_name: await pieces(cluster, 'P') }), {
    kinds: ALL,
  }));

test('passthru, over raid0, over disks in pieces', () =>
  load(
    async (cluster) => {
      const members = [await pieces(cluster, 'A'), await pieces(cluster, 'B')];
      await raid(cluster, 'R', 'raid0', members, 16);
      return over(cluster, 'passthru', 'T', { base_bdev_name: 'R' });
    },
    { kinds: ALL },
  ));

test('raid1 and raid5f', async () => {
  for (const level of ['raid1', 'raid5f']) {
    await load(
      async (cluster) => {
        const members = await Promise.all(['A', 'B', 'C'].map((name) => pieces(cluster, name)));
        return raid(cluster, 'R', level, members, 32);
      },
      { kinds: ['read', 'write'] },
    );
  }
});

test('verify of raid1 and a disk in pieces, from two cores', () =>
  load(
    async (cluster) => {
      const members = await Promise.all(['A', 'B'].map((name) => pieces(cluster, name)));
      await raid(cluster, 'R', 'raid1', members);
      return over(cluster, 'verify', 'V', { base_bdev_name: 'R', mirror_bdev_name: await pieces(cluster, 'M') });
    },
    { reactors: 2, cores: [0, 1], kinds: ['read', 'write', 'compare', 'copy'] },
  ));

test('logwrites, from two cores', () =>
  load(
    async (cluster) =>
      over(cluster, 'logwrites', 'L', {
        base_bdev_name: await pieces(cluster, 'A'),
        log_bdev_name: await malloc(cluster, 'Log', { num_blocks: (128 * BYTES) / BLOCK, optimal_io_boundary: 8 }),
      }),
    { reactors: 2, cores: [0, 1] },
  ));

/** The layer's chain of one I/O at its longest: each child is from the next lower place. */
const longest = async (cluster: Cluster, name: string, homeCore = -1): Promise<string> => {
  await make(cluster, {
    name,
    homeCore,
    ioTypes: ioTypes(IO_READ, IO_WRITE),
    blocks: (32 * BYTES) / BLOCK,
    limits: { optimalIoBoundaryBlocks: 8, splitOnOptimalIoBoundary: true, requiredAlignmentBytes: 4096 },
    // Not where it lives on one core.
    ...(homeCore < 0
      ? { metadata: metadataFormat({ bytes: 8, interleaved: false, difType: 1, difIsHeadOfMd: false }) }
      : {}),
  });
  const rule = { op: 'all', action: 'delay', stage: 'submission', delay_us: 1 } as const;
  await cluster.until(faultRegistry(cluster.reactors[0]).add(name, rule));
  return name;
};

test('all that the layer makes of an I/O, at once: faults, emulations, protection, pieces, alignment', async () => {
  for (const ios of [1, 4, 16]) {
    await load((cluster) => longest(cluster, `longest ${ios}`), {
      ios,
      count: 24,
      kinds: ['read', 'write', 'compare', 'compare-and-write'],
      at: 4,
      end: () => finish(`longest ${ios}`, 0),
    });
  }
});

test('so with no buffers but those of the reserve', async () => {
  const kinds = [['copy'], ['compare'], ALL];
  for (const [i, each] of kinds.entries()) {
    const name = `longest ${i} of no buffers`;
    await load((cluster) => longest(cluster, name, 0), {
      ios: 16,
      count: 24,
      kinds: each,
      at: 4,
      end: () => finish(name, 0),
      buffers: false,
    });
  }
});

test('what goes through a buffer is not more than a disk of small segments takes, which would then be pieces: all that waited for buffers ends', async () => {
  for (const segment of [BLOCK, 4 * KIB]) {
    const wants = { requiredAlignmentBytes: BLOCK, maxSegmentBytes: segment, maxSegments: 16 };
    const { cluster, channel, stub, done, cb, tearDown } = await setUp({ blocks: 16 * segment, limits: wants });
    const ios = 16;
    await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: ios, bdev_io_cache_size: 1 }));
    const memory = cluster.memory(ios * 17 * segment);
    const { iobuf } = cluster.reactors[0];
    const held = takeLargeBuffers(iobuf);
    for (let n = 0; n < ios; n++) {
      const iovs = new IoVecs(16);
      for (let i = 0; i < 16; i++) iovs.push(memory, 1 + (n * 16 + i) * (segment + 3), segment);
      assert.equal(channel.readv(iovs, n * 16 * segment, cb, n), 0);
    }
    const { pool } = channel.shared.manager;
    assert.deepEqual([pool.used, stub.outstanding.length], [ios, 0], 'nobody has a child yet');
    for (const buf of held) iobuf.put(buf);
    for (let round = 0; round < ROUNDS && done.length < ios; round++) {
      stub.complete(1);
      cluster.round();
    }
    assert.deepEqual(done.toSorted(), Array.from({ length: ios }, (_, n) => `${n} 0`).toSorted());
    assert.deepEqual([pool.used, pool.waiting], [0, 0]);
    await tearDown();
  }
});

/** As many legs as there are BdevIos for them, before any of them goes on. */
test('a mirror of many members, which have faults', () =>
  load(
    async (cluster) => {
      const members = await Promise.all(Array.from({ length: 40 }, (_, i) => malloc(cluster, `M${i}`)));
      const rule = { op: 'all', action: 'delay', stage: 'submission', delay_us: 1 } as const;
      for (const name of members) await cluster.until(faultRegistry(cluster.reactors[0]).add(name, rule));
      return raid(cluster, 'R', 'raid1', members);
    },
    { ios: 1, count: 2, kinds: ['write'] },
  ));

test('so from another core', () =>
  load((cluster) => longest(cluster, 'longest away', 0), {
    ios: 4,
    count: 24,
    reactors: 2,
    cores: [1],
    kinds: ALL,
    at: 4,
    end: () => finish('longest away', 0),
  }));

/** What a disk below refuses for lack of a BdevIo waits in the pool for its turn, not for a while. */
test('an I/O that a module could not pass on for lack of a BdevIo waits for one in the pool; an abort takes it out', async () => {
  const cluster = await startCluster();
  const base_bdev_name = await pieces(cluster, 'P');
  await over(cluster, 'passthru', 'T', { base_bdev_name });
  await cluster.until(cluster.bdevs.waitForExamine());
  const desc = cluster.on(0, () => BdevDesc.open('T', { write: true, onEvent: () => {} }));
  const channel = cluster.on(0, () => desc.getIoChannel());
  const { pool } = channel.shared.manager;
  const memory = cluster.memory(4 * KIB);
  const read = (n: number): number => channel.read(memory, 0, 0, 4 * KIB, cb, n);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  pool.setOptions({ ios: 8, growBy: 1 });
  let giveBack = takeBdevIos(pool, 1);
  assert.equal(read(1), 0);
  assert.deepEqual([pool.waiting, channel.shared.queued], [1, 1]);
  cluster.settle();
  assert.equal(pool.waiting, 1);
  giveBack();
  assert.deepEqual([pool.waiting, channel.shared.queued], [0, 0], 'at once');
  cluster.settle();
  assert.deepEqual(done, ['1 0']);
  giveBack = takeBdevIos(pool, 1);
  assert.equal(read(2), 0);
  assert.equal(channel.abort(2), 1);
  assert.equal(pool.waiting, 0);
  cluster.turns();
  assert.equal(done.at(-1), '2 -125');
  giveBack();
  giveBack = takeBdevIos(pool, 1);
  assert.equal(read(3), 0);
  const gone = cluster.bdevs.delete('T');
  await cluster.untilTrue(() => done.at(-1) === '3 -19');
  assert.equal(pool.waiting, 0, 'nor does what the removal of its disk has ended');
  giveBack();
  desc.close();
  await cluster.until(gone);
  await cluster.close();
});

test('so on the home core of a disk', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await over(cluster, 'logwrites', 'L', {
    base_bdev_name: await pieces(cluster, 'A'),
    log_bdev_name: await malloc(cluster, 'Log', { num_blocks: (128 * BYTES) / BLOCK }),
  });
  await cluster.until(cluster.bdevs.waitForExamine());
  const desc = cluster.on(1, () => BdevDesc.open('L', { write: true, onEvent: () => {} }));
  const channel = cluster.on(1, () => desc.getIoChannel());
  const { pool } = cluster.reactors[0].local(bdevManager);
  const memory = cluster.memory(4 * KIB);
  const read = (n: number): number => channel.read(memory, 0, 0, 4 * KIB, cb, n);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  pool.setOptions({ ios: 8, growBy: 1 });
  let giveBack = takeBdevIos(pool, 1);
  assert.equal(read(1), 0);
  cluster.turns();
  assert.deepEqual([pool.waiting, channel.shared.queued], [1, 0], 'home keeps it');
  giveBack();
  assert.equal(pool.waiting, 0);
  cluster.settle();
  assert.deepEqual(done, ['1 0']);
  giveBack = takeBdevIos(pool, 1);
  assert.equal(read(2), 0);
  cluster.turns();
  assert.equal(channel.abort(2), 1);
  cluster.turns();
  assert.deepEqual([done.at(-1), pool.waiting], ['2 -125', 0]);
  giveBack();
  assert.equal(pool.used, 0);
  desc.close();
  await cluster.close();
});
