// A pool of a few BdevIos and disks on disks, whatever they are: more I/Os than the pool holds, of all kinds, from every core, some of them aborted, with resets in between. Each ends.
import assert from 'node:assert/strict';
import { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import type { App } from '../event/index.ts';
import type { Reactor } from '../event/reactor.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { RAID0, RAID1, RAID5F } from '../module/bdev/raid/raid-level.ts';
import { raidRegistry } from '../module/bdev/raid/raid-registry.ts';
import { forEachSeed } from '../sim/for-each-seed.ts';
import '../sim/sim-disk.ts';
import type { Sim } from '../sim/simulate.ts';
import type { BdevChannel } from './channel.ts';
import { BdevDesc } from './desc.ts';
import { faultRegistry } from './faults/registry.ts';
import { IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE, ioTypes } from './io-type.ts';
import { bdevManager } from './manager.ts';
import { bdevRegistry } from './registry.ts';
import { ECANCELED, EILSEQ, ENOMEM } from './status.ts';

const BLOCK = 512;
/** Of a disk that stands on nothing. */
const BLOCKS = 256;
/** Of the largest I/O. */
const IO_BLOCKS = 16;
const KINDS = ['read', 'read', 'write', 'write', 'zero', 'unmap', 'flush', 'compare', 'compare-and-write', 'copy'];

/** Disks that nothing stands on yet, and what stands on what. */
class Disks {
  readonly #sim: Sim;
  readonly #app: App;
  readonly tops: string[] = [];
  #count = 0;

  constructor(sim: Sim, app: App) {
    this.#sim = sim;
    this.#app = app;
  }

  #name(kind: string): string {
    return `${kind}${this.#count++}`;
  }

  #take(): string {
    return this.tops.splice(this.#sim.random.int(this.tops.length), 1)[0];
  }

  async leaf(blocks = BLOCKS): Promise<string> {
    const { random } = this.#sim;
    const name = this.#name('leaf');
    await bdevRegistry(this.#app.reactor).create('sim', {
      name,
      blocks,
      homeCore: random.chance(0.3) ? random.pick(this.#app.cores) : -1,
      delayUs: random.pick([0, 5, 50]),
      noMemory: random.pick([0, 0, 0.2]),
      ...random.pick([{}, { ioTypes: ioTypes(IO_READ, IO_WRITE, IO_FLUSH, IO_UNMAP) }]),
      limits: {
        ...random.pick([
          {},
          { optimalIoBoundaryBlocks: 1 + random.int(4), splitOnOptimalIoBoundary: true },
          { maxRwBlocks: 1 + random.int(4), maxUnmapBlocks: 2, maxWriteZeroesBlocks: 3 },
        ]),
        ...random.pick([{}, {}, { requiredAlignmentBytes: 512 }]),
      },
    });
    this.tops.push(name);
    return name;
  }

  /** Another disk on one or more of them. */
  async grow(): Promise<void> {
    const { random } = this.#sim;
    const registry = bdevRegistry(this.#app.reactor);
    const kind = random.pick(['passthru', 'passthru', RAID0, RAID0, RAID1, 'verify', 'logwrites'] as const);
    const base_bdev_name = this.#take();
    const name = this.#name(typeof kind === 'number' ? 'raid' : kind);
    if (kind === 'passthru') {
      await registry.create('passthru', { name, base_bdev_name });
    } else {
      if (kind === 'verify') {
        const mirror_bdev_name = await this.leaf(registry.get(base_bdev_name).blocks);
        this.tops.pop();
        await registry.create('verify', { name, base_bdev_name, mirror_bdev_name });
        this.tops.push(name);
        return;
      }
      if (this.tops.length === 0) await this.leaf();
      const other = this.#take();
      if (kind === 'logwrites') {
        const log_bdev_name = 'log';
        await registry.create('sim', { name: log_bdev_name + name, blocks: 8192, limits: { maxRwBlocks: 3 } });
        await registry.create('logwrites', { name, base_bdev_name, log_bdev_name: log_bdev_name + name });
        this.tops.push(other);
      } else await this.raid(name, kind, [base_bdev_name, other]);
    }
    this.tops.push(name);
  }

  async raid(name: string, level: number, baseBdevs: string[]): Promise<void> {
    const stripSizeKb = level === RAID1 ? 0 : this.#sim.random.pick([1, 2]);
    await raidRegistry(this.#app.reactor).create({ name, level, stripSizeKb, superblock: false, baseBdevs });
  }

  /** One disk on all of them. Its name. */
  async join(): Promise<string> {
    const { random } = this.#sim;
    for (let i = random.int(5); i > 0; i--) await this.grow();
    // Its writes are whole stripes, which nothing above it knows of.
    const raid5f = random.chance(0.2);
    while (raid5f && this.tops.length < 3) await this.leaf();
    if (this.tops.length === 1) return this.tops[0];
    await this.raid('top', raid5f ? RAID5F : random.pick([RAID0, RAID1]), this.tops);
    return 'top';
  }
}

/** Someone on one core who submits all of his I/Os at once, waiting where there is no BdevIo. */
class User {
  readonly #sim: Sim;
  readonly #desc: BdevDesc;
  readonly #channel: BdevChannel;
  readonly #memory: Segment;
  readonly #vecs = [new IoVecs(1), new IoVecs(1)];
  readonly #done: () => void;
  #left: number;

  constructor(sim: Sim, reactor: Reactor, name: string, memory: Segment, ios: number, done: () => void) {
    this.#sim = sim;
    this.#memory = memory;
    this.#done = done;
    this.#left = ios;
    this.#desc = BdevDesc.open(name, { write: true, reactor, onEvent: () => {} });
    this.#channel = this.#desc.getIoChannel();
    for (const vecs of this.#vecs) vecs.push(memory, 0, BLOCK * this.#unit);
    for (let i = 0; i < ios; i++) this.#start(i);
  }

  /** What a write has to be. */
  get #unit(): number {
    return Math.max(1, this.#desc.bdev.limits.writeUnitBlocks);
  }

  #start(ctx: number): void {
    const { random } = this.#sim;
    const { bdev } = this.#desc;
    const kind = random.chance(0.05) ? 'reset' : random.pick(KINDS);
    const unit = this.#unit;
    const units = Math.floor(bdev.blocks / unit);
    const blocks = kind.startsWith('compare') ? unit : unit * (1 + random.int(Math.max(1, IO_BLOCKS / unit)));
    const first = unit * random.int(units - Math.ceil(blocks / unit) + 1);
    const memoryAt = random.pick([0, 0, 4]);
    const onReady = (): void => {
      const rc = this.#submit(kind, first * BLOCK, blocks * BLOCK, memoryAt, ctx);
      if (rc === ENOMEM) this.#channel.queueIoWait({ onReady });
      else if (rc !== 0) this.#ended(kind, rc);
    };
    onReady();
    if (random.chance(0.1)) {
      this.#sim.at(bdev.manager.reactor.core, random.int(200), () => {
        if (this.#left > 0) this.#channel.abort(ctx);
      });
    }
  }

  #submit(kind: string, at: number, bytes: number, memoryAt: number, ctx: number): number {
    const channel = this.#channel;
    const memory = this.#memory;
    const cb = (_: unknown, status: number): void => this.#ended(kind, status);
    const half = this.#desc.bdev.sizeBytes - bytes;
    switch (kind) {
      case 'read':
        return channel.read(memory, memoryAt, at, bytes, cb, ctx);
      case 'write':
        return channel.write(memory, memoryAt, at, bytes, cb, ctx);
      case 'zero':
        return channel.writeZeroes(at, bytes, 0, cb, ctx);
      case 'unmap':
        return channel.unmap(at, bytes, cb, ctx);
      case 'flush':
        return channel.flush(at, bytes, cb, ctx);
      case 'compare':
        return channel.comparev(this.#vecs[0], at, cb, ctx);
      case 'compare-and-write':
        return channel.comparevAndWritev(this.#vecs[0], this.#vecs[1], at, cb, ctx);
      case 'copy':
        return channel.copy(half, 0, Math.min(bytes, half), cb, ctx);
      default:
        return channel.reset(cb, ctx);
    }
  }

  #ended(kind: string, status: number): void {
    // ENOTSUP: an unmap that a member does not take.
    assert.ok([0, ECANCELED, EILSEQ, -95].includes(status), `${kind} ends with ${status}`);
    if (--this.#left > 0) return;
    this.#desc.close();
    this.#done();
  }
}

forEachSeed('more I/Os than a small pool holds, on any stack of disks: all end', 100, async (sim) => {
  const { random } = sim;
  const cores = random.pick([[0], [0, 1], [0, 1, 2]]);
  const rc = await sim.start({ cores, subsystems: [bdevSubsystem] }, async (app) => {
    const registry = bdevRegistry(app.reactor);
    await registry.setOptions({ bdev_io_pool_size: random.pick([1, 1, 2, 3, 8]), bdev_io_cache_size: 1 });
    const disks = new Disks(sim, app);
    for (let i = 1 + random.int(3); i > 0; i--) await disks.leaf();
    const top = await disks.join();
    await registry.waitForExamine();
    for (const { name } of registry.list()) {
      if (!random.chance(0.3)) continue;
      const stage = random.pick(['submission', 'completion'] as const);
      const how = random.pick([
        { action: 'delay', stage, delay_us: 1 + random.int(20) },
        { action: 'nomem', probability: 0.1 },
      ] as const);
      await faultRegistry(app.reactor).add(name, { op: random.pick(['read', 'write', 'all'] as const), ...how });
    }
    const memory = await app.shareSegment(64 * 1024);
    const users = 1 + random.int(3);
    const ios = 4 + random.int(20);
    let left = users;
    await new Promise<void>((resolve, reject) => {
      for (let i = 0; i < users; i++) {
        sim.at(random.pick(cores), 0, (reactor) => {
          try {
            const own = reactor.segments.get(memory.id);
            new User(sim, reactor, top, own, ios, () => void (--left === 0 && resolve()));
          } catch (error) {
            reject(error);
          }
        });
      }
    });
    for (const core of cores) {
      sim.at(core, 0, (reactor) => {
        const { pool } = reactor.local(bdevManager);
        assert.equal(pool.waiting, 0);
      });
    }
    await app.dropSegment(memory);
    app.stop(0);
  });
  assert.equal(rc, 0);
  assert.deepEqual(
    sim.logs.filter(({ level }) => level === 'ERROR').map(({ text }) => text),
    [],
  );
});
