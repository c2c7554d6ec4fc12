// The block layer on simulated reactors: every I/O completes once, with the data that its user wrote, whatever the core, the order of completion, the
// splits, aborts, locks, resets and the moment at which the disk, or what it stands on, is removed; one that hangs ends by one abort, or by a reset; and an application
// with a disk stops without a leak.
import assert from 'node:assert/strict';
import {
  type Bdev,
  type BdevChannel,
  BdevDesc,
  type BdevLimits,
  bdevRegistry,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  ioTypes,
} from '../bdev/index.ts';
import { lockRange } from '../bdev/lba-lock.ts';
import { bdevManager } from '../bdev/manager.ts';
import { enableHistogram, setSamplingPeriod } from '../bdev/observe.ts';
import { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import type { App } from '../event/index.ts';
import type { Reactor } from '../event/reactor.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { forEachSeed } from './for-each-seed.ts';
import { hang } from './sim-disk.ts';
import type { Sim } from './simulate.ts';

const BLOCK = 512;
const REGION = 8;
/** Of one user. */
const MEMORY = 2 * REGION * BLOCK + BLOCK;
/** Where it begins: not where every disk wants it. */
const MEMORY_AT = 4;

type Kind = 'write' | 'read' | 'zero' | 'unmap' | 'flush' | 'reset' | 'compare' | 'compare-and-write' | 'copy';
const KINDS: readonly Kind[] = [
  'write',
  'write',
  'read',
  'read',
  'zero',
  'unmap',
  'flush',
  'reset',
  'compare',
  'compare-and-write',
  'copy',
];
const [ENOMEM, ENODEV, ECANCELED] = [-12, -19, -125];

/** What users are put on. */
interface Scenario {
  readonly name: string;
  /** Its I/O may hang: each is aborted, and that has to be enough. */
  readonly hangs: boolean;
}

/** One I/O of a user, in blocks of the user's region. */
interface Op {
  readonly kind: Kind;
  readonly first: number;
  readonly blocks: number;
  /** Where a copy comes from. */
  readonly from: number;
  readonly value: number;
  readonly memory: Uint8Array;
}

/** Someone on one core with a region of the disk, who writes, reads back and compares, one I/O at a time; some are aborted, or all, once, when the disk may hang. */
class User {
  removed = false;
  readonly #sim: Sim;
  readonly #desc: BdevDesc;
  readonly #channel: BdevChannel;
  /** Twice the region: what is read, written or compared with, and what a compare-and-write writes. */
  readonly #memory: Segment;
  readonly #memoryAt: number;
  readonly #first: number;
  /** What each block of the region holds: one byte repeated, or null when that is not known. */
  readonly #model: (number | null)[] = new Array(REGION).fill(0);
  readonly #done: () => void;
  readonly #hangs: boolean;
  readonly #vecs = [new IoVecs(2), new IoVecs(2)];
  #left: number;
  #op: Op | null = null;
  /** What an abort asks for. */
  #ctx = 0;

  constructor(sim: Sim, reactor: Reactor, disk: Scenario, index: number, memory: Segment, done: () => void) {
    this.#sim = sim;
    this.#hangs = disk.hangs;
    this.#memory = memory;
    this.#memoryAt = index * MEMORY + MEMORY_AT;
    this.#first = index * REGION;
    this.#done = done;
    this.#left = 1 + sim.random.int(12);
    this.#desc = BdevDesc.open(disk.name, { write: true, reactor, onEvent: (event) => this.#onEvent(event) });
    if (sim.random.chance(0.2))
      this.#desc.setTimeout(1 + sim.random.int(200), ({ ctx }) => void this.#channel.abort(ctx));
    this.#channel = this.#desc.getIoChannel();
  }

  /** The next I/O, or the end. */
  step(): void {
    if (this.removed || this.#left-- === 0) {
      this.#close();
      return;
    }
    const { random } = this.#sim;
    const op = this.#draw();
    this.#op = op;
    const rc = this.#submit(op, ++this.#ctx);
    if (rc === ENOMEM) {
      this.#left++;
      this.#op = null;
      this.#channel.queueIoWait({ onReady: () => this.step() });
      return;
    }
    if (rc === 0) {
      const chosen = this.#ctx;
      if (this.#hangs) this.#sim.at(this.#core, random.int(400), () => this.#abort(chosen));
      else if (random.chance(0.1)) this.#sim.at(this.#core, random.int(60), () => this.#abort(this.#ctx));
      return;
    }
    assert.equal(rc, ENODEV, `${op.kind} is refused only while the disk goes`);
    this.#op = null;
    this.removed = true;
    this.#close();
  }

  get #core(): number {
    return this.#desc.bdev.manager.reactor.core;
  }

  #abort(ctx: number): void {
    if (this.#op !== null && ctx === this.#ctx) this.#channel.abort(ctx);
  }

  #draw(): Op {
    const { random } = this.#sim;
    let kind = random.pick(KINDS);
    let blocks = 1 + random.int(kind === 'copy' ? REGION / 2 : REGION);
    let first = random.int(REGION - blocks + 1);
    const from = first >= blocks ? first - blocks : first + blocks;
    if (from + blocks > REGION) [first, blocks] = [0, REGION / 2];
    const known = this.#model.slice(first, first + blocks).every((value) => value !== null);
    if (!known && kind.startsWith('compare')) kind = 'read';
    const memoryAt = this.#memoryAt + first * BLOCK;
    const memory = this.#memory.u8.subarray(memoryAt, memoryAt + blocks * BLOCK);
    return { kind, first, blocks, from: first === 0 ? blocks : from, value: 1 + random.int(255), memory };
  }

  #submit({ kind, first, blocks, from, value, memory }: Op, ctx: number): number {
    const [at, bytes] = [(this.#first + first) * BLOCK, blocks * BLOCK];
    const memoryAt = this.#memoryAt + first * BLOCK;
    const channel = this.#channel;
    const cb = (_: unknown, status: number): void => this.#completed(status);
    const [iovs, writeIovs] = this.#vecs;
    iovs.reset();
    writeIovs.reset();
    switch (kind) {
      case 'write':
        memory.fill(value);
        return channel.write(this.#memory, memoryAt, at, bytes, cb, ctx);
      case 'read':
        memory.fill(0xee);
        // Two pieces that no block ends at.
        iovs.push(this.#memory, memoryAt, 100);
        iovs.push(this.#memory, memoryAt + 100, bytes - 100);
        return channel.readv(iovs, at, cb, ctx);
      case 'zero':
        return channel.writeZeroes(at, bytes, 0, cb, ctx);
      case 'unmap':
        return channel.unmap(at, bytes, cb, ctx);
      case 'flush':
        return channel.flush(at, bytes, cb, ctx);
      case 'reset':
        return channel.reset(cb, ctx);
      case 'copy':
        return channel.copy(at, (this.#first + from) * BLOCK, bytes, cb, ctx);
      default: {
        for (let i = 0; i < blocks; i++) {
          memory.fill(this.#model[first + i] as number, i * BLOCK, (i + 1) * BLOCK);
        }
        iovs.push(this.#memory, memoryAt, bytes);
        if (kind === 'compare') return channel.comparev(iovs, at, cb, ctx);
        const newAt = memoryAt + REGION * BLOCK;
        this.#memory.u8.fill(value, newAt, newAt + bytes);
        writeIovs.push(this.#memory, newAt, bytes);
        return channel.comparevAndWritev(iovs, writeIovs, at, cb, ctx);
      }
    }
  }

  #completed(status: number): void {
    const op = this.#op as Op;
    assert.notEqual(op, null, 'an I/O completes once, and after it was submitted');
    this.#op = null;
    assert.ok(status === 0 || status === ECANCELED || status === ENODEV, `${op.kind} ends with ${status}`);
    if (op.kind === 'read' && status === 0) this.#compare(op);
    this.#apply(op, status === 0);
    this.#sim.at(this.#core, this.#sim.random.int(40), () => this.step());
  }

  #apply({ kind, first, blocks, from, value }: Op, whole: boolean): void {
    if (kind === 'read' || kind === 'flush' || kind === 'reset' || kind === 'compare') return;
    const source = this.#model.slice(from, from + blocks);
    for (let i = 0; i < blocks; i++) {
      const becomes = kind === 'copy' ? source[i] : kind === 'zero' || kind === 'unmap' ? 0 : value;
      this.#model[first + i] = whole ? becomes : null;
    }
  }

  #compare({ first, blocks, memory }: Op): void {
    for (let block = 0; block < blocks; block++) {
      const expected = this.#model[first + block];
      const got = memory.subarray(block * BLOCK, (block + 1) * BLOCK);
      if (expected === null) continue;
      assert.ok(
        got.every((byte) => byte === expected),
        `block ${this.#first + first + block}`,
      );
    }
  }

  #onEvent(event: string): void {
    assert.equal(event, 'remove');
    this.removed = true;
  }

  #close(): void {
    if (this.#left < -1000) return;
    this.#left = -2000;
    this.#channel.close();
    this.#desc.close();
    this.#done();
  }
}

const unlessGone = (error: { code?: string }): void => assert.equal(error.code, 'ENODEV', String(error));

/** Limits of a disk's rates come, change and go, whoever opens, closes or removes it meanwhile. */
function changeRates(sim: Sim, app: App, disk: string): Promise<unknown>[] {
  const { random } = sim;
  const registry = bdevRegistry(app.reactor);
  return Array.from({ length: 1 + random.int(4) }, () => {
    const rates = { rw_ios_per_sec: random.pick([0, 1000 * (1 + random.int(100))]) };
    return new Promise<void>((resolve) => {
      sim.at(app.mainCore, random.int(300), () => {
        registry.setRates(disk, rates).catch(unlessGone).then(resolve, assert.fail);
      });
    });
  });
}

/** Somebody opens the disk, perhaps reads, and closes it again; what may hang is aborted, also after that. */
function visit(sim: Sim, app: App, { name, hangs }: Scenario): Promise<unknown> {
  const { random } = sim;
  return new Promise<void>((resolve) => {
    sim.at(random.pick(app.cores), random.int(300), (reactor) => {
      let desc: BdevDesc;
      try {
        desc = BdevDesc.open(name, { write: random.chance(0.5), reactor, onEvent: () => {} });
      } catch (error) {
        unlessGone(error as { code?: string });
        return resolve();
      }
      const channel = desc.getIoChannel();
      let left = 1;
      const end = (): void => {
        if (--left === 0) resolve();
      };
      const buf = random.chance(0.7) ? reactor.iobuf.getSmall() : null;
      if (buf !== null) {
        const done = (_: unknown, status: number): void => {
          assert.ok(status === 0 || status === ECANCELED || status === ENODEV, `a visitor's read ends with ${status}`);
          reactor.iobuf.put(buf);
          end();
        };
        left++;
        const rc = channel.read(buf.segment, buf.offset, 0, BLOCK, done, buf);
        // The users may have all of the pool.
        if (rc === ENOMEM) done(null, ECANCELED);
        else assert.equal(rc, 0);
        if (hangs) sim.at(reactor.core, random.int(400), () => void channel.abort(buf));
      }
      sim.at(reactor.core, random.int(60), () => {
        desc.close();
        end();
      });
    });
  });
}

/** What goes on beside the users: locks, rates, a closer look. Each ends before the disk does, or with it. */
function disturb(sim: Sim, app: App, disk: Scenario): Promise<unknown>[] {
  const { random } = sim;
  const going: Promise<unknown>[] = [];
  const registry = bdevRegistry(app.reactor);
  const bdev = registry.get(disk.name);
  if (random.chance(0.3)) going.push(...changeRates(sim, app, disk.name));
  for (let i = random.int(4); i > 0; i--) going.push(visit(sim, app, disk));
  if (random.chance(0.3)) going.push(setSamplingPeriod(bdev, 1 + random.int(50)));
  if (random.chance(0.3)) {
    going.push(enableHistogram(bdev, { type: 0, granularity: 7, minNs: 0, maxNs: Number.MAX_SAFE_INTEGER }));
  }
  for (let i = random.int(3); i > 0; i--) {
    const quiesce = random.chance(0.5);
    const [at, bytes] = [random.int(32) * BLOCK, (1 + random.int(32)) * BLOCK];
    going.push(
      new Promise<void>((resolve) => {
        sim.at(random.pick(app.cores), random.int(200), (reactor) => {
          const own = reactor.local(bdevManager).byName.get(disk.name);
          if (own === undefined) return resolve();
          const lock = lockRange(own, at, bytes, quiesce, (status) => {
            assert.equal(status, 0);
            sim.at(reactor.core, random.int(100), () => lock.release(resolve));
          });
        });
      }),
    );
  }
  return going;
}

/** Users on `disk`; `remove`, when it is not null, is removed meanwhile: the disk itself or what it stands on. */
async function scenario(sim: Sim, app: App, disk: Scenario, remove: string | null): Promise<void> {
  const { random } = sim;
  const count = 1 + random.int(6);
  const memory = await app.shareSegment(count * MEMORY);
  const disturbances = disturb(sim, app, disk);
  let left = count;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      if (--left === 0) resolve();
    };
    for (let i = 0; i < count; i++) {
      sim.at(random.pick(app.cores), 0, (reactor) => {
        const own = reactor.segments.get(memory.id);
        try {
          new User(sim, reactor, disk, i, own, done).step();
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'ENODEV', String(error));
          done();
        }
      });
    }
    const removeDisk = (): void => {
      if (left > 0)
        bdevRegistry(app.reactor)
          .delete(remove as string)
          .catch((error) => assert.fail(error));
    };
    if (remove !== null) sim.at(app.mainCore, random.int(400), removeDisk);
  });
  await Promise.all(disturbances);
  await app.dropSegment(memory);
}

const clean = (sim: Sim): void =>
  assert.deepEqual(
    sim.logs.filter((record) => record.level === 'ERROR').map((record) => record.text),
    [],
  );

/** What the simulated disk cannot take whole. */
function drawLimits(sim: Sim): Partial<BdevLimits> {
  const { random } = sim;
  const limits = random.pick([
    {},
    { optimalIoBoundaryBlocks: 1 + random.int(6), splitOnOptimalIoBoundary: true },
    { maxRwBlocks: 1 + random.int(4), maxSegments: random.pick([0, 2, 3]) },
    { writeUnitBlocks: 1, splitOnWriteUnit: true, maxUnmapBlocks: 2, maxWriteZeroesBlocks: 3 },
  ]);
  // Pieces of memory begin 4 bytes further, and 104.
  return random.chance(0.3) ? { ...limits, requiredAlignmentBytes: 8 } : limits;
}

/** What stands on a disk. */
interface Stack {
  readonly top: string;
  /** Removing what is below, and aborting it, is not for those that stand on two: one without the other is a difference to them, or an end. */
  readonly onTwo: boolean;
}

/** Puts up to two disks on `disk`. */
async function stack(sim: Sim, app: App, disk: string): Promise<Stack> {
  const { random } = sim;
  const registry = bdevRegistry(app.reactor);
  let top = disk;
  let onTwo = false;
  for (let i = random.int(3); i > 0; i--) {
    const name = `${top}${i}`;
    const other = `${name}other`;
    const [module, more] = random.pick([
      ['passthru', {}],
      ['passthru', {}],
      ['delay', { avg_read_latency: 5, p99_read_latency: 50, avg_write_latency: 5, p99_write_latency: 50 }],
      ['logwrites', { log_bdev_name: other }],
      ['verify', { mirror_bdev_name: other }],
    ] as const);
    if (module === 'logwrites' || module === 'verify') {
      onTwo = true;
      const homeCore = random.pick([-1, ...app.cores]);
      await registry.create('sim', { name: other, blocks: module === 'verify' ? 64 : 4096, homeCore, delayUs: 20 });
    }
    await registry.create(module, { name, base_bdev_name: top, ...more });
    top = name;
  }
  return { top, onTwo };
}

forEachSeed(
  'a simulated disk: each I/O once, each byte as written, across cores, splits, aborts, locks, limits, resets and removal',
  1000,
  async (sim) => {
    const { random } = sim;
    const cores = random.pick([[0], [0, 1], [0, 1, 2]]);
    const hangs = random.pick([0, 0, 0.3]);
    const homeCore = random.chance(0.5) ? random.pick(cores) : -1;
    const rc = await sim.start({ cores, subsystems: [bdevSubsystem] }, async (app) => {
      const params = {
        name: 'D',
        blocks: 64,
        homeCore,
        delayUs: random.pick([0, 20, 300]),
        noMemory: random.pick([0, 0.3]),
        limits: drawLimits(sim),
        ...(random.chance(0.3) ? { ioTypes: ioTypes(IO_READ, IO_WRITE, IO_FLUSH, IO_UNMAP) } : {}),
      };
      const bdev: Bdev = await bdevRegistry(app.reactor).create('sim', params);
      assert.equal(bdev.name, 'D');
      if (random.chance(0.3)) {
        await bdevRegistry(app.reactor).setOptions({ bdev_io_pool_size: 1 + random.int(4), bdev_io_cache_size: 1 });
      }
      const { top, onTwo } = await stack(sim, app, 'D');
      const mayHang = hangs > 0 && !onTwo;
      if (mayHang) {
        // Who looks for partitions aborts nothing.
        await bdevRegistry(app.reactor).waitForExamine();
        hang(bdev, hangs);
      }
      await scenario(sim, app, { name: top, hangs: mayHang }, random.pick([null, null, top, onTwo ? top : 'D']));
      app.stop(0);
    });
    assert.equal(rc, 0);
    clean(sim);
  },
);

forEachSeed('a malloc disk under the same users', 300, async (sim) => {
  const { random } = sim;
  const cores = random.pick([[0], [0, 1], [0, 1, 2]]);
  const rc = await sim.start({ cores, subsystems: [bdevSubsystem] }, async (app) => {
    await bdevRegistry(app.reactor).create('malloc', { name: 'M', block_size: BLOCK, num_blocks: 64 });
    await scenario(sim, app, { name: 'M', hangs: false }, random.pick([null, 'M']));
    app.stop(0);
  });
  assert.equal(rc, 0);
  clean(sim);
});
