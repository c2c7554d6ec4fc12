/**
 * One run of random I/O on a random stack of disks, from several cores and threads at once: every I/O ends once, with a status that something explains; what is read is what was written; memory beside an I/O's
 * own stays as it is; and in the end nothing is held any more. Meanwhile disks in the middle go and come back, ranges are at rest, rates are limited, pools are small, disks fail.
 */
import assert from 'node:assert/strict';
import { BdevDesc, bdevRegistry, faultRegistry, type IoStatKind } from '../bdev/index.ts';
import { bdevManager } from '../bdev/manager.ts';
import { EINVAL, EIO, ENODEV } from '../bdev/status.ts';
import type { App } from '../event/index.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { BaseIo } from '../module/bdev/raid/base-io.ts';
import type { Sim } from './simulate.ts';
import { Stack } from './stack.sim.ts';
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

async function underLoad(sim: Sim, app: App, plan: Plan, stack: Stack): Promise<void> {
  const { random } = sim;
  const registry = bdevRegistry(app.reactor);
  const top = await stack.build(random.int(6));
  // For the message of a failure.
  sim.logs.push({ ...sim.logs[0], text: `${stack} ${JSON.stringify(plan)}` });
  await registry.waitForExamine();
  const bdev = registry.get(top.name);
  const redundant = stack.has('raid1', 'raid5f', 'verify');
  const errors = plan.errors && !redundant;
  // One member of a RAID may fail, if all else is there; a verify disk takes it for a difference.
  const sound = stack.has('verify') || plan.removes;
  const victim = plan.errors && !errors && !sound ? random.pick(spares(stack, sim)) : null;
  await addFaults(
    sim,
    app,
    errors ? registry.list().map(({ name }) => name) : victim === null ? [] : namesUnder(victim),
  );
  if (plan.smallPool) {
    await registry.setOptions({ bdev_io_pool_size: random.pick([1, 2, 3, 8]), bdev_io_cache_size: 1 });
  }
  const { metadata, blocks } = bdev;
  const bare = metadata !== null && (metadata.protects || !metadata.format.interleaved || random.chance(0.5));
  // Half a stripe is nothing, once a member is missing.
  const holes = stack.has('raid5f');
  const dataBytes = metadata?.dataBytes ?? bdev.blockSizeBytes;
  const model = new StackModel({ blocks, blockBytes: bare ? dataBytes : bdev.blockSizeBytes, dataBytes, holes });
  const unit = Math.max(1, bdev.limits.writeUnitBlocks);
  const used = Math.min(blocks, Math.max(3 * unit, random.pick([8, 24, 64])));
  const begin = unit * random.int(Math.floor((blocks - used) / unit) + 1);
  const way = removable(top);
  const bounced = !plan.removes && way.length > 0 && random.chance(0.4) ? random.pick(way) : null;
  const users = 1 + random.int(5);
  const [most, depth] = [Math.max(unit, bdev.blockSizeBytes > 4000 ? 5 : 20), random.pick([1, 2, 4, 8])];
  const memory = await app.shareSegment(users * depth * slotBytes({ most, model }));
  let failed: (error: unknown) => void = () => {};
  const failure = new Promise<never>((_, reject) => {
    failed = (error) => {
      // Users who are in the middle of something may well hang then.
      sim.logs.push({ ...sim.logs[0], text: `the first failure: ${error instanceof Error ? error.stack : error}` });
      failed = () => {};
      reject(error);
    };
  });
  failure.catch(() => {});
  const pulled = plan.pulls && !plan.removes && victim === null ? spares(stack, sim) : [];
  const load: StackLoad = {
    ...{ sim, top: top.name, model, unit, most, bare, depth, memory, failed: (error) => failed(error) },
    window: [begin, begin + used],
    // Ranges of a raid5f that are read and written at once have no content.
    overlap: stack.has('raid5f') ? 'none' : plan.overlap,
    aborts: plan.aborts,
    resets: plan.resets,
    // A block in more pieces than a disk takes is refused.
    ends: plan.removes,
    allowed: new Set([
      ...(errors ? [EIO] : []),
      ...(bounced !== null || plan.removes ? [ENODEV] : []),
      ...(plan.fewPieces ? [EINVAL] : []),
    ]),
    resting: new Set(),
    parked: [],
    count: { begun: 0, ended: 0, failed: 0, resets: 0, resetting: 0 },
    done: new Map(),
  };
  const beside: Promise<void>[] = [];
  if (plan.rests && bounced === null && !plan.removes) beside.push(rest(sim, app, load));
  if (plan.visits) beside.push(visit(sim, app, load));
  if (plan.removes) beside.push(remove(sim, app));
  if (plan.smallPool && random.chance(0.5)) beside.push(resizePools(sim, app));
  if (plan.hoards) beside.push(takeAll(sim, app));
  if (plan.pulls && bounced === null) beside.push(pull(sim, app, pulled));
  if (plan.grows && bounced === null && !plan.removes) beside.push(grow(sim, app, stack));
  if (plan.rates && bounced === null) beside.push(limitRates(sim, app));
  if (bounced !== null) beside.push(bounce(sim, app, bounced, load));
  const running = run(sim, app, load, users, failure);
  running.catch(() => {});
  await Promise.race([Promise.all(beside), failure]);
  let over = false;
  const ended = running.finally(() => {
    over = true;
  });
  ended.catch(() => {});
  while (!over) {
    for (const user of load.parked.splice(0)) sim.at(user.core, 0, () => user.open());
    await sim.sleep(50);
  }
  await ended;
  await app.dropSegment(memory);
  const { count } = load;
  assert.equal(count.ended, count.begun);
  if (!plan.aborts && !plan.resets && !plan.visits && !plan.removes && !errors && bounced === null && !plan.fewPieces) {
    assert.equal(count.failed, 0);
    await checkStat(app, load);
  }
  for (const { name } of registry.list()) await faultRegistry(app.reactor).clear(name);
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
