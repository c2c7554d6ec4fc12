/**
 * A verify disk on its home core. I/Os that overlap, of which one changes data, go one after the other in order of submission: else both disks might do them in different orders and both
 * be right.
 */
import { resetBases } from '../../../bdev/base-reset.ts';
import type { BdevIo, BdevIoDone } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import {
  type BackendChannel,
  type BdevBackend,
  type BdevDesc,
  type BdevSpec,
  Extents,
  IO_FLUSH,
  IO_READ,
  IO_TYPE_NAMES,
  openBase,
  openChannels,
} from '../../../bdev/index.ts';
import { bufferRank, PLACE_CARRIED } from '../../../bdev/io-rank.ts';
import { ECANCELED, EIO } from '../../../bdev/status.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { log } from '../../../log/index.ts';
import { notifyOf } from '../../../notify/index.ts';
import type { VerifyData } from './verify-bdev.ts';
import { VerifyOp } from './verify-op.ts';

const verifyLog = log.register('bdev_verify');
export const DIFFERENCE_EVENT = 'bdev_verify_difference';

const ofFirst = new Extents(1);
const ofOther = new Extents(1);

class VerifyChannel implements BackendChannel {
  readonly #backend: VerifyBackend;
  readonly #first: BdevChannel;
  readonly #other: BdevChannel;

  constructor(backend: VerifyBackend, first: BdevChannel, other: BdevChannel) {
    this.#backend = backend;
    this.#first = first;
    this.#other = other;
  }

  submit(io: BdevIo): void {
    this.#backend.submit(io, this.#first, this.#other);
  }

  abort(io: BdevIo): boolean {
    return this.#backend.abort(io);
  }

  /** A hole is one where both have one, so that who skips it misses no difference. */
  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    if (this.#backend.differs) return EIO;
    let done = 0;
    while (done < bytes) {
      const rc = this.#nextExtents(byteOffset + done, bytes - done);
      if (rc !== 0) return done > 0 ? 0 : rc;
      const length = Math.min(ofFirst.bytes[0], ofOther.bytes[0]);
      if (!out.push(length, ofFirst.flags[0] & ofOther.flags[0])) break;
      done += length;
    }
    return 0;
  }

  #nextExtents(byteOffset: number, bytes: number): number {
    ofFirst.reset();
    ofOther.reset();
    return this.#first.blockStatus(byteOffset, bytes, ofFirst) || this.#other.blockStatus(byteOffset, bytes, ofOther);
  }

  reset(cb: BdevIoDone, ctx: unknown): void {
    resetBases([this.#first, this.#other], cb, ctx);
  }

  close(): void {
    this.#first.close();
    this.#other.close();
  }
}

export class VerifyBackend implements BdevBackend {
  readonly #name: string;
  readonly bufRank: number;
  readonly #reactor: Reactor;
  readonly #first: BdevDesc;
  readonly #other: BdevDesc;
  readonly #free: VerifyOp[] = [];
  readonly #active: VerifyOp[] = [];
  #waiting: VerifyOp[] = [];
  /** What differed; empty: nothing has. */
  difference = '';

  constructor(spec: BdevSpec, reactor: Reactor) {
    const { base, mirror } = spec.data as VerifyData;
    this.#name = spec.name;
    this.bufRank = bufferRank(spec, PLACE_CARRIED);
    this.#reactor = reactor;
    this.#first = openBase(base, reactor);
    try {
      this.#other = openBase(mirror, reactor);
    } catch (error) {
      this.#first.close();
      throw error;
    }
  }

  get differs(): boolean {
    return this.difference !== '';
  }

  createChannel(): BackendChannel {
    return new VerifyChannel(this, ...openChannels(this.#first, this.#other));
  }

  submit(io: BdevIo, first: BdevChannel, other: BdevChannel): void {
    const op = this.#free.pop() ?? new VerifyOp(this);
    op.set(io, first, other);
    if (this.#mustWait(op, this.#waiting.length)) this.#waiting.push(op);
    else this.#begin(op);
  }

  /** Whether `op` overlaps one that is under way, or one of the first `before` that wait. */
  #mustWait(op: VerifyOp, before: number): boolean {
    const io = op.io as BdevIo;
    for (const other of this.#active) if (conflict(io, other.io as BdevIo)) return true;
    for (let i = 0; i < before; i++) if (conflict(io, this.#waiting[i].io as BdevIo)) return true;
    return false;
  }

  #begin(op: VerifyOp): void {
    this.#active.push(op);
    op.start();
  }

  ended(op: VerifyOp): void {
    this.#active.splice(this.#active.indexOf(op), 1);
    this.#free.push(op);
    for (let i = 0; i < this.#waiting.length; ) {
      const next = this.#waiting[i];
      // It is itself at place i.
      if (this.#mustWait(next, i)) i++;
      else {
        this.#waiting.splice(i, 1);
        this.#begin(next);
      }
    }
  }

  /** Takes out an I/O that has not begun, or ends a read. What changes data, once begun on one disk, has to be done on the other. */
  abort(io: BdevIo): boolean {
    const active = this.#active.find((each) => each.io === io);
    if (active !== undefined) return io.type === IO_READ && active.abort();
    const op = this.#waiting.find((each) => each.io === io);
    if (op === undefined) return false;
    this.#waiting = this.#waiting.filter((each) => each !== op);
    op.io = null;
    this.#free.push(op);
    io.complete(ECANCELED);
    return true;
  }

  tellStatuses({ type, byteOffset, bytes }: BdevIo, first: number, other: number): void {
    this.#tell(`${IO_TYPE_NAMES[type]} of ${bytes} bytes at ${byteOffset} ends with ${first} and with ${other}`);
  }

  tellData(byteOffset: number): void {
    this.#tell(`the data differ at byte ${byteOffset}`);
  }

  #tell(difference: string): void {
    if (this.differs) return;
    this.difference = difference;
    const { name: a } = this.#first.bdev;
    const { name: b } = this.#other.bdev;
    verifyLog.error(`bdev "${this.#name}" stops: "${a}" and "${b}": ${difference}`);
    notifyOf(this.#reactor).send(DIFFERENCE_EVENT, this.#name);
  }

  close(): void {
    this.#first.close();
    this.#other.close();
  }
}

function conflict(a: BdevIo, b: BdevIo): boolean {
  if (a.type === IO_FLUSH || b.type === IO_FLUSH || (a.type === IO_READ && b.type === IO_READ)) return false;
  return a.byteOffset < b.byteOffset + b.bytes && b.byteOffset < a.byteOffset + a.bytes;
}
