/**
 * One run of random I/O on a random stack of disks, from several cores and threads at once: every I/O ends once, with a status that something explains; what is read is what was written; memory beside an I/O's
 * own stays as it is; and in the end nothing is held any more. Meanwhile disks in the middle go and come back, ranges are at rest, rates are limited, pools are small, disks fail.
 */
import assert from 'node:assert/strict';
import { BdevDesc, bdevRegistry, faultRegistry, type IoStatKind } from '../bdev/index.ts';
import { bdevManager } from '../bdev/manager.ts';
import { ECANCELED, EINVAL, EIO, ENODEV } from '../bdev/status.ts';
import { AllocSite } from '../env/alloc-site.ts';
import type { Ptr } from '../env/heap.ts';
import type { IoBuf } from '../env/iobuf.ts';
import type { App } from '../event/index.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { BaseIo } from '../module/bdev/raid/base-io.ts';
import type { Sim } from './simulate.ts';
import { ROOM_BLOCKS, Stack, type StackDisk, type StackKind } from './stack.sim.ts';
import { StackModel } from './stack-model.sim.ts';
import { type Overlap, type StackLoad, StackUser, slotBytes, type UserKind } from './stack-user.sim.ts';

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

/** Disks whose removal leaves the top to come back: passthru disks on the way down from it through such as do. */
function removable(top: StackDisk): StackDisk[] {
  const found: StackDisk[] = [];
  for (let at: StackDisk | undefined = top; at !== undefined; [at] = at.bases) {
    if (!['passthru', 'delay', 'error', 'split'].includes(at.kind)) break;
    if (at.kind === 'passthru') found.push(at);
  }
  return found;
}

/** Faults of the disks on the way; errors only where `errors` says so. */
async function addFaults(sim: Sim, app: App, errors: boolean): Promise<void> {
  const { random } = sim;
  for (const { name } of bdevRegistry(app.reactor).list()) {
    if (name.endsWith('log') || !random.chance(errors ? 0.4 : 0.25)) continue;
    const stage = random.pick(['submission', 'completion'] as const);
    const how = random.pick([
      { action: 'delay', stage, delay_us: 1 + random.int(20) },
      { action: 'nomem', probability: 0.1, seed: 1 + random.int(1000) },
      ...(errors
        ? [{ action: 'error', errno: 'EIO', stage, probability: 0.05, seed: 1 + random.int(1000) } as const]
        : []),
    ] as const);
    await faultRegistry(app.reactor).add(name, { op: random.pick(['read', 'write', 'all'] as const), ...how });
  }
}

/** Ranges of the disk come to rest now and then. */
async function rest(sim: Sim, app: App, load: StackLoad): Promise<void> {
  const { random } = sim;
  for (let turns = 1 + random.int(6); turns > 0; turns--) {
    await sim.sleep(random.int(200));
    await new Promise<void>((resolve) => {
      sim.at(random.pick(app.cores), 0, (reactor) => {
        void restOnce(sim, load, reactor).then(resolve, (error) => {
          load.failed(error);
          resolve();
        });
      });
    });
  }
}

async function restOnce(sim: Sim, load: StackLoad, reactor: App['reactor']): Promise<void> {
  const { random } = sim;
  const { window, model, top } = load;
  const first = window[0] + random.int(window[1] - window[0]);
  const range = [first, first + 1 + random.int(window[1] - first)] as const;
  const desc = BdevDesc.open(top, { write: false, reactor, hideMetadata: load.bare, onEvent: () => {} });
  const where = { byteOffset: first * model.blockBytes, bytes: (range[1] - first) * model.blockBytes };
  const quiesced = await desc.quiesce(where).catch((error: { code?: string }) => {
    // The heap is full, which a lock of one's own has no reserve for.
    assert.equal(error.code, 'ENOMEM');
    return null;
  });
  if (quiesced === null) {
    desc.close();
    return;
  }
  load.resting.add(range);
  await new Promise<void>((resolve) => sim.at(reactor.core, random.int(200), () => resolve()));
  load.resting.delete(range);
  if (random.chance(0.5)) await quiesced.unquiesce();
  desc.close();
}

async function limitRates(sim: Sim, app: App): Promise<void> {
  const { random } = sim;
  const registry = bdevRegistry(app.reactor);
  for (let turns = 1 + random.int(3); turns > 0; turns--) {
    await sim.sleep(random.int(300));
    const disks = registry.list();
    if (disks.length === 0) return;
    const { name } = random.pick(disks);
    const rates = { rw_ios_per_sec: random.pick([0, 1000 * (1 + random.int(100))]) };
    await registry.setRates(name, rates).catch(unlessGone);
  }
}

/** A disk in the middle goes and comes back, with all that stands on it. */
async function bounce(sim: Sim, app: App, disk: StackDisk, load: StackLoad): Promise<void> {
  const { random } = sim;
  const registry = bdevRegistry(app.reactor);
  await sim.sleep(random.int(400));
  await registry.delete(disk.name);
  const base_bdev_name = disk.bases[0].name;
  await registry.createOn(base_bdev_name, 'passthru', { name: disk.name, base_bdev_name }, null);
  await registry.waitForExamine();
  while (!registry.list().some(({ name, ready }) => name === load.top && ready)) await sim.sleep(10);
}

/** Members that one may pull out: one of each RAID that can spare it. */
function spares(stack: Stack, sim: Sim): StackDisk[] {
  const raids = stack.disks.filter(({ kind }) => kind === 'raid1' || kind === 'raid5f');
  return raids.map(({ bases }) => sim.random.pick(bases));
}

async function pull(sim: Sim, app: App, members: readonly StackDisk[]): Promise<void> {
  for (const { name } of members) {
    await sim.sleep(sim.random.int(300));
    await bdevRegistry(app.reactor).delete(name).catch(unlessGone);
  }
}

const unlessGone = (error: { code?: string }): void => assert.equal(error.code, 'ENODEV', String(error));

async function remove(sim: Sim, app: App): Promise<void> {
  const registry = bdevRegistry(app.reactor);
  await sim.sleep(sim.random.int(400));
  await registry.delete(sim.random.pick(registry.list()).name).catch(unlessGone);
}

/** Pools have other sizes. */
async function resizePools(sim: Sim, app: App): Promise<void> {
  const { random } = sim;
  for (let turns = 1 + random.int(3); turns > 0; turns--) {
    await sim.sleep(random.int(300));
    await bdevRegistry(app.reactor).setOptions({ bdev_io_pool_size: 1 + random.int(20), bdev_io_cache_size: 1 });
  }
}

/** Somebody reads from disks that others stand on, and resets them. */
async function visit(sim: Sim, app: App, load: StackLoad): Promise<void> {
  const { random } = sim;
  for (let visits = 1 + random.int(4); visits > 0; visits--) {
    await sim.sleep(random.int(200));
    const disks = bdevRegistry(app.reactor).list();
    if (disks.length === 0) return;
    const { name } = random.pick(disks);
    await new Promise<void>((resolve) => {
      sim.at(random.pick(app.cores), 0, (reactor) => {
        try {
          visitOnce(sim, load, reactor, name, resolve);
        } catch (error) {
          unlessGone(error as { code?: string });
          resolve();
        }
      });
    });
  }
}

function visitOnce(
  sim: Sim,
  { count, failed }: StackLoad,
  reactor: App['reactor'],
  name: string,
  done: () => void,
): void {
  const { random } = sim;
  const desc = BdevDesc.open(name, { write: false, reactor, onEvent: () => {} });
  const channel = desc.getIoChannel();
  let left = 1;
  const end = (): void => {
    if (--left > 0) return;
    desc.close();
    done();
  };
  const buf = reactor.iobuf.getSmall();
  if (buf !== null) {
    left++;
    const ended = (_: unknown, status: number): void => {
      if (![0, ECANCELED, ENODEV, EIO].includes(status))
        failed(new Error(`a visitor's read of ${name} ends with ${status}`));
      reactor.iobuf.put(buf);
      end();
    };
    const { blockSizeBytes } = desc.bdev;
    if (channel.read(buf.segment, buf.offset, 0, blockSizeBytes, ended, null) !== 0) ended(null, ECANCELED);
  }
  if (random.chance(0.5)) {
    left++;
    count.resets++;
    count.resetting++;
    const ended = (): void => {
      count.resetting--;
      end();
    };
    if (channel.reset(ended, null) !== 0) ended();
  }
  end();
}

const hoard = new AllocSite('sim_hoard');

/** One core has all memory that there is, for a while. */
async function takeAll(sim: Sim, app: App): Promise<void> {
  const { random } = sim;
  for (let turns = 1 + random.int(3); turns > 0; turns--) {
    await sim.sleep(random.int(200));
    await new Promise<void>((resolve) =>
      sim.at(random.pick(app.cores), 0, (reactor) => takeAllOnce(sim, reactor, resolve)),
    );
  }
}

function takeAllOnce(sim: Sim, { heap, iobuf, core }: App['reactor'], done: () => void): void {
  const bufs: IoBuf[] = [];
  for (const get of [() => iobuf.getSmall(), () => iobuf.getLarge()]) {
    for (let buf = get(); buf !== null; buf = get()) bufs.push(buf);
  }
  const taken: number[] = [];
  for (let bytes = 65536 - 16; bytes > 0; bytes = (bytes + 16) / 2 - 16) {
    try {
      for (;;) taken.push(heap.alloc(bytes, hoard));
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'ENOMEM');
    }
  }
  sim.at(core, sim.random.int(200), () => {
    for (const ptr of taken) heap.free(ptr as Ptr);
    for (const buf of bufs) iobuf.put(buf);
    done();
  });
}

/** Kinds that are as large as what they stand on. */
const FOLLOWING: readonly StackKind[] = ['passthru', 'delay', 'error', 'logwrites'];

/** A simulated disk grows, and what stands on it. */
async function grow(sim: Sim, app: App, stack: Stack): Promise<void> {
  const { random } = sim;
  const registry = bdevRegistry(app.reactor);
  const found = stack.disks.filter(({ kind }) => kind === 'sim');
  if (found.length === 0) return;
  await sim.sleep(random.int(300));
  const disk = random.pick(found);
  const known = registry.list().find(({ name }) => name === disk.name);
  if (known === undefined) return;
  const grown = known.blocks + ROOM_BLOCKS;
  const before = known.blocks;
  await registry.resize(disk.name, grown).catch(unlessGone);
  for (let at = disk; ; ) {
    const above = stack.disks.find(({ bases, kind }) => bases[0] === at && FOLLOWING.includes(kind));
    if (above === undefined) return;
    const size = () => registry.list().find(({ name }) => name === above.name)?.blocks ?? grown;
    while (size() === before) await sim.sleep(10);
    assert.equal(size(), grown, above.name);
    at = above;
  }
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
  await addFaults(sim, app, errors);
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
  const pulled = plan.pulls && !plan.removes ? spares(stack, sim) : [];
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
    if (!plan.pulls) {
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
