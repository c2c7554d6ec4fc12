/**
 * One run of random I/O on a random stack of disks, from several cores and threads at once: every I/O ends once, with a status that something explains; what is read is what was written; memory beside an I/O's
 * own stays as it is; and in the end nothing is held any more. Meanwhile disks in the middle go and come back, ranges are at rest, rates are limited, pools are small, disks fail.
 */
import assert from 'node:assert/strict';
import { type Bdev, BdevDesc, bdevRegistry, faultRegistry, type IoStatKind } from '../bdev/index.ts';
import { bdevManager } from '../bdev/manager.ts';
import { EINVAL, EIO, ENODEV } from '../bdev/status.ts';
import type { App } from '../event/index.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { BaseIo } from '../module/bdev/raid/base-io.ts';
import type { Sim } from './simulate.ts';
import { Stack, type StackDisk } from './stack.sim.ts';
import {
  addFaults,
  bounce,
  grow,
  limitRates,
  namesUnder,
  pull,
  removable,
  remove,
  resizePools,
  rest,
  spares,
  takeAll,
  unlessGone,
  visit,
} from './stack-events.sim.ts';
import { slotBytes } from './stack-memory.sim.ts';
import { StackModel } from './stack-model.sim.ts';
import type { Overlap, StackLoad, UserKind } from './stack-op.sim.ts';
import { StackUser } from './stack-user.sim.ts';

/** What goes on in one run beside I/O. */
interface Plan {
  readonly fewPieces: boolean;
  readonly aborts: boolean;
  readonly resets: boolean;
  readonly errors: boolean;
  readonly overlap: Overlap;
  readonly smallPool: boolean;
  readonly rates: boolean;
  readonly rests: boolean;
  /** Others look at disks in the middle, and reset them. */
  readonly visits: boolean;
  /** Members of RAIDs are pulled out, as far as those can spare them. */
  readonly pulls: boolean;
  /** A disk is removed, and what stands on it goes for good. */
  readonly removes: boolean;
  readonly grows: boolean;
  /** Somebody takes all of the heap and of the I/O buffers for a while. */
  readonly hoards: boolean;
}

function drawPlan({ random }: Sim): Plan {
  const calm = random.chance(0.3);
  return {
    fewPieces: random.chance(0.15),
    aborts: !calm && random.chance(0.5),
    resets: !calm && random.chance(0.5),
    errors: !calm && random.chance(0.25),
    overlap: random.pick(['none', 'reads', 'all'] as const),
    smallPool: random.chance(0.3),
    rates: random.chance(0.2),
    rests: random.chance(0.4),
    visits: !calm && random.chance(0.3),
    pulls: random.chance(0.3),
    removes: !calm && random.chance(0.15),
    grows: random.chance(0.3),
    hoards: random.chance(0.25),
  };
}

/** All users, to their end. */
function run(sim: Sim, app: App, load: StackLoad, users: number, failed: Promise<never>): Promise<void> {
  const { random } = sim;
  let left = users;
  const ended = new Promise<void>((resolve) => {
    for (let i = 0; i < users; i++) {
      sim.at(random.pick(app.cores), random.int(20), (reactor) => {
        new StackUser(load, reactor, i, 5 + random.int(40), () => void (--left === 0 && resolve())).open();
      });
    }
  });
  return Promise.race([ended, failed]);
}

/** All of the disk, as one reads it who comes after. */
async function checkAll(app: App, load: StackLoad): Promise<void> {
  const { model, top, window } = load;
  const options = { write: false, reactor: app.reactor, hideMetadata: load.bare, onEvent: () => {} };
  const desc = BdevDesc.open(top, options);
  const step = Math.floor(65536 / model.blockBytes);
  const memory = await app.shareSegment(step * model.blockBytes);
  let io: BaseIo | null = null;
  try {
    io = new BaseIo(desc);
    for (let first = 0; first < model.blocks; first += step) {
      const count = Math.min(step, model.blocks - first);
      const bytes = count * model.blockBytes;
      const status: number = await io.read(memory, 0, first * model.blockBytes, bytes);
      if (load.ends && status === ENODEV) return;
      assert.equal(status, 0, `reading ${count} blocks at ${first} of ${top}, used from ${window[0]} to ${window[1]}`);
      const read = model.beginRead(first, count);
      model.check(read, memory.u8.subarray(0, bytes));
      model.endRead(read);
    }
  } finally {
    io?.close();
    desc.close();
    await app.dropSegment(memory);
  }
}

/** Nobody holds or waits for anything. */
async function checkIdle(sim: Sim, app: App): Promise<void> {
  for (const core of app.cores) {
    await new Promise<void>((resolve, reject) => {
      sim.at(core, 0, (reactor) => {
        try {
          const { pool, byId } = reactor.local(bdevManager);
          assert.equal(pool.waiting, 0, 'nobody waits for a BdevIo');
          assert.equal(pool.used, 0, 'every BdevIo is back');
          for (const { channels, name } of byId.values()) {
            for (const { outstanding, queued, layered, resets } of channels) {
              assert.deepEqual(
                { outstanding, queued, layered, resets },
                { outstanding: 0, queued: 0, layered: 0, resets: 0 },
                name,
              );
            }
          }
          resolve();
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}

/** What the disk has counted is what its users did, where all went well. What the layer makes of an I/O counts as that: a compare as reads, a copy as both, unless a fault struck it. */
async function checkStat(app: App, load: StackLoad): Promise<void> {
  const [{ bdev, stat }] = await bdevRegistry(app.reactor).stat([load.top]);
  const done = (...kinds: UserKind[]) => kinds.reduce((sum, kind) => sum + (load.done.get(kind) ?? 0), 0);
  const { dataBytes, blockBytes } = bdev.metadata ?? { dataBytes: 1, blockBytes: 1 };
  const counted = (kind: IoStatKind) => (stat.counts(kind).bytes / blockBytes) * (load.bare ? dataBytes : blockBytes);
  const read = done('read', 'in-place read');
  const written = done('write', 'in-place write', 'compare-and-write');
  assert.equal(counted('unmap'), done('unmap'), 'bytes unmapped');
  assert.ok(counted('copy') <= done('copy'), 'bytes copied');
  assert.ok(counted('read') >= read + done('copy') - counted('copy'), 'bytes read');
  const least = written + done('copy') - counted('copy');
  const native = stat.counts('write').bytes;
  assert.ok(
    counted('write') <= least + done('zero'),
    `${native} bytes written, ${least} and ${done('zero')} of zeroes`,
  );
  assert.ok(counted('write') >= least - done('compare-and-write'), `${native} bytes written, at least ${least}`);
}

/** One run's parts. */
interface Scene {
  readonly sim: Sim;
  readonly app: App;
  readonly plan: Plan;
  readonly stack: Stack;
  readonly load: StackLoad;
  readonly users: number;
  /** Rejects with the first thing that a user finds wrong. */
  readonly failure: Promise<never>;
  /** Any disk may fail. */
  readonly errors: boolean;
  /** The member of a RAID that fails; null: none does. */
  readonly victim: StackDisk | null;
  /** What goes and comes back; null: nothing. */
  readonly bounced: StackDisk | null;
}

/** What one who uses a disk has to know of it. */
function geometryOf({ random }: Sim, bdev: Bdev, stack: Stack) {
  const { metadata, blocks, blockSizeBytes } = bdev;
  const bare = metadata !== null && (metadata.protects || !metadata.format.interleaved || random.chance(0.5));
  const dataBytes = metadata?.dataBytes ?? blockSizeBytes;
  // Half a stripe is nothing, once a member is missing.
  const holes = stack.has('raid5f');
  const model = new StackModel({ blocks, blockBytes: bare ? dataBytes : blockSizeBytes, dataBytes, holes });
  const unit = Math.max(1, bdev.limits.writeUnitBlocks);
  const used = Math.min(blocks, Math.max(3 * unit, random.pick([8, 24, 64])));
  const begin = unit * random.int(Math.floor((blocks - used) / unit) + 1);
  return {
    bare,
    model,
    unit,
    window: [begin, begin + used],
    most: Math.max(unit, blockSizeBytes > 4000 ? 5 : 20),
  } as const;
}

/** A failure, and how users tell it. */
function failureOf(sim: Sim) {
  let reject: ((error: unknown) => void) | null = null;
  const failure = new Promise<never>((_, rejects) => {
    reject = rejects;
  });
  failure.catch(() => {});
  const failed = (error: unknown): void => {
    if (reject === null) return;
    // Users who are in the middle of something may well hang then.
    sim.logs.push({ ...sim.logs[0], text: `the first failure: ${error instanceof Error ? error.stack : error}` });
    reject(error);
    reject = null;
  };
  return { failure, failed };
}

/** Makes the disks and all that is to happen to them. */
async function prepare(sim: Sim, app: App, plan: Plan, stack: Stack): Promise<Scene> {
  const { random } = sim;
  const registry = bdevRegistry(app.reactor);
  const top = await stack.build(random.int(6));
  // For the message of a failure.
  sim.logs.push({ ...sim.logs[0], text: `${stack} ${JSON.stringify(plan)}` });
  await registry.waitForExamine();
  const errors = plan.errors && !stack.has('raid1', 'raid5f', 'verify');
  // One member of a RAID may fail, if all else is there; a verify disk takes it for a difference.
  const sound = !plan.errors || errors || stack.has('verify') || plan.removes;
  const victim = sound ? null : random.pick(spares(stack, sim));
  const failing = errors ? registry.list().map(({ name }) => name) : victim === null ? [] : namesUnder(victim);
  await addFaults(sim, app, failing);
  if (plan.smallPool) {
    await registry.setOptions({ bdev_io_pool_size: random.pick([1, 2, 3, 8]), bdev_io_cache_size: 1 });
  }
  const geometry = geometryOf(sim, registry.get(top.name), stack);
  const way = removable(top);
  const bounced = !plan.removes && way.length > 0 && random.chance(0.4) ? random.pick(way) : null;
  const users = 1 + random.int(5);
  const depth = random.pick([1, 2, 4, 8]);
  const { failure, failed } = failureOf(sim);
  const load: StackLoad = {
    ...{ ...geometry, sim, top: top.name, depth, failed, aborts: plan.aborts, resets: plan.resets, ends: plan.removes },
    memory: await app.shareSegment(users * depth * slotBytes(geometry)),
    // Ranges of a raid5f that are read and written at once have no content.
    overlap: stack.has('raid5f') ? 'none' : plan.overlap,
    allowed: new Set([
      ...(errors ? [EIO] : []),
      ...(bounced !== null || plan.removes ? [ENODEV] : []),
      // A block in more pieces than a disk takes is refused.
      ...(plan.fewPieces ? [EINVAL] : []),
    ]),
    resting: new Set(),
    parked: [],
    count: { begun: 0, ended: 0, failed: 0, resets: 0, resetting: 0 },
    done: new Map(),
  };
  return { sim, app, plan, stack, load, users, failure, errors, victim, bounced };
}

/** Begins what happens beside I/O. */
function disturb({ sim, app, plan, stack, load, victim, bounced }: Scene): Promise<void>[] {
  const beside: Promise<void>[] = [];
  const stays = bounced === null && !plan.removes;
  if (plan.rests && stays) beside.push(rest(sim, app, load));
  if (plan.visits) beside.push(visit(sim, app, load));
  if (plan.removes) beside.push(remove(sim, app));
  if (plan.smallPool && sim.random.chance(0.5)) beside.push(resizePools(sim, app));
  if (plan.hoards) beside.push(takeAll(sim, app));
  if (plan.pulls && stays && victim === null) beside.push(pull(sim, app, spares(stack, sim)));
  if (plan.grows && stays) beside.push(grow(sim, app, stack));
  if (plan.rates && bounced === null) beside.push(limitRates(sim, app));
  if (bounced !== null) beside.push(bounce(sim, app, bounced, load));
  return beside;
}

/** Runs I/O, and what happens beside it, to its end. */
async function play(scene: Scene): Promise<void> {
  const { sim, app, load, users, failure } = scene;
  const beside = disturb(scene);
  let over = false;
  const ended = run(sim, app, load, users, failure).finally(() => {
    over = true;
  });
  ended.catch(() => {});
  await Promise.race([Promise.all(beside), failure]);
  while (!over) {
    for (const user of load.parked.splice(0)) sim.at(user.core, 0, () => user.open());
    await sim.sleep(50);
  }
  await ended;
  await app.dropSegment(load.memory);
}

async function underLoad(sim: Sim, app: App, plan: Plan, stack: Stack): Promise<void> {
  const scene = await prepare(sim, app, plan, stack);
  const { load, errors, victim, bounced } = scene;
  await play(scene);
  const { count } = load;
  assert.equal(count.ended, count.begun);
  const disturbed = plan.aborts || plan.resets || plan.visits || plan.removes || plan.fewPieces;
  if (!disturbed && !errors && bounced === null) {
    assert.equal(count.failed, 0);
    await checkStat(app, load);
  }
  for (const { name } of bdevRegistry(app.reactor).list()) await faultRegistry(app.reactor).clear(name);
  if (plan.removes) await checkAll(app, load).catch(unlessGone);
  else {
    await checkAll(app, load);
    // Redundancy is looked at by doing without what else there is.
    if (!plan.pulls && victim === null) {
      await pull(sim, app, spares(stack, sim));
      await checkAll(app, load);
    }
  }
  await sim.sleep(100);
  await checkIdle(sim, app);
}

/** One run. */
export async function stackUnderLoad(sim: Sim): Promise<void> {
  const { random } = sim;
  const cores = random.pick([[0], [0, 1], [0, 1, 2]]);
  const plan = drawPlan(sim);
  const metadata = random.chance(0.12)
    ? { md_size: random.pick([8, 16]), md_interleave: random.chance(0.6), dif_type: random.int(4) }
    : null;
  const blockBytes = random.chance(0.15) ? 4096 : 512;
  let failed: unknown = null;
  const rc = await sim.start({ cores, subsystems: [bdevSubsystem] }, async (app) => {
    await underLoad(sim, app, plan, new Stack(sim, app, { blockBytes, metadata, fewPieces: plan.fewPieces })).catch(
      (error: unknown) => {
        failed = error;
      },
    );
    app.stop(0);
  });
  if (failed !== null) throw failed;
  assert.equal(rc, 0);
  const errors = sim.logs.filter(({ level }) => level === 'ERROR').map(({ text }) => text);
  if (plan.errors) return;
  const unexpected = plan.removes ? errors.filter((text) => !text.includes('does not work without')) : errors;
  assert.deepEqual(unexpected, []);
}
