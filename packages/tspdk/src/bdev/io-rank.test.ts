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
import { IoVecs } from '../env/iovecs.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { bdevManager } from './manager.ts';
import { ENOMEM } from './status.ts';

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

type Submit = (channel: BdevChannel, n: number, cb: (ctx: unknown, status: number) => void) => number;

const io = (cluster: Cluster): Record<string, Submit> => {
  const memory = cluster.memory(BYTES + 4096);
  const iovs = new IoVecs(1);
  iovs.push(memory, 0, BYTES);
  return {
    read: (channel, n, cb) => channel.read(memory, 0, (n % 16) * BYTES, BYTES, cb, n),
    write: (channel, n, cb) => channel.write(memory, 0, (n % 16) * BYTES, BYTES, cb, n),
    zeroes: (channel, n, cb) => channel.writeZeroes((n % 16) * BYTES, BYTES, 0, cb, n),
    compare: (channel, n, cb) => channel.comparev(iovs, (n % 16) * BYTES, cb, n),
    'compare-and-write': (channel, n, cb) => channel.comparevAndWritev(iovs, iovs, (n % 16) * BYTES, cb, n),
    copy: (channel, n, cb) => channel.copy((16 + (n % 8)) * BYTES, 0, BYTES, cb, n),
  };
};

/** `count` of each kind of I/O on each core, on a pool of `ios`: how many have ended, and with what. */
async function load(
  make: (cluster: Cluster) => Promise<string>,
  { ios = 2, count = 8, reactors = 1, cores = [0], kinds = ['read', 'write'] as string[] },
): Promise<void> {
  const cluster = await startCluster({ reactors });
  // Before there are any, as those that exist stay.
  await cluster.until(cluster.bdevs.setOptions({ bdev_io_pool_size: ios, bdev_io_cache_size: 1 }));
  const name = await make(cluster);
  await cluster.until(cluster.bdevs.waitForExamine());
  const submits = io(cluster);
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
  for (let round = 0; round < ROUNDS && ended.length < wanted.length; round++) cluster.round();
  assert.deepEqual(ended.toSorted(), wanted.toSorted());
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
