// The block layer on simulated reactors: every I/O completes once, with the data that its user wrote, whatever the core, the order of completion, the
// resets and the moment at which the disk is removed; and an application with a disk stops without a leak.
import assert from 'node:assert/strict';
import { type Bdev, type BdevChannel, BdevDesc, bdevRegistry } from '../bdev/index.ts';
import type { Segment } from '../env/segment.ts';
import type { App } from '../event/index.ts';
import type { Reactor } from '../event/reactor.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { forEachSeed } from './for-each-seed.ts';
import './sim-disk.ts';
import type { Sim } from './simulate.ts';

const BLOCK = 512;
const REGION = 8;

/** Someone on one core with a region of the disk, who writes, reads back and compares, one I/O at a time. */
class User {
  removed = false;
  readonly #sim: Sim;
  readonly #desc: BdevDesc;
  readonly #channel: BdevChannel;
  readonly #memory: Segment;
  readonly #memoryAt: number;
  readonly #first: number;
  /** What each block of the region holds: one byte repeated, or null when that is not known. */
  readonly #model: (number | null)[] = new Array(REGION).fill(0);
  readonly #done: () => void;
  #left: number;
  #outstanding = false;

  constructor(sim: Sim, reactor: Reactor, disk: string, index: number, memory: Segment, done: () => void) {
    this.#sim = sim;
    this.#memory = memory;
    this.#memoryAt = index * REGION * BLOCK;
    this.#first = index * REGION;
    this.#done = done;
    this.#left = 1 + sim.random.int(12);
    this.#desc = BdevDesc.open(disk, { write: true, reactor, onEvent: (event) => this.#onEvent(event) });
    this.#channel = this.#desc.getIoChannel();
  }

  /** The next I/O, or the end. */
  step(): void {
    if (this.removed || this.#left-- === 0) {
      this.#close();
      return;
    }
    const { random } = this.#sim;
    const first = random.int(REGION);
    const blocks = 1 + random.int(REGION - first);
    const [at, bytes] = [(this.#first + first) * BLOCK, blocks * BLOCK];
    const memoryAt = this.#memoryAt + first * BLOCK;
    const kind = random.pick(['write', 'write', 'read', 'read', 'zero', 'unmap', 'flush', 'reset']);
    const value = 1 + random.int(255);
    const channel = this.#channel;
    const memory = this.#memory.u8.subarray(memoryAt, memoryAt + bytes);
    this.#outstanding = true;
    const cb = (_: unknown, status: number): void => this.#completed(kind, first, blocks, value, memory, status);
    if (kind === 'write') memory.fill(value);
    if (kind === 'read') memory.fill(0xee);
    let rc = 0;
    if (kind === 'write') rc = channel.write(this.#memory, memoryAt, at, bytes, cb, null);
    else if (kind === 'read') rc = channel.read(this.#memory, memoryAt, at, bytes, cb, null);
    else if (kind === 'zero') rc = channel.writeZeroes(at, bytes, 0, cb, null);
    else if (kind === 'unmap') rc = channel.unmap(at, bytes, cb, null);
    else if (kind === 'flush') rc = channel.flush(at, bytes, cb, null);
    else channel.reset(cb, null);
    if (rc === 0) return;
    assert.equal(rc, -19, `${kind} is refused only while the disk goes`);
    this.#outstanding = false;
    this.removed = true;
    this.#close();
  }

  #completed(kind: string, first: number, blocks: number, value: number, memory: Uint8Array, status: number): void {
    assert.equal(this.#outstanding, true, 'an I/O completes once, and after it was submitted');
    this.#outstanding = false;
    assert.ok(status === 0 || status === -125 || status === -19, `${kind} ends with ${status}`);
    if (kind === 'read' && status === 0) this.#compare(first, blocks, memory);
    const writes = kind === 'write' || kind === 'zero' || kind === 'unmap';
    if (writes) this.#model.fill(status !== 0 ? null : kind === 'write' ? value : 0, first, first + blocks);
    this.#sim.at(this.#desc.bdev.manager.reactor.core, this.#sim.random.int(40), () => this.step());
  }

  #compare(first: number, blocks: number, memory: Uint8Array): void {
    for (let block = 0; block < blocks; block++) {
      const expected = this.#model[first + block];
      const got = memory.subarray(block * BLOCK, (block + 1) * BLOCK);
      if (expected !== null)
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

async function scenario(sim: Sim, app: App, disk: string, remove: boolean): Promise<void> {
  const { random } = sim;
  const count = 1 + random.int(6);
  const memory = await app.shareSegment(count * REGION * BLOCK);
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
          .delete(disk)
          .catch((error) => assert.fail(error));
    };
    if (remove) sim.at(app.mainCore, random.int(400), removeDisk);
  });
  await app.dropSegment(memory);
}

const clean = (sim: Sim): void =>
  assert.deepEqual(
    sim.logs.filter((record) => record.level === 'ERROR').map((record) => record.text),
    [],
  );

forEachSeed(
  'a simulated disk: each I/O once, each byte as written, across cores, resets and removal',
  1000,
  async (sim) => {
    const { random } = sim;
    const cores = random.pick([[0], [0, 1], [0, 1, 2]]);
    const homeCore = random.chance(0.5) ? random.pick(cores) : -1;
    const rc = await sim.start({ cores, subsystems: [bdevSubsystem] }, async (app) => {
      const params = {
        name: 'D',
        blocks: 64,
        homeCore,
        delayUs: random.pick([0, 20, 300]),
        noMemory: random.pick([0, 0.3]),
      };
      const bdev: Bdev = await bdevRegistry(app.reactor).create('sim', params);
      assert.equal(bdev.name, 'D');
      await scenario(sim, app, 'D', random.chance(0.5));
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
    await scenario(sim, app, 'M', random.chance(0.5));
    app.stop(0);
  });
  assert.equal(rc, 0);
  clean(sim);
});
