/**
 * Every allocation and every submission of the layer fails once: for each kind of I/O, for each n, the n-th BdevIo, buffer, block of the shared heap or call of the module. Each time the I/O
 * ends as it should, nothing is held any more, and the next I/O works.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import type { IoBuf } from '../env/iobuf.ts';
import { IoVecs } from '../env/iovecs.ts';
import '../module/bdev/malloc/malloc-bdev.ts';
import '../module/bdev/passthru/passthru-bdev.ts';
import type { BdevIo } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { bdevManager } from './manager.ts';
import { EIO, ENOMEM } from './status.ts';
import { runIo, takeLargeBuffers } from './stub-setup.sim.ts';
import type { ThreadChannel } from './thread-channel.ts';

const BLOCK = 512;

interface World {
  readonly cluster: Cluster;
  readonly channel: BdevChannel;
  /** 64 KiB of ones, which the disk's first blocks hold as well; and as many of the memory behind. */
  readonly equal: IoVecs;
  readonly other: IoVecs;
}

type Start = (world: World, cb: (ctx: unknown, status: number) => void) => number;

/** One of each that the layer has a way of its own for. */
const kinds: Record<string, Start> = {
  read: ({ channel, other }, cb) => channel.readv(other, 0, cb, null),
  write: ({ channel, equal }, cb) => channel.writev(equal, 65536, cb, null),
  unmap: ({ channel }, cb) => channel.unmap(0, 65536, cb, null),
  zeroes: ({ channel }, cb) => channel.writeZeroes(0, 65536, 0, cb, null),
  flush: ({ channel }, cb) => channel.flush(0, 65536, cb, null),
  compare: ({ channel, equal }, cb) => channel.comparev(equal, 0, cb, null),
  'compare-and-write': ({ channel, equal, other }, cb) => channel.comparevAndWritev(equal, other, 0, cb, null),
  copy: ({ channel }, cb) => channel.copy(131072, 0, 65536, cb, null),
  reset: ({ channel }, cb) => channel.reset(cb, null),
};

/** What fails: how it is made to, at the n-th time; the statuses that are right then. Gives back how often it was asked. */
interface Failure {
  readonly statuses: readonly number[];
  install(world: World, n: number): { readonly calls: () => number; readonly remove: () => void };
}

/** Replaces `object[key]` by what calls `instead` the n-th time. */
function nth<K extends string>(
  object: object,
  key: K,
  n: number,
  instead: (original: (...args: never[]) => unknown) => unknown,
) {
  const target = object as Record<K, (...args: never[]) => unknown>;
  const original = target[key];
  const own = Object.hasOwn(target, key);
  let calls = 0;
  target[key] = ((...args: never[]) => {
    calls++;
    return calls === n
      ? instead((...rest) => original.apply(target, rest.length > 0 ? rest : args))
      : original.apply(target, args);
  }) as (typeof target)[K];
  const remove = (): void => {
    if (own) target[key] = original;
    else delete (target as Partial<typeof target>)[key];
  };
  return { calls: () => calls, remove };
}

/** The channels with the modules, from the disk under test down. */
function threadChannels(cluster: Cluster): ThreadChannel[] {
  return [...cluster.reactors[0].local(bdevManager).byId.values()].flatMap((bdev) => [...bdev.channels]);
}

function submission(fail: (io: BdevIo) => void): Failure['install'] {
  return ({ cluster }, n) => {
    let calls = 0;
    const removes = threadChannels(cluster).map(({ backend }) => {
      const original = backend.submit.bind(backend);
      backend.submit = (io) => {
        if (++calls === n) fail(io);
        else original(io);
      };
      return () => void delete (backend as { submit?: unknown }).submit;
    });
    const remove = (): void => {
      for (const each of removes) each();
    };
    return { calls: () => calls, remove };
  };
}

const failures: Record<string, Failure> = {
  'no BdevIo': {
    // The caller's own is refused; the layer's wait.
    statuses: [0, ENOMEM],
    install: ({ cluster }, n) => {
      const { pool } = cluster.reactors[0].local(bdevManager);
      return nth(pool, 'get', n, () => {
        // All are borrowed, until the next turn.
        setImmediate(() => pool.wake());
        return null;
      });
    },
  },
  'no buffer': {
    statuses: [0],
    install: ({ cluster }, n) => {
      const { iobuf } = cluster.reactors[0];
      return nth(iobuf, 'getLargeOf', n, (original) => {
        const taken = takeLargeBuffers({ getLargeOf: original as (rank: number) => IoBuf | null });
        setImmediate(() => {
          for (const buf of taken) iobuf.put(buf);
        });
        return null;
      });
    },
  },
  'no room in the shared heap': {
    statuses: [0, ENOMEM],
    install: ({ cluster }, n) =>
      nth(cluster.reactors[0].heap, 'alloc', n, () => {
        throw new SpdkError('ENOMEM', 'on purpose');
      }),
  },
  'a module without memory': { statuses: [0], install: submission((io) => io.complete(ENOMEM)) },
  'a module that fails': { statuses: [EIO], install: submission((io) => io.complete(EIO)) },
  'a module that throws': {
    statuses: [EIO],
    install: submission(() => {
      throw new Error('on purpose');
    }),
  },
};

/** How many large buffers nobody has. */
function freeBuffers(cluster: Cluster): number {
  const { iobuf } = cluster.reactors[0];
  const taken = takeLargeBuffers(iobuf);
  for (const buf of taken) iobuf.put(buf);
  return taken.length;
}

/** A disk whose I/Os are split, emulated and passed on, its first 64 KiB full of ones. */
async function setUp(): Promise<World & { readonly buffers: number; close(): Promise<void> }> {
  const cluster = await startCluster();
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: BLOCK, num_blocks: 1024 }));
  await cluster.until(cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'M' }));
  const buffers = freeBuffers(cluster);
  const desc = cluster.on(0, () => BdevDesc.open('P', { write: true, onEvent: () => {} }));
  const channel = cluster.on(0, () => desc.getIoChannel());
  const memory = cluster.memory(131072);
  memory.u8.fill(1, 0, 65536);
  const [equal, other] = [new IoVecs(2), new IoVecs(2)];
  for (const [iovs, at] of [
    [equal, 0],
    [other, 65536],
  ] as const) {
    iovs.push(memory, at, 1000);
    iovs.push(memory, at + 1000, 64536);
  }
  assert.equal(await runIo(cluster, (cb) => channel.writev(equal, 0, cb, null)), 0);
  const close = async (): Promise<void> => {
    desc.close();
    await cluster.close();
  };
  return { cluster, channel, equal, other, buffers, close };
}

for (const [what, { statuses, install }] of Object.entries(failures)) {
  test(`${what}, once, at every place of every kind of I/O`, async () => {
    let places = 0;
    for (const [kind, start] of Object.entries(kinds)) {
      for (let n = 1, more = true; more; n++) {
        const world = await setUp();
        const { cluster, channel, equal } = world;
        const { pool } = cluster.reactors[0].local(bdevManager);
        const installed = install(world, n);
        const status = await runIo(cluster, (cb) => start(world, cb));
        more = installed.calls() >= n;
        installed.remove();
        const right = more && what !== 'no buffer' ? statuses : [0];
        assert.ok(right.includes(status), `${kind}, place ${n}: ${status}`);
        if (more) places++;
        assert.equal(pool.used, 0, `${kind}, place ${n}: a BdevIo is held`);
        assert.equal(
          await runIo(cluster, (cb) => channel.writev(equal, 0, cb, null)),
          0,
          `${kind}, place ${n}: the next one`,
        );
        assert.equal(await runIo(cluster, (cb) => channel.comparev(equal, 0, cb, null)), 0);
        const thrown = cluster.faults.splice(0).map(String);
        assert.deepEqual(thrown, more && what === 'a module that throws' ? ['Error: on purpose'] : []);
        assert.equal(freeBuffers(cluster), world.buffers, `${kind}, place ${n}: a buffer is held`);
        await world.close();
      }
    }
    assert.ok(places > 0, 'nothing was made to fail');
  });
}
