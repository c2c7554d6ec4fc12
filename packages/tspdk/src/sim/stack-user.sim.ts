/**
 * Who uses a stack of disks in a simulation: several I/Os under way at once, of every kind, in memory of odd pieces, some aborted, checked against the model when they end. One channel, of a lightweight thread
 * of its own or of the reactor itself.
 */
import assert from 'node:assert/strict';
import {
  type BdevChannel,
  BdevDesc,
  IO_FLAG_FUA,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
} from '../bdev/index.ts';
import { ECANCELED, EILSEQ, ENODEV, ENOMEM, ENOTSUP } from '../bdev/status.ts';
import { Cpuset } from '../env/cpuset.ts';
import { IoVecs } from '../env/iovecs.ts';
import type { Reactor } from '../event/reactor.ts';
import { Thread } from '../thread/index.ts';
import { gathered, StackMemory, slotBytes } from './stack-memory.sim.ts';
import type { ModelRead } from './stack-model.sim.ts';
import { drawOp, type StackLoad, type StackOp, USER_TYPES } from './stack-op.sim.ts';

/** What one may ask for who sees the data alone, of a disk with metadata. */
const BARE_TYPES = ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_WRITE_ZEROES, IO_FLUSH);

export class StackUser {
  readonly #load: StackLoad;
  readonly #reactor: Reactor;
  readonly #memory: StackMemory;
  readonly #thread: Thread | null;
  readonly #done: () => void;
  readonly #slots: number[];
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
    const at = index * load.depth * slotBytes(load);
    this.#memory = new StackMemory(reactor.segments.get(load.memory.id), at, load.depth, load);
    this.#done = done;
    this.#left = ios;
    this.#slots = Array.from({ length: load.depth }, (_, slot) => slot);
    const own = load.sim.random.chance(0.6);
    const cpumask = new Cpuset([reactor.core]);
    this.#thread = own ? (Thread.create(reactor, { name: `user_${index}`, cpumask }) as Thread) : null;
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
      this.#start(drawOp(this.#load, this.#memory, this.#types(), this.#slots.pop() as number));
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
    return this.#load.bare ? takenTypes & BARE_TYPES : takenTypes;
  }

  #start(op: StackOp): void {
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
  #begin(op: StackOp): void {
    const { model, count } = this.#load;
    const { kind, first, blocks, stamps, expected, iovs, writeIovs } = op;
    if (kind === 'write') this.#memory.put(iovs, stamps);
    if (expected.length > 0) this.#memory.put(iovs, expected);
    if (kind === 'compare-and-write') this.#memory.put(writeIovs, stamps);
    if (kind === 'read' || expected.length > 0) op.read = model.beginRead(first, blocks);
    if (stamps.length > 0) op.write = model.beginWrite(first, stamps, op.read);
    if (kind === 'copy') model.hold(op.from, blocks, 1);
    if (kind === 'reset') {
      count.resets++;
      count.resetting++;
    }
  }

  #attempt(op: StackOp): void {
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
      const type = kind === 'reset' ? -1 : USER_TYPES[kind];
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

  #submit(channel: BdevChannel, op: StackOp, cb: (ctx: unknown, status: number) => void): number {
    const { kind, iovs, writeIovs, flags } = op;
    const { blockBytes } = this.#load.model;
    const [at, bytes] = [op.first * blockBytes, op.blocks * blockBytes];
    const one = iovs.count === 1;
    const fua = flags & IO_FLAG_FUA;
    switch (kind) {
      case 'read':
        if (one) return channel.read(this.#memory.segment, iovs.offset[0], at, bytes, cb, op);
        return channel.readv(iovs, at, cb, op);
      case 'write':
        if (one) return channel.write(this.#memory.segment, iovs.offset[0], at, bytes, cb, op, fua);
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
  #inPlace(op: StackOp): void {
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
      if (given) this.#memory.put(place, stamps);
      channel.zcopyWritten(at, given ? bytes : 0);
      this.#forget(op, given ? 'done' : 'refused');
      this.#tally(op);
      this.#ended(op);
    });
  }

  #completed(op: StackOp, status: number): void {
    try {
      this.#check(op, status);
    } catch (error) {
      this.#load.failed(error);
    }
    this.#ended(op);
  }

  #check(op: StackOp, status: number): void {
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
    else if (kind === 'write') this.#memory.checkHolds(iovs, stamps, what);
    else if (compares) this.#memory.checkHolds(iovs, expected, what);
    if (kind === 'compare-and-write') this.#memory.checkHolds(writeIovs, stamps, what);
    if (status === 0) this.#tally(op);
    else if (status !== EILSEQ) count.failed++;
    this.#forget(op, status === 0 ? 'done' : status === EILSEQ ? 'refused' : 'unknown');
  }

  #tally({ kind, blocks }: StackOp): void {
    const { done, model } = this.#load;
    done.set(kind, (done.get(kind) ?? 0) + blocks * model.blockBytes);
  }

  #forget(op: StackOp, outcome: 'done' | 'refused' | 'unknown'): void {
    const { model, count } = this.#load;
    if (op.read !== null) model.endRead(op.read);
    if (op.write !== null) model.endWrite(op.write, outcome);
    op.read = null;
    op.write = null;
    if (op.kind === 'copy') model.hold(op.from, op.blocks, -1);
    if (op.kind === 'reset' && outcome === 'refused') count.resetting--;
  }

  #ended(op: StackOp): void {
    assert.ok(!op.ended, `${op.kind} ends once`);
    op.ended = true;
    this.#memory.checkGuards(op.slot, [op.iovs, op.writeIovs], op.kind);
    this.#load.count.ended++;
    this.#outstanding--;
    this.#slots.push(op.slot);
    this.#later(this.#load.sim.random.int(30), () => this.#go());
  }
}

/** Whether an I/O concerns a range. */
function meet([start, end]: readonly [number, number], { kind, first, blocks, from }: StackOp): boolean {
  const reaches = (at: number) => at < end && start < at + blocks;
  return reaches(first) || (kind === 'copy' && reaches(from));
}
