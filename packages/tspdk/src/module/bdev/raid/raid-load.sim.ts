/**
 * A RAID disk under load on simulated reactors, while its members go, come and fail: what the simulations of all levels run. Users write, read back and compare, each in a
 * region of its own; at the end every member that is called good is looked at.
 */
import assert from 'node:assert/strict';
import { type BdevChannel, BdevDesc, bdevRegistry, faultRegistry } from '../../../bdev/index.ts';
import type { Segment } from '../../../env/segment.ts';
import type { App } from '../../../event/index.ts';
import type { Reactor } from '../../../event/reactor.ts';
import type { Sim } from '../../../sim/simulate.ts';
import '../../../sim/sim-disk.ts';
import { BaseIo } from './base-io.ts';
import type { RaidDisk } from './raid-disk.ts';
import { raidRegistry } from './raid-registry.ts';

export const BLOCK = 512;
const UNITS = 4;

export interface LoadOptions {
  readonly level: number;
  readonly members: number;
  readonly superblock: boolean;
  /** Blocks of a write, at a multiple of them. */
  readonly unitBlocks: number;
  readonly stripSizeKb: number;
  /** Members also fail single I/Os: then the disk's own may fail too. */
  readonly faults: boolean;
  /** The raid is deleted while it is in use. */
  readonly deleted?: boolean;
  readonly cores: readonly number[];
  readonly users: number;
}

/** What each block of the disk holds: one byte repeated, or null when that is not known. */
export type Model = (number | null)[];

class User {
  readonly #sim: Sim;
  readonly #desc: BdevDesc;
  readonly #channel: BdevChannel;
  readonly #memory: Segment;
  readonly #unit: number;
  readonly #first: number;
  readonly #model: Model;
  readonly #allowed: readonly number[];
  #removed = false;
  readonly #done: () => void;
  readonly #failed: (error: unknown) => void;
  #left: number;

  constructor(
    sim: Sim,
    reactor: Reactor,
    index: number,
    memory: Segment,
    model: Model,
    o: LoadOptions,
    done: () => void,
    failed: (error: unknown) => void,
  ) {
    this.#failed = failed;
    this.#sim = sim;
    this.#memory = memory;
    this.#unit = o.unitBlocks;
    this.#first = index * UNITS * o.unitBlocks;
    this.#model = model;
    this.#allowed = [0, -125, ...(o.faults ? [-5, -19] : []), ...(o.deleted === true ? [-19] : [])];
    this.#done = done;
    this.#left = 5 + sim.random.int(25);
    this.#desc = BdevDesc.open('R', { write: true, reactor, onEvent: () => this.#onRemove(o.deleted === true) });
    this.#channel = this.#desc.getIoChannel();
  }

  #onRemove(expected: boolean): void {
    if (!expected) this.#failed(new Error('the raid stays'));
    this.#removed = true;
  }

  step(): void {
    if (this.#removed || this.#left-- === 0) {
      this.#channel.close();
      this.#desc.close();
      this.#done();
      return;
    }
    const { random } = this.#sim;
    const unit = random.int(UNITS);
    const kind = random.pick(['write', 'write', 'write', 'read', 'read', 'read', 'zero', 'flush', 'reset']);
    // Reads begin and end where they like.
    const whole = UNITS * this.#unit;
    const from = kind === 'read' ? random.int(whole) : unit * this.#unit;
    const blocks = kind === 'read' ? 1 + random.int(whole - from) : this.#unit * (1 + random.int(UNITS - unit));
    const first = this.#first + from;
    const [at, bytes] = [first * BLOCK, blocks * BLOCK];
    const memory = this.#memory.u8.subarray(at, at + bytes);
    const value = 1 + random.int(255);
    const cb = (_: unknown, status: number): void => {
      try {
        this.#completed(kind, first, blocks, value, memory, status);
      } catch (error) {
        this.#failed(error);
      }
    };
    if (kind === 'write') memory.fill(value);
    if (kind === 'read') memory.fill(0xee);
    let rc = 0;
    if (kind === 'write') rc = this.#channel.write(this.#memory, at, at, bytes, cb, null);
    else if (kind === 'read') rc = this.#channel.read(this.#memory, at, at, bytes, cb, null);
    else if (kind === 'zero') rc = this.#channel.writeZeroes(at, bytes, 0, cb, null);
    else if (kind === 'flush') rc = this.#channel.flush(at, bytes, cb, null);
    else rc = this.#channel.reset(cb, null);
    if (rc === 0) return;
    // Refused, as it is going on another core already.
    assert.ok(this.#allowed.includes(rc), `${kind} is refused: ${rc}`);
    this.#removed = true;
    this.step();
  }

  #completed(kind: string, first: number, blocks: number, value: number, memory: Uint8Array, status: number): void {
    assert.ok(this.#allowed.includes(status), `${kind} ends with ${status}`);
    if (kind === 'read' && status === 0) {
      for (let i = 0; i < blocks; i++) {
        const expected = this.#model[first + i];
        const wrong = memory.subarray(i * BLOCK, (i + 1) * BLOCK).findIndex((byte) => byte !== expected);
        assert.ok(expected === null || wrong < 0, `block ${first + i} reads as ${memory[i * BLOCK]}, not ${expected}`);
      }
    }
    if (kind === 'write' || kind === 'zero') {
      this.#model.fill(status !== 0 ? null : kind === 'write' ? value : 0, first, first + blocks);
    }
    this.#sim.at(this.#desc.bdev.manager.reactor.core, this.#sim.random.int(40), () => this.step());
  }
}

/** Makes disks, pulls them out, adds new ones, has their I/O fail, until `over`. */
async function chaos(sim: Sim, app: App, disk: RaidDisk, o: LoadOptions, over: () => boolean): Promise<void> {
  const { random } = sim;
  const bdevs = bdevRegistry(app.reactor);
  const raids = raidRegistry(app.reactor);
  let made = o.members;
  // They may be about to be dropped.
  const faulty = new Set<string>();
  for (let turn = 0; turn < 60 && !over(); turn++) {
    await sim.sleep(random.int(300));
    // A member that has just become good is not read everywhere yet.
    await disk.serial(async () => {});
    const good = disk.slots.filter((slot) => slot.good && slot.base?.removed === false);
    const sure = good.filter(({ name }) => !faulty.has(name));
    const spare = good.filter((slot) => sure.length - (sure.includes(slot) ? 1 : 0) >= disk.least);
    const what = random.pick(['pull', 'add', 'add', 'fail']);
    if (what === 'pull' && spare.length > 0) await bdevs.delete(random.pick(spare).name);
    else if (what === 'add' && disk.slots.some(({ base }) => base === null)) {
      const name = `D${made++}`;
      await bdevs.create('sim', simDisk(sim, name, o));
      await raids.addBaseBdev('R', name).catch((error: unknown) => {
        if (o.deleted !== true) throw error;
      });
    } else if (what === 'fail' && o.faults && good.length > 0) {
      const op = random.pick(['read', 'write', 'all'] as const);
      const rule = { op, action: 'error', errno: 'EIO', count: 1 + random.int(2) } as const;
      const { name } = random.pick(good);
      faulty.add(name);
      await faultRegistry(app.reactor).add(name, rule);
    }
  }
}

const simDisk = (sim: Sim, name: string, o: LoadOptions) => ({
  name,
  blocks: (o.superblock ? 2048 : 0) + o.users * UNITS * o.unitBlocks,
  homeCore: sim.random.chance(0.3) ? sim.random.pick(o.cores) : -1,
  delayUs: sim.random.pick([0, 20, 200]),
  noMemory: sim.random.pick([0, 0, 0.3]),
});

/** Ends the raid; by taking one of its members away, where it has none to spare. */
async function end(sim: Sim, app: App, disk: RaidDisk): Promise<void> {
  if (disk.least < disk.slots.length || sim.random.chance(0.5)) await raidRegistry(app.reactor).delete('R');
  else await bdevRegistry(app.reactor).delete(sim.random.pick(disk.slots).name);
}

/** Runs the load on a fresh disk. Returns it with what it must hold. */
export async function raidUnderLoad(sim: Sim, app: App, o: LoadOptions): Promise<{ disk: RaidDisk; model: Model }> {
  const names = Array.from({ length: o.members }, (_, i) => `D${i}`);
  for (const name of names) await bdevRegistry(app.reactor).create('sim', simDisk(sim, name, o));
  const raids = raidRegistry(app.reactor);
  raids.options.process_window_size_kb = sim.random.pick([1, 4, 64]);
  const { level, stripSizeKb, superblock } = o;
  const disk = await raids.create({ name: 'R', level, stripSizeKb, superblock, baseBdevs: names });
  const blocks = o.users * UNITS * o.unitBlocks;
  const model: Model = new Array(blocks).fill(0);
  const memory = await app.shareSegment(blocks * BLOCK);
  let left = o.users;
  const ended = new Promise<void>((resolve, reject) => {
    for (let i = 0; i < o.users; i++) {
      sim.at(sim.random.pick(o.cores), 0, (reactor) => {
        const done = () => void (--left === 0 && resolve());
        try {
          new User(sim, reactor, i, reactor.segments.get(memory.id), model, o, done, reject).step();
        } catch (error) {
          // It has gone before this one could open it.
          if (o.deleted === true && (error as { code?: string }).code === 'ENODEV') done();
          else reject(error);
        }
      });
    }
  });
  const removed = () => o.deleted === true && disk.state === 'offline';
  await Promise.all([
    chaos(sim, app, disk, o, () => left === 0 || removed()),
    ended,
    o.deleted === true ? sim.sleep(sim.random.int(3000)).then(() => end(sim, app, disk)) : undefined,
  ]);
  if (removed()) {
    await app.dropSegment(memory);
    return { disk, model };
  }
  for (const { name } of bdevRegistry(app.reactor).list()) await faultRegistry(app.reactor).clear(name);
  await atRest(sim, disk);
  await app.dropSegment(memory);
  return { disk, model };
}

/** Nothing is being rebuilt, dropped or repaired any more. */
export async function atRest(sim: Sim, disk: RaidDisk): Promise<void> {
  do {
    await sim.sleep(2000);
    await disk.serial(async () => {});
  } while (disk.process !== null);
}

/** Bytes of a disk, by way of the app core. */
export async function bytesOf(app: App, name: string, byteOffset: number, bytes: number): Promise<Uint8Array> {
  const memory = await app.shareSegment(bytes);
  const desc = BdevDesc.open(name, { write: false, reactor: app.reactor, onEvent: () => {} });
  const io = new BaseIo(desc);
  const status = await io.read(memory, 0, byteOffset, bytes);
  assert.equal(status, 0, `reading ${name}`);
  io.close();
  desc.close();
  const copy = Uint8Array.from(memory.u8);
  await app.dropSegment(memory);
  return copy;
}

/** Compares the blocks that are known. */
export function compare(name: string, bytes: Uint8Array, model: Model): void {
  for (const [i, expected] of model.entries()) {
    if (expected === null) continue;
    const at = i * BLOCK;
    const wrong = bytes.subarray(at, at + BLOCK).findIndex((byte) => byte !== expected);
    assert.ok(wrong < 0, `${name}: block ${i} holds ${bytes[at]}, not ${expected}`);
  }
}
