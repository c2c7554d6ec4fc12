/**
 * Who uses a stack of disks in a simulation: several I/Os under way at once, of every kind, in memory of odd pieces, some aborted, checked against the model when they end. One channel, of a lightweight thread
 * of its own or of the reactor itself.
 */
import assert from 'node:assert/strict';
import {
  type BdevChannel,
  BdevDesc,
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
import { ECANCELED, EILSEQ, ENODEV, ENOMEM, ENOTSUP } from '../bdev/status.ts';
import { Cpuset } from '../env/cpuset.ts';
import { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import type { Reactor } from '../event/reactor.ts';
import { Thread } from '../thread/index.ts';
import type { Sim } from './simulate.ts';
import type { ModelRead, ModelWrite, StackModel } from './stack-model.sim.ts';

/** What memory holds that nobody has a business with. */
const GUARD = 0xa5;
const PIECES = 6;
/** Before, between and behind pieces of memory, at most. */
const GAP = 600;

const TYPES = {
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
export type UserKind = keyof typeof TYPES | 'reset';

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

/** Bytes of memory for one I/O: what it reads or writes, and what it compares with. */
export function slotBytes(load: { most: number; model: StackModel }): number {
  return 2 * halfBytes(load);
}

function halfBytes({ most, model }: { most: number; model: StackModel }): number {
  return most * model.blockBytes + PIECES * GAP + GAP;
}

interface Op {
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

export class StackUser {
  readonly #load: StackLoad;
  readonly #reactor: Reactor;
  readonly #memoryAt: number;
  readonly #memory: Segment;
  readonly #thread: Thread | null;
  readonly #done: () => void;
  readonly #slots: number[];
  readonly #guard: Uint8Array;
  #desc: BdevDesc | null = null;
  #channel: BdevChannel | null = null;
  #removed = false;
  /** Nothing is under way, and nothing more comes, until it is opened again. */
  #over = false;
  /** I/Os that the channel must stay open for: those that wait to be submitted, and those in place. */
  #needChannel = 0;
  #left: number;
  #outstanding = 0;

  constructor(load: StackLoad, reactor: Reactor, index: number, ios: number, done: () => void) {
    this.#load = load;
    this.#reactor = reactor;
    this.#memoryAt = index * load.depth * slotBytes(load);
    this.#memory = reactor.segments.get(load.memory.id);
    this.#done = done;
    this.#left = ios;
    this.#guard = new Uint8Array(slotBytes(load)).fill(GUARD);
    this.#slots = Array.from({ length: load.depth }, (_, slot) => slot);
    const own = load.sim.random.chance(0.6);
    const cpumask = new Cpuset([reactor.core]);
    this.#thread = own ? (Thread.create(reactor, { name: `user_${index}`, cpumask }) as Thread) : null;
    this.#memory.u8.fill(GUARD, this.#memoryAt, this.#memoryAt + load.depth * slotBytes(load));
  }

  get core(): number {
    return this.#reactor.core;
  }

  /** Opens the disk, and goes on. On its core. */
  open(): void {
    const { top, bare } = this.#load;
    this.#removed = false;
    this.#over = false;
    this.#run(() => {
      const options = { write: true, reactor: this.#reactor, hideMetadata: bare };
      try {
        this.#desc = BdevDesc.open(top, { ...options, onEvent: (event) => this.#onEvent(event) });
        this.#channel = this.#desc.getIoChannel();
      } catch (error) {
        // It has gone before one could open it, or what it stands on has.
        if (!this.#load.allowed.has(ENODEV) || (error as { code?: string }).code !== 'ENODEV') throw error;
        this.#removed = true;
      }
      this.#go();
    });
  }

  #run(fn: () => void): void {
    try {
      if (this.#thread === null) fn();
      else this.#thread.run(fn);
    } catch (error) {
      this.#load.failed(error);
    }
  }

  #later(us: number, fn: () => void): void {
    this.#load.sim.at(this.core, us, () => this.#run(fn));
  }

  #onEvent(event: string): void {
    if (event !== 'remove') return;
    if (!this.#load.allowed.has(ENODEV)) this.#load.failed(new Error('the disk stays'));
    this.#removed = true;
    this.#go();
  }

  /** As much as there is room for, or the end. */
  #go(): void {
    const { random } = this.#load.sim;
    while (!this.#removed && this.#left > 0 && this.#slots.length > 0) {
      this.#left--;
      this.#start(this.#draw(this.#slots.pop() as number));
      if (random.chance(0.3)) break;
    }
    if (this.#outstanding > 0) {
      // What is under way completes all the same.
      if (this.#left === 0 && this.#needChannel === 0 && random.chance(0.1)) this.#shut();
      return;
    }
    if (!this.#removed && this.#left > 0) {
      this.#later(random.int(20), () => this.#go());
      return;
    }
    if (this.#over) return;
    this.#over = true;
    this.#shut();
    if (this.#left > 0 && !this.#load.ends) this.#load.parked.push(this);
    else {
      this.#thread?.exit();
      this.#done();
    }
  }

  #shut(): void {
    if (this.#desc === null) return;
    if (this.#load.sim.random.chance(0.5)) this.#channel?.close();
    this.#desc.close();
    this.#desc = null;
    this.#channel = null;
  }

  #types(): number {
    const { takenTypes } = (this.#channel as BdevChannel).bdev;
    const bare = [IO_READ, IO_WRITE, IO_UNMAP, IO_WRITE_ZEROES, IO_FLUSH].reduce((mask, type) => mask | (1 << type), 0);
    return this.#load.bare ? takenTypes & bare : takenTypes;
  }

  #draw(slot: number): Op {
    const { model, overlap, sim, resets, unit, window, most } = this.#load;
    const { random } = sim;
    let kind: UserKind = resets && random.chance(0.02) ? 'reset' : random.pick(KINDS);
    if (kind !== 'reset' && (this.#types() & (1 << TYPES[kind])) === 0 && !random.chance(0.05)) kind = 'read';
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
      expected = model.certain(first, blocks) ?? this.#guess(first, blocks);
      if (random.chance(0.1)) expected[random.int(blocks)] = model.newStamps(1)[0];
    }
    const flags = random.pick([0, 0, IO_FLAG_FUA, ...(kind === 'zero' ? [IO_FLAG_NO_HOLE] : [])]);
    const bytes = blocks * model.blockBytes;
    const iovs = this.#layOut(slot, 0, bytes);
    const writeIovs = this.#layOut(slot, 1, bytes);
    const { count: counts } = this.#load;
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
  #guess(first: number, blocks: number): number[] {
    const read = this.#load.model.beginRead(first, blocks);
    this.#load.model.endRead(read);
    return read.allowed.map((each) => Math.max(0, this.#load.sim.random.pick([...each])));
  }

  /** Memory for `bytes`, in pieces that no block ends at. */
  #layOut(slot: number, half: number, bytes: number): IoVecs {
    const { random } = this.#load.sim;
    const iovs = new IoVecs(PIECES);
    let at = this.#memoryAt + slot * slotBytes(this.#load) + half * halfBytes(this.#load);
    let left = bytes;
    for (let more = random.pick([0, 0, 1, 2, PIECES - 1]); left > 0; more--) {
      at += random.pick([0, 1, 4, 512, random.int(GAP)]);
      const piece = more > 0 ? Math.min(left, 1 + random.int(random.pick([16, 512, 2 * left]))) : left;
      iovs.push(this.#memory, at, piece);
      at += piece;
      left -= piece;
    }
    return iovs;
  }

  #start(op: Op): void {
    this.#outstanding++;
    this.#load.count.begun++;
    if (op.kind.startsWith('in-place')) {
      this.#inPlace(op);
      return;
    }
    this.#begin(op);
    this.#attempt(op);
  }

  /** Before it is submitted, as others may meet it before that returns. */
  #begin(op: Op): void {
    const { model, count } = this.#load;
    const { kind, first, blocks, stamps, expected, iovs, writeIovs } = op;
    if (kind === 'write') this.#put(iovs, stamps);
    if (expected.length > 0) this.#put(iovs, expected);
    if (kind === 'compare-and-write') this.#put(writeIovs, stamps);
    if (kind === 'read' || expected.length > 0) op.read = model.beginRead(first, blocks);
    if (stamps.length > 0) op.write = model.beginWrite(first, stamps, op.read);
    if (kind === 'copy') model.hold(op.from, blocks, 1);
    if (kind === 'reset') {
      count.resets++;
      count.resetting++;
    }
  }

  #attempt(op: Op): void {
    const { sim, aborts } = this.#load;
    const { random } = sim;
    const { kind, first, blocks } = op;
    const channel = this.#channel as BdevChannel;
    const rc = this.#submit(channel, op, (_, status) => this.#completed(op, status));
    if (rc === ENOMEM) {
      this.#needChannel++;
      channel.queueIoWait({
        onReady: () => {
          this.#needChannel--;
          this.#attempt(op);
        },
      });
      return;
    }
    if (rc !== 0) {
      this.#forget(op, 'refused');
      const type = kind === 'reset' ? -1 : TYPES[kind];
      const missing = type >= 0 && (this.#types() & (1 << type)) === 0;
      assert.equal(
        rc,
        missing && rc !== ENODEV ? ENOTSUP : ENODEV,
        `${kind} of ${blocks} blocks at ${first} is refused`,
      );
      if (rc === ENODEV) {
        assert.ok(this.#load.allowed.has(ENODEV), `${kind} is refused`);
        this.#removed = true;
        this.#left++;
      }
      this.#ended(op);
      return;
    }
    if (aborts && random.chance(0.1)) {
      this.#later(random.int(200), () => {
        if (op.ended || this.#channel !== channel) return;
        op.aborted = true;
        const found = channel.abort(op);
        assert.ok(found === 0 || found === 1, `an abort ends ${found} I/Os`);
      });
    }
  }

  #submit(channel: BdevChannel, op: Op, cb: (ctx: unknown, status: number) => void): number {
    const { kind, iovs, writeIovs, flags } = op;
    const { blockBytes } = this.#load.model;
    const [at, bytes] = [op.first * blockBytes, op.blocks * blockBytes];
    const one = iovs.count === 1;
    const fua = flags & IO_FLAG_FUA;
    switch (kind) {
      case 'read':
        if (one) return channel.read(this.#memory, iovs.offset[0], at, bytes, cb, op);
        return channel.readv(iovs, at, cb, op);
      case 'write':
        if (one) return channel.write(this.#memory, iovs.offset[0], at, bytes, cb, op, fua);
        return channel.writev(iovs, at, cb, op, fua);
      case 'zero':
        return channel.writeZeroes(at, bytes, flags, cb, op);
      case 'unmap':
        return channel.unmap(at, bytes, cb, op);
      case 'flush':
        return channel.flush(at, bytes, cb, op);
      case 'compare':
        return channel.comparev(iovs, at, cb, op);
      case 'compare-and-write':
        return channel.comparevAndWritev(iovs, writeIovs, at, cb, op, fua);
      case 'copy':
        return channel.copy(at, op.from * blockBytes, bytes, cb, op);
      default:
        return channel.reset(cb, op);
    }
  }

  /** Without an I/O, in the disk's own memory. */
  #inPlace(op: Op): void {
    const { model, sim, resting } = this.#load;
    const { first, blocks, stamps } = op;
    const channel = this.#channel as BdevChannel;
    const [at, bytes] = [first * model.blockBytes, blocks * model.blockBytes];
    const place = new IoVecs(64);
    op.read = stamps.length === 0 ? model.beginRead(first, blocks) : null;
    op.write = stamps.length > 0 ? model.beginWrite(first, stamps) : null;
    if (!channel.zcopy(at, bytes, place, stamps.length > 0)) {
      assert.equal(place.count, 0, 'what is not there is not named');
      this.#forget(op, 'refused');
      this.#later(1, () => this.#ended(op));
      return;
    }
    assert.equal(place.totalBytes, bytes);
    if (op.read !== null) {
      model.check(op.read, gathered(place));
      this.#forget(op, 'done');
      this.#tally(op);
      this.#later(1, () => this.#ended(op));
      return;
    }
    this.#needChannel++;
    this.#later(sim.random.int(100), () => {
      this.#needChannel--;
      for (const range of resting) assert.ok(!meet(range, op), `blocks at ${first} are at rest, and written in place`);
      const given = sim.random.chance(0.9);
      if (given) this.#put(place, stamps);
      channel.zcopyWritten(at, given ? bytes : 0);
      this.#forget(op, given ? 'done' : 'refused');
      this.#tally(op);
      this.#ended(op);
    });
  }

  #completed(op: Op, status: number): void {
    try {
      this.#check(op, status);
    } catch (error) {
      this.#load.failed(error);
    }
    this.#ended(op);
  }

  #check(op: Op, status: number): void {
    const { model, allowed, count, resting } = this.#load;
    const { kind, first, blocks, expected, stamps, iovs, writeIovs } = op;
    const what = `${kind} of ${blocks} blocks at ${first}`;
    assert.ok(!op.ended, `${what} ends once`);
    if (kind === 'reset') count.resetting--;
    const canceled = kind !== 'reset' && (op.aborted || op.resetting || count.resets !== op.resets);
    const compares = expected.length > 0;
    const fine = status === 0 || (status === ECANCELED && canceled) || (status === EILSEQ && compares);
    assert.ok(fine || allowed.has(status), `${what} ends with ${status}`);
    // A compare-and-write has let its range go before it is told of.
    const mayRest = status !== 0 || kind === 'reset' || kind === 'compare-and-write';
    for (const range of resting) assert.ok(mayRest || !meet(range, op), `${what} ends while its range is at rest`);
    if (compares && (status === 0 || status === EILSEQ)) {
      model.checkCompared(op.read as ModelRead, expected, status === 0);
      if (status === 0 && stamps.length > 0) model.replaced(first, expected);
    }
    if (kind === 'read' && status === 0) model.check(op.read as ModelRead, gathered(iovs));
    else if (kind === 'write') this.#holds(iovs, stamps, what);
    else if (compares) this.#holds(iovs, expected, what);
    if (kind === 'compare-and-write') this.#holds(writeIovs, stamps, what);
    if (status === 0) this.#tally(op);
    else if (status !== EILSEQ) count.failed++;
    this.#forget(op, status === 0 ? 'done' : status === EILSEQ ? 'refused' : 'unknown');
  }

  #tally({ kind, blocks }: Op): void {
    const { done, model } = this.#load;
    done.set(kind, (done.get(kind) ?? 0) + blocks * model.blockBytes);
  }

  #forget(op: Op, outcome: 'done' | 'refused' | 'unknown'): void {
    const { model, count } = this.#load;
    if (op.read !== null) model.endRead(op.read);
    if (op.write !== null) model.endWrite(op.write, outcome);
    op.read = null;
    op.write = null;
    if (op.kind === 'copy') model.hold(op.from, op.blocks, -1);
    if (op.kind === 'reset' && outcome === 'refused') count.resetting--;
  }

  #ended(op: Op): void {
    assert.ok(!op.ended, `${op.kind} ends once`);
    op.ended = true;
    this.#checkGuards(op);
    this.#load.count.ended++;
    this.#outstanding--;
    this.#slots.push(op.slot);
    this.#later(this.#load.sim.random.int(30), () => this.#go());
  }

  #put(iovs: IoVecs, stamps: readonly number[]): void {
    let at = 0;
    const all = this.#bytesOf(stamps);
    for (let i = 0; i < iovs.count; i++) {
      const { u8 } = iovs.segment[i] as Segment;
      u8.set(all.subarray(at, at + iovs.bytes[i]), iovs.offset[i]);
      at += iovs.bytes[i];
    }
  }

  #bytesOf(stamps: readonly number[]): Uint8Array {
    const { model } = this.#load;
    const all = new Uint8Array(stamps.length * model.blockBytes);
    for (const [i, stamp] of stamps.entries()) all.set(model.bytesOf(stamp), i * model.blockBytes);
    return all;
  }

  /** Nobody has written to what was to be read. */
  #holds(iovs: IoVecs, stamps: readonly number[], what: string): void {
    assert.ok(Buffer.compare(gathered(iovs), this.#bytesOf(stamps)) === 0, `${what}: its memory stays as it is`);
  }

  /** Nobody has written beside the pieces, which are made like all else. */
  #checkGuards({ slot, iovs, writeIovs, kind }: Op): void {
    const { u8 } = this.#memory;
    for (const each of [iovs, writeIovs]) {
      for (let i = 0; i < each.count; i++) u8.fill(GUARD, each.offset[i], each.offset[i] + each.bytes[i]);
    }
    const bytes = slotBytes(this.#load);
    const at = this.#memoryAt + slot * bytes;
    const same = Buffer.compare(u8.subarray(at, at + bytes), this.#guard) === 0;
    assert.ok(same, `memory beside that of a ${kind} is written to`);
  }
}

const meet = ([from, end]: readonly [number, number], { first, blocks }: Op): boolean =>
  first < end && from < first + blocks;

function gathered(iovs: IoVecs): Uint8Array {
  const all = new Uint8Array(iovs.totalBytes);
  let at = 0;
  for (let i = 0; i < iovs.count; i++) {
    const { u8 } = iovs.segment[i] as Segment;
    all.set(u8.subarray(iovs.offset[i], iovs.offset[i] + iovs.bytes[i]), at);
    at += iovs.bytes[i];
  }
  return all;
}
