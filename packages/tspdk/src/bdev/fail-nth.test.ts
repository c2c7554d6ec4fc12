/**
 * Every allocation and every submission fails once: on each kind of disk (fail-nth.sim.ts), for each kind of I/O, for each n, the n-th BdevIo, buffer, block of the shared heap or call of a
 * module, on whatever core. Each time the I/O ends as it should, nothing is held any more, and the next I/O works.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import type { BdevIo } from './bdev-io.ts';
import { BYTES, type DiskKind, diskKinds, World } from './fail-nth.sim.ts';
import { bdevManager } from './manager.ts';
import { EIO, ENOMEM } from './status.ts';
import { takeLargeBuffers } from './stub-setup.sim.ts';

type Start = (world: World, cb: (ctx: unknown, status: number) => void) => number;

/** One of each that the layer has a way of its own for. */
const kinds: Record<string, Start> = {
  read: ({ channel, other }, cb) => channel.readv(other, 0, cb, null),
  write: ({ channel, equal }, cb) => channel.writev(equal, BYTES, cb, null),
  unmap: ({ channel }, cb) => channel.unmap(0, BYTES, cb, null),
  zeroes: ({ channel }, cb) => channel.writeZeroes(0, BYTES, 0, cb, null),
  flush: ({ channel }, cb) => channel.flush(0, BYTES, cb, null),
  compare: ({ channel, equal }, cb) => channel.comparev(equal, 0, cb, null),
  'compare-and-write': ({ channel, equal, other }, cb) => channel.comparevAndWritev(equal, other, 0, cb, null),
  copy: ({ channel }, cb) => channel.copy(2 * BYTES, 0, BYTES, cb, null),
  reset: ({ channel }, cb) => channel.reset(cb, null),
};

/** What has been made to fail: how often it was asked, and what is right then. */
interface Installed {
  calls(): number;
  readonly statuses: readonly number[];
  remove(): void;
}

/** What fails: makes it, at the n-th time. */
type Failure = (world: World, n: number) => Installed;

/** Replaces `key` of all `objects` by what calls `instead` the n-th time that any of them is called. */
function nth<T extends object>(
  objects: readonly T[],
  key: keyof T & string,
  n: number,
  instead: (object: T, original: () => unknown, args: readonly unknown[]) => unknown,
) {
  let calls = 0;
  const removes = objects.map((object) => {
    const target = object as Record<string, unknown>;
    const original = target[key] as (...args: unknown[]) => unknown;
    const own = Object.hasOwn(target, key);
    target[key] = (...args: unknown[]): unknown => {
      const call = () => original.apply(target, args);
      return ++calls === n ? instead(object, call, args) : call();
    };
    return () => {
      if (own) target[key] = original;
      else delete target[key];
    };
  });
  const remove = (): void => {
    for (const each of removes) each();
  };
  return { calls: () => calls, remove };
}

/** All are taken, until the next turn. */
const noBuffers: Failure = ({ cluster }, n) => {
  const pools = cluster.reactors.map(({ iobuf }) => iobuf);
  const installed = nth(pools, 'getLargeOf', n, (iobuf) => {
    const { getLargeOf } = Object.getPrototypeOf(iobuf) as typeof iobuf;
    const taken = takeLargeBuffers({ getLargeOf: (rank) => getLargeOf.call(iobuf, rank) });
    setImmediate(() => {
      for (const buf of taken) iobuf.put(buf);
    });
    return null;
  });
  return { ...installed, statuses: [0] };
};

/** A module's `submit`. `failed`: that is an error of the disk that it was submitted to. */
const submission =
  (fail: (io: BdevIo) => void, failed: boolean): Failure =>
  (world, n) => {
    const { backends } = world;
    const objects = backends.map(({ backend }) => backend);
    const statuses: number[] = [];
    const installed = nth(objects, 'submit', n, (backend, _, [io]) => {
      statuses.push(failed ? world.errorOf(backends[objects.indexOf(backend)].name) : 0);
      fail(io as BdevIo);
    });
    return { ...installed, statuses };
  };

const failures: Record<string, Failure> = {
  'no BdevIo': ({ cluster }, n) => {
    const pools = cluster.reactors.map((reactor) => reactor.local(bdevManager).pool);
    const installed = nth(pools, 'get', n, (pool) => {
      // All are borrowed, until the next turn.
      setImmediate(() => pool.wake());
      return null;
    });
    // The caller's own is refused; the layer's wait.
    return { ...installed, statuses: [0, ENOMEM] };
  },
  'no buffer': noBuffers,
  'no parity buffer': (world, n) => ({ ...nth(world.raidBackends, 'takeBuffer', n, () => -1), statuses: [0] }),
  'no room in the shared heap': ({ cluster }, n) => {
    const heaps = cluster.reactors.map(({ heap }) => heap);
    const installed = nth(heaps, 'alloc', n, () => {
      throw new SpdkError('ENOMEM', 'on purpose');
    });
    return { ...installed, statuses: [0, ENOMEM] };
  },
  'a module without memory': submission((io) => io.complete(ENOMEM), false),
  'a module that fails': submission((io) => io.complete(EIO), true),
  'a module that throws': submission(() => {
    throw new Error('on purpose');
  }, true),
};
const ERRORS = ['a module that fails', 'a module that throws'];

/** One kind of I/O with one failure at one place: whether there was such a place. */
async function once(disk: DiskKind, start: Start, failure: string, n: number, when: string): Promise<boolean> {
  const world = await World.start(disk);
  const installed = failures[failure](world, n);
  const status = await world.run((cb) => start(world, cb));
  const struck = installed.calls() >= n;
  installed.remove();
  await world.heal();
  const right = struck ? installed.statuses : [0];
  assert.ok(right.includes(status), `${when}: it ends with ${status}, not with ${right.join(' or ')}`);
  await world.heldNothing(when);
  if (!ERRORS.includes(failure)) assert.ok(world.whole, `${when}: no member failed, and one was dropped`);
  await world.works(when);
  await world.heldNothing(when);
  const thrown = world.cluster.faults.splice(0).map(String);
  assert.deepEqual(thrown, struck && failure === 'a module that throws' ? ['Error: on purpose'] : [], when);
  await world.close();
  return struck;
}

for (const [what, disk] of Object.entries(diskKinds)) {
  test(`${what}: each kind of I/O, with each failure once at every place`, async (t) => {
    const places: Record<string, number> = {};
    for (const failure of Object.keys(failures)) {
      if (disk.stopsAtErrors === true && ERRORS.includes(failure)) continue;
      for (const [kind, start] of Object.entries(kinds)) {
        if (disk.lacks?.includes(kind) === true) continue;
        for (let n = 1; await once(disk, start, failure, n, `${failure}, ${kind}, place ${n}`); n++) {
          places[failure] = (places[failure] ?? 0) + 1;
        }
      }
    }
    t.diagnostic(JSON.stringify(places));
    for (const failure of disk.must) assert.ok(places[failure] > 0, `${failure} has found no place`);
  });
}
