/** What may happen to a stack of disks beside I/O, each of them once or a few times in a run, at drawn moments. */
import assert from 'node:assert/strict';
import { BdevDesc, bdevRegistry, faultRegistry } from '../bdev/index.ts';
import { ECANCELED, EIO, ENODEV } from '../bdev/status.ts';
import { AllocSite } from '../env/alloc-site.ts';
import type { Ptr } from '../env/heap.ts';
import type { IoBuf } from '../env/iobuf.ts';
import type { App } from '../event/index.ts';
import type { Sim } from './simulate.ts';
import { ROOM_BLOCKS, type Stack, type StackDisk, type StackKind } from './stack.sim.ts';
import type { StackLoad } from './stack-op.sim.ts';

/** Disks whose removal leaves the top to come back: passthru disks on the way down from it through such as do. */
export function removable(top: StackDisk): StackDisk[] {
  const found: StackDisk[] = [];
  for (let at: StackDisk | undefined = top; at !== undefined; [at] = at.bases) {
    if (!['passthru', 'delay', 'error', 'split'].includes(at.kind)) break;
    if (at.kind === 'passthru') found.push(at);
  }
  return found;
}

/** Of a disk, and all that it stands on. */
export function namesUnder({ name, bases }: StackDisk): string[] {
  return [name, ...bases.flatMap(namesUnder)];
}

/** Faults of the disks on the way; errors of those in `fail` alone. */
export async function addFaults(sim: Sim, app: App, fail: readonly string[]): Promise<void> {
  const { random } = sim;
  for (const { name } of bdevRegistry(app.reactor).list()) {
    const errors = fail.includes(name);
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
export async function rest(sim: Sim, app: App, load: StackLoad): Promise<void> {
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

export async function limitRates(sim: Sim, app: App): Promise<void> {
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
export async function bounce(sim: Sim, app: App, disk: StackDisk, load: StackLoad): Promise<void> {
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
export function spares(stack: Stack, sim: Sim): StackDisk[] {
  const raids = stack.disks.filter(({ kind }) => kind === 'raid1' || kind === 'raid5f');
  return raids.map(({ bases }) => sim.random.pick(bases));
}

export async function pull(sim: Sim, app: App, members: readonly StackDisk[]): Promise<void> {
  for (const { name } of members) {
    await sim.sleep(sim.random.int(300));
    await bdevRegistry(app.reactor).delete(name).catch(unlessGone);
  }
}

export const unlessGone = (error: { code?: string }): void => assert.equal(error.code, 'ENODEV', String(error));

export async function remove(sim: Sim, app: App): Promise<void> {
  const registry = bdevRegistry(app.reactor);
  await sim.sleep(sim.random.int(400));
  await registry.delete(sim.random.pick(registry.list()).name).catch(unlessGone);
}

/** Pools have other sizes. */
export async function resizePools(sim: Sim, app: App): Promise<void> {
  const { random } = sim;
  for (let turns = 1 + random.int(3); turns > 0; turns--) {
    await sim.sleep(random.int(300));
    await bdevRegistry(app.reactor).setOptions({ bdev_io_pool_size: 1 + random.int(20), bdev_io_cache_size: 1 });
  }
}

/** Somebody reads from disks that others stand on, and resets them. */
export async function visit(sim: Sim, app: App, load: StackLoad): Promise<void> {
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
export async function takeAll(sim: Sim, app: App): Promise<void> {
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
export async function grow(sim: Sim, app: App, stack: Stack): Promise<void> {
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
