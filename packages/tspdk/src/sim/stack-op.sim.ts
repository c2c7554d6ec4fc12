/** One I/O of a user of a stack, and what the users of one share. */
import {
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_FLAG_FUA,
  IO_FLAG_NO_HOLE,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  IO_ZCOPY,
} from '../bdev/index.ts';
import type { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import type { Sim } from './simulate.ts';
import type { StackMemory } from './stack-memory.sim.ts';
import type { ModelRead, ModelWrite, StackModel } from './stack-model.sim.ts';
import type { StackUser } from './stack-user.sim.ts';

/** The type of I/O behind each kind. */
export const USER_TYPES = {
  read: IO_READ,
  write: IO_WRITE,
  zero: IO_WRITE_ZEROES,
  unmap: IO_UNMAP,
  flush: IO_FLUSH,
  compare: IO_COMPARE,
  'compare-and-write': IO_COMPARE_AND_WRITE,
  copy: IO_COPY,
  'in-place read': IO_ZCOPY,
  'in-place write': IO_ZCOPY,
} as const;
export type UserKind = keyof typeof USER_TYPES | 'reset';

const KINDS: readonly UserKind[] = [
  ...(['read', 'read', 'read', 'write', 'write', 'write', 'zero', 'unmap', 'flush', 'compare'] as const),
  ...([
    'compare-and-write',
    'compare-and-write',
    'copy',
    'copy',
    'in-place read',
    'in-place write',
    'in-place write',
  ] as const),
];

/** Whose ranges may meet: nobody's; reads those of one write; all, whose outcome is then one of several. */
export type Overlap = 'none' | 'reads' | 'all';

/** What all users of a disk share. */
export interface StackLoad {
  readonly sim: Sim;
  readonly top: string;
  readonly model: StackModel;
  /** Blocks that they use. */
  readonly window: readonly [first: number, end: number];
  /** Blocks of the least write. */
  readonly unit: number;
  /** Blocks of the largest I/O. */
  readonly most: number;
  /** Of a disk with metadata, the data alone. */
  readonly bare: boolean;
  readonly overlap: Overlap;
  /** I/Os of one user at once. */
  readonly depth: number;
  readonly aborts: boolean;
  readonly resets: boolean;
  /** Statuses that no I/O is to blame for. */
  readonly allowed: ReadonlySet<number>;
  readonly memory: Segment;
  readonly failed: (error: unknown) => void;
  /** Ranges, in blocks, that are at rest. */
  readonly resting: Set<readonly [first: number, end: number]>;
  /** The disk does not come back when it goes. */
  readonly ends: boolean;
  /** Users who wait for the disk to come back. */
  readonly parked: StackUser[];
  readonly count: { begun: number; ended: number; failed: number; resets: number; resetting: number };
  /** Bytes, by kind, of what went well. */
  readonly done: Map<UserKind, number>;
}

export interface StackOp {
  readonly slot: number;
  readonly kind: UserKind;
  readonly first: number;
  readonly blocks: number;
  /** Where a copy comes from. */
  readonly from: number;
  /** By block, of what it writes. */
  readonly stamps: readonly number[];
  /** By block, of what it compares with. */
  readonly expected: readonly number[];
  readonly flags: number;
  readonly iovs: IoVecs;
  readonly writeIovs: IoVecs;
  read: ModelRead | null;
  write: ModelWrite | null;
  aborted: boolean;
  /** Resets before it, and whether one was under way. */
  resets: number;
  resetting: boolean;
  ended: boolean;
}

/** What a user does next, of those types of I/O that there are. */
export function drawOp(load: StackLoad, memory: StackMemory, types: number, slot: number): StackOp {
  const { model, overlap, sim, resets, unit, window, most } = load;
  const { random } = sim;
  let kind: UserKind = resets && random.chance(0.02) ? 'reset' : random.pick(KINDS);
  if (kind !== 'reset' && (types & (1 << USER_TYPES[kind])) === 0 && !random.chance(0.05)) kind = 'read';
  const writes = !['read', 'flush', 'compare', 'in-place read', 'reset'].includes(kind);
  const step = writes ? unit : 1;
  const units = Math.floor((window[1] - window[0]) / step);
  const count = 1 + random.int(Math.min(units, Math.floor(most / step), random.chance(0.5) ? 3 : most));
  const blocks = count * step;
  let first = window[0] + step * random.int(units - count + 1);
  let from = window[0] + random.int(window[1] - window[0] - blocks + 1);
  const meets = () =>
    (writes &&
      (model.isHeld(first, blocks) ||
        (overlap !== 'all' && model.meetsWrites(first, blocks)) ||
        (overlap === 'none' && model.meetsReads(first, blocks)))) ||
    (overlap === 'none' && model.meetsWrites(first, blocks));
  for (let i = 0; i < 6 && meets(); i++) first = window[0] + step * random.int(units - count + 1);
  if (meets()) kind = 'flush';
  let expected: number[] = [];
  let stamps: number[] = [];
  if (kind === 'write' || kind === 'compare-and-write' || kind === 'in-place write') stamps = model.newStamps(blocks);
  if (kind === 'zero' || kind === 'unmap') stamps = model.zeroStamps(blocks);
  if (kind === 'copy') {
    if (from < first + blocks && first < from + blocks)
      from = first >= window[0] + blocks ? first - blocks : first + blocks;
    const source = from + blocks <= window[1] ? model.certain(from, blocks) : null;
    if (source === null) kind = 'flush';
    else stamps = source;
  }
  if (kind === 'compare' || kind === 'compare-and-write') {
    expected = model.certain(first, blocks) ?? guess(load, first, blocks);
    if (random.chance(0.1)) expected[random.int(blocks)] = model.newStamps(1)[0];
  }
  const flags = random.pick([0, 0, IO_FLAG_FUA, ...(kind === 'zero' ? [IO_FLAG_NO_HOLE] : [])]);
  const bytes = blocks * model.blockBytes;
  const iovs = memory.layOut(random, slot, 0, bytes);
  const writeIovs = memory.layOut(random, slot, 1, bytes);
  const { count: counts } = load;
  return {
    ...{ slot, kind, first, blocks, from, stamps, expected, flags, iovs, writeIovs },
    ...{
      read: null,
      write: null,
      aborted: false,
      ended: false,
      resets: counts.resets,
      resetting: counts.resetting > 0,
    },
  };
}

/** What might be there. */
function guess({ model, sim }: StackLoad, first: number, blocks: number): number[] {
  const read = model.beginRead(first, blocks);
  model.endRead(read);
  return read.allowed.map((each) => Math.max(0, sim.random.pick([...each])));
}
