/** A random stack of disks: what stands on what, up to five high, of every kind that works in memory. */

import { BdevDesc } from '../bdev/desc.ts';
import { type BdevLimits, bdevRegistry, IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE, ioTypes } from '../bdev/index.ts';
import type { App } from '../event/index.ts';
import type { IoTypeName } from '../module/bdev/disk/define-bdev-module.ts';
import { createGpt } from '../module/bdev/gpt/gpt-bdev.ts';
import { gptUsable, makeGpt, SPDK_GPT_PART_TYPE_GUID } from '../module/bdev/gpt/gpt-table.ts';
import { BaseIo } from '../module/bdev/raid/base-io.ts';
import { CONCAT, RAID0, RAID1, RAID5F } from '../module/bdev/raid/raid-level.ts';
import { raidRegistry } from '../module/bdev/raid/raid-registry.ts';
import { createSplit } from '../module/bdev/split/split-bdev.ts';
import type { Sim } from './simulate.ts';
import './sim-disk.ts';
import { simDefinedDisk } from './stack-module.sim.ts';

/** Kinds that come back with what they stand on. */
const RETURNING = ['passthru', 'delay', 'error', 'split'] as const;
type Returning = (typeof RETURNING)[number];
export type StackKind =
  | Returning
  | 'gpt'
  | 'raid0'
  | 'concat'
  | 'raid1'
  | 'raid5f'
  | 'logwrites'
  | 'verify'
  | 'filter'
  | 'malloc'
  | 'sim'
  | 'memory'
  | 'defined';

const GROWN: readonly StackKind[] = [
  ...RETURNING,
  ...(['passthru', 'gpt', 'raid0', 'concat', 'raid1', 'raid1', 'raid5f', 'logwrites', 'verify', 'filter'] as const),
];
/** On disks that are written in units larger than a block. */
const GROWN_ON_UNITS: readonly StackKind[] = ['passthru', 'delay', 'error', 'filter', 'verify', 'logwrites'];
const COMPARING: readonly StackKind[] = ['raid1', 'raid5f', 'verify'];
const GROWN_ON_METADATA: readonly StackKind[] = ['passthru', 'delay', 'error'];
/** More would be slow, not stranger. */
const DISKS_MAX = 14;

/** What a simulated disk may grow by. */
export const ROOM_BLOCKS = 16;

export interface StackDisk {
  readonly name: string;
  readonly kind: StackKind;
  readonly bases: readonly StackDisk[];
}

export interface StackOptions {
  readonly blockBytes: number;
  /** Disks may take blocks in a few pieces of memory only. What one refuses therefore and another does not is a difference, so nothing compares them. */
  readonly fewPieces: boolean;
  /** Of malloc disks, and what alone may stand on them; null: none. */
  readonly metadata: { readonly md_size: number; readonly md_interleave: boolean; readonly dif_type: number } | null;
}

export class Stack {
  readonly #sim: Sim;
  readonly #app: App;
  readonly #options: StackOptions;
  readonly disks: StackDisk[] = [];
  #count = 0;

  constructor(sim: Sim, app: App, options: StackOptions) {
    this.#sim = sim;
    this.#app = app;
    this.#options = options;
  }

  get #registry() {
    return bdevRegistry(this.#app.reactor);
  }

  /** From the top down. */
  toString(): string {
    const text = ({ name, bases }: StackDisk): string =>
      bases.length === 0 ? name : `${name}(${bases.map(text).join(' ')})`;
    return text(this.disks[this.disks.length - 1]);
  }

  has(...kinds: readonly StackKind[]): boolean {
    return this.disks.some(({ kind }) => kinds.includes(kind));
  }

  #add(kind: StackKind, name: string, ...bases: readonly StackDisk[]): StackDisk {
    const disk = { kind, name, bases };
    this.disks.push(disk);
    return disk;
  }

  /** A disk of up to `height` on others. */
  async build(height: number): Promise<StackDisk> {
    const { random } = this.#sim;
    if (height === 0 || this.disks.length >= DISKS_MAX || random.chance(0.1)) return this.#leaf();
    const base = await this.build(height - 1);
    const { blocks, blockSizeBytes, limits } = this.#registry.get(base.name);
    const onUnits = limits.writeUnitBlocks > 1;
    const { metadata, fewPieces } = this.#options;
    const usable = metadata !== null ? GROWN_ON_METADATA : onUnits ? GROWN_ON_UNITS : GROWN;
    let kind = random.pick(fewPieces ? usable.filter((each) => !COMPARING.includes(each)) : usable);
    if (kind === 'gpt' && (blocks - 80) * blockSizeBytes < 8192) kind = 'split';
    if ((kind === 'split' || kind === 'filter') && blocks < 32) kind = 'passthru';
    return this.#grow(kind, `${kind}${++this.#count}`, base, height);
  }

  async #grow(kind: StackKind, name: string, base: StackDisk, height: number): Promise<StackDisk> {
    const { random } = this.#sim;
    const base_bdev_name = base.name;
    const registry = this.#registry;
    switch (kind) {
      case 'passthru':
        return this.#add(kind, await registry.createOn(base.name, kind, { name, base_bdev_name }, null), base);
      case 'delay': {
        const latencies = { avg_read_latency: 5, p99_read_latency: 50, avg_write_latency: random.pick([0, 5]) };
        const params = { name, base_bdev_name, ...latencies, p99_write_latency: 30 };
        return this.#add(kind, await registry.createOn(base.name, kind, params, null), base);
      }
      case 'error': {
        const params = { name: `EE_${base.name}`, base_name: base.name };
        return this.#add(kind, await registry.createOn(base.name, kind, params, null), base);
      }
      case 'split': {
        const names = await createSplit(this.#app.reactor, { base_bdev: base.name, split_count: 2 });
        return this.#add(kind, random.pick(names), base);
      }
      case 'gpt':
        return this.#add(kind, await this.#partition(base.name), base);
      case 'filter': {
        const offsetBlocks = registry.get(base.name).limits.writeUnitBlocks > 1 ? 0 : random.int(8);
        const options = { base: base.name, offsetBlocks, homeCore: random.pick([-1, -1, ...this.#app.cores]) };
        await registry.create('sim-user', { name, module: 'filter', options });
        return this.#add(kind, name, base);
      }
      case 'verify': {
        const mirror = await this.#leaf(registry.get(base.name).blocks);
        await registry.create(kind, { name, base_bdev_name, mirror_bdev_name: mirror.name });
        return this.#add(kind, name, base, mirror);
      }
      case 'logwrites': {
        const log_bdev_name = `${name}log`;
        await registry.create('sim', { name: log_bdev_name, blocks: 1 << 15, limits: { maxRwBlocks: 40 } });
        await registry.create(kind, { name, base_bdev_name, log_bdev_name });
        return this.#add(kind, name, base);
      }
      default:
        return this.#raid(kind as 'raid0', name, base, height);
    }
  }

  async #raid(kind: 'raid0' | 'concat' | 'raid1' | 'raid5f', name: string, base: StackDisk, height: number) {
    const { random } = this.#sim;
    const { least, level } = {
      raid0: { least: 2, level: RAID0 },
      concat: { least: 2, level: CONCAT },
      raid1: { least: 2, level: RAID1 },
      raid5f: { least: 3, level: RAID5F },
    }[kind];
    const members = [base];
    for (let more = least - 1 + random.int(2); more > 0; more--) {
      const member = random.chance(0.3) ? await this.build(Math.min(height - 1, 2)) : await this.#leaf();
      // Nothing but itself can stand on what is written in units.
      const onUnits = this.#registry.get(member.name).limits.writeUnitBlocks > 1;
      members.push(onUnits ? await this.#leaf() : member);
    }
    const kb = this.#options.blockBytes / 1024;
    const stripSizeKb = kind === 'raid1' ? 0 : random.pick(kb < 1 ? [1, 2] : [kb, 2 * kb]);
    const baseBdevs = members.map((member) => member.name);
    await raidRegistry(this.#app.reactor).create({ name, level, stripSizeKb, superblock: false, baseBdevs });
    return this.#add(kind, name, ...members);
  }

  /** A partition of most of a disk. */
  async #partition(base: string): Promise<string> {
    const app = this.#app;
    await this.#registry.waitForExamine();
    const desc = BdevDesc.open(base, { write: true, reactor: app.reactor, onEvent: () => {} });
    const { blocks, blockSizeBytes } = desc.bdev;
    const { firstUsableLba, lastUsableLba } = gptUsable({ blocks, blockSizeBytes });
    const guid = (number: number) => `00000000-0000-4000-8000-${number.toString().padStart(12, '0')}`;
    const part = { typeGuid: SPDK_GPT_PART_TYPE_GUID, uniqueGuid: guid(2 + this.#count) };
    const { head, tail } = makeGpt({ blocks, blockSizeBytes }, guid(1), [
      { ...part, firstLba: firstUsableLba + this.#sim.random.int(3), lastLba: lastUsableLba },
    ]);
    const memory = await app.shareSegment(head.length + tail.length);
    memory.u8.set(head);
    memory.u8.set(tail, head.length);
    const io = new BaseIo(desc);
    const tailAt = blocks * blockSizeBytes - tail.length;
    const statuses = [
      await io.write(memory, 0, 0, head.length),
      await io.write(memory, head.length, tailAt, tail.length),
    ];
    io.close();
    desc.close();
    await app.dropSegment(memory);
    if (statuses.some((status) => status !== 0)) throw new Error(`partition table of ${base}: ${statuses}`);
    const [name] = await createGpt(app.reactor, base);
    return name;
  }

  /** A disk that stands on nothing. */
  async #leaf(blocks = 96 + this.#sim.random.int(96)): Promise<StackDisk> {
    const { random } = this.#sim;
    const { blockBytes, metadata } = this.#options;
    const registry = this.#registry;
    const kind: StackKind =
      metadata !== null
        ? 'malloc'
        : random.pick(
            blockBytes === 512
              ? (['malloc', 'sim', 'memory', 'defined'] as const)
              : (['malloc', 'memory', 'defined'] as const),
          );
    const name = `${kind}${++this.#count}`;
    const delayUs = random.pick([0, 5, 50]);
    const homeCore = random.chance(0.3) ? random.pick(this.#app.cores) : -1;
    switch (kind) {
      case 'malloc': {
        const optimal_io_boundary = random.chance(0.2) ? 1 + random.int(9) : 0;
        const sizes = { block_size: blockBytes, num_blocks: blocks, optimal_io_boundary };
        await registry.create(kind, { name, ...sizes, ...metadata });
        break;
      }
      case 'sim': {
        const types = random.pick([{}, { ioTypes: ioTypes(IO_READ, IO_WRITE, IO_FLUSH, IO_UNMAP) }]);
        const noMemory = random.pick([0, 0, 0.2]);
        const roomBlocks = ROOM_BLOCKS;
        await registry.create(kind, {
          name,
          blocks,
          roomBlocks,
          homeCore,
          delayUs,
          noMemory,
          limits: this.#limits(),
          ...types,
        });
        break;
      }
      case 'memory': {
        const types: IoTypeName[] = ['unmap', 'flush', 'write_zeroes', 'compare'];
        if (homeCore < 0) types.push('compare_and_write', 'copy', 'zcopy');
        const ioTypes: IoTypeName[] = ['read', 'write', ...types.filter(() => random.chance(0.5))];
        const limits = ioTypes.includes('zcopy') ? {} : this.#limits();
        const options = { blocks, blockBytes, ioTypes, homeCore, delayUs, limits };
        await registry.create('sim-user', { name, module: kind, options });
        break;
      }
      default: {
        const [pieces, flush, trim, zero] = [0, 1, 2, 3].map(() => random.chance(0.5));
        const disk = simDefinedDisk(blocks, blockBytes, delayUs, { pieces, flush, trim, zero });
        await registry.create('disk', { name, disk });
      }
    }
    return this.#add(kind, name);
  }

  /** What a disk cannot take whole. */
  #limits(): Partial<BdevLimits> {
    const { random } = this.#sim;
    const { blockBytes } = this.#options;
    return {
      ...random.pick([
        {},
        { optimalIoBoundaryBlocks: 1 + random.int(6), splitOnOptimalIoBoundary: true },
        { maxRwBlocks: 1 + random.int(4), maxSegments: this.#options.fewPieces ? 1 + random.int(3) : 0 },
        {
          maxSegmentBytes: blockBytes * random.pick([1, 2]),
          maxUnmapBlocks: 2,
          maxWriteZeroesBlocks: 3,
          maxCopyBlocks: 2,
        },
      ]),
      maxCopyBlocks: random.pick([0, 1, 3]),
      ...(random.chance(0.3) ? { requiredAlignmentBytes: random.pick([4, 8, 512]) } : {}),
    };
  }
}
