/**
 * The data path of a disk whose writes are logged, on one lightweight thread: a channel of the disk below and one of the log's. What is asked goes to the disk
 * below; what has changed it then goes to the log, from the memory it came from, and completes when it is there. See log-state.ts for the order.
 */
import { RESET_RETRIES, RESET_RETRY_US, resetBases } from '../../../bdev/base-reset.ts';
import type { BdevIo, BdevIoDone } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import type { Extents } from '../../../bdev/extents.ts';
import { type BackendChannel, IO_FLAG_FUA, IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE_ZEROES } from '../../../bdev/index.ts';
import { ECANCELED, ENOMEM, ENOSPC } from '../../../bdev/status.ts';
import {
  encodeLogEntry,
  encodeLogMark,
  LOG_DISCARD_FLAG,
  LOG_FLUSH_FLAG,
  LOG_FUA_FLAG,
  logDataSectors,
} from './log-format.ts';
import type { LogOp, LogState } from './log-state.ts';

/** Stands in the log where a flush was submitted that then failed. */
export const FLUSH_FAILED_MARK = 'flush failed';

export class LogWritesChannel implements BackendChannel {
  readonly log: BdevChannel;
  readonly #base: BdevChannel;
  readonly #state: LogState;

  constructor(base: BdevChannel, log: BdevChannel, state: LogState) {
    this.#base = base;
    this.log = log;
    this.#state = state;
  }

  submit(io: BdevIo): void {
    if (io.type === IO_READ) {
      const rc = this.#base.forward(io, io.byteOffset, readDone, io);
      if (rc !== 0) io.complete(rc);
      return;
    }
    const state = this.#state;
    if (state.broken !== 0) {
      io.complete(state.broken);
      return;
    }
    const flush = io.type === IO_FLUSH;
    const flags = flush ? LOG_FLUSH_FLAG : io.type === IO_UNMAP ? LOG_DISCARD_FLAG : fuaOf(io);
    const nrSectors = flush ? 0 : io.bytes / state.tail.sectorSize;
    if (!state.hasRoom(flags, nrSectors)) {
      io.complete(ENOSPC);
      return;
    }
    const op = state.take(this, flags, nrSectors);
    if (op === null) {
      io.complete(ENOMEM);
      return;
    }
    const rc = this.#base.forward(io, io.byteOffset, baseDone, op);
    if (rc !== 0) {
      state.give(op);
      io.complete(rc);
      return;
    }
    op.io = io;
    io.driver = op;
    if (flush) state.append(op);
  }

  /** The disk below is done. */
  baseDone(op: LogOp, status: number): void {
    const io = op.io as BdevIo;
    if (io.type === IO_FLUSH) {
      op.baseStatus = status;
    } else if (status !== 0) {
      this.#state.give(op);
      io.complete(status);
      return;
    } else {
      this.#state.append(op);
    }
    this.#begin(op, status === 0 ? null : FLUSH_FAILED_MARK);
  }

  /** Appends a mark; `onDone` is told when the superblock counts it. `hasRoom` comes first. Control path. */
  mark(op: LogOp, label: string, onDone: (status: number) => void): void {
    op.onDone = onDone;
    this.#state.append(op);
    this.#begin(op, label);
  }

  #begin(op: LogOp, label: string | null): void {
    const { segment, tail } = this.#state;
    const { view } = segment;
    if (label !== null) {
      encodeLogMark(view, op.slot, tail.sectorSize, label);
    } else {
      const sector = op.io === null || op.nrSectors === 0 ? 0 : op.io.byteOffset / tail.sectorSize;
      encodeLogEntry(view, op.slot, tail.sectorSize, sector, op.nrSectors, op.flags);
    }
    op.step = 0;
    op.steps = logDataSectors(op.flags, op.nrSectors) > 0 ? 2 : 1;
    op.pending = 0;
    this.writeEntry(op);
  }

  /** Begins what is left of an entry's writes to the log, as far as there are BdevIos. */
  writeEntry(op: LogOp): void {
    while (op.step < op.steps) {
      const rc = this.#writePart(op);
      if (rc === ENOMEM) {
        this.log.queueIoWait(op);
        return;
      }
      op.step++;
      if (rc === 0) op.pending++;
      else op.logStatus = rc;
    }
    if (op.pending === 0) this.#logged(op);
  }

  #writePart(op: LogOp): number {
    const { segment, tail } = this.#state;
    if (op.step === 0) return this.log.write(segment, op.slot, op.logOffset, tail.sectorSize, logDone, op);
    const io = op.io as BdevIo;
    const at = op.logOffset + tail.sectorSize;
    if (io.type === IO_WRITE_ZEROES) return this.log.writeZeroes(at, io.bytes, 0, logDone, op);
    return this.log.writev(io.iovs, at, logDone, op);
  }

  /** A part of an entry is written. */
  logDone(op: LogOp, status: number): void {
    op.pending--;
    if (status !== 0 && (op.logStatus === 0 || op.logStatus === ECANCELED)) op.logStatus = status;
    if (op.pending > 0 || op.step < op.steps) return;
    if (op.logStatus === ECANCELED && op.retries++ < RESET_RETRIES) {
      // Others, who share what the log's disk stands on, have reset it; that says nothing about the log.
      op.logStatus = 0;
      op.step = 0;
      this.log.shared.manager.retryAfter(RESET_RETRY_US, op);
    } else this.#logged(op);
  }

  #logged(op: LogOp): void {
    const state = this.#state;
    const { io, logStatus } = op;
    state.wrote(logStatus);
    op.logged = true;
    if (io !== null && io.type !== IO_FLUSH) {
      op.io = null;
      io.complete(logStatus === 0 ? 0 : state.broken);
    }
    state.advance();
  }

  abort(io: BdevIo): boolean {
    return this.#base.abort(io.type === IO_READ ? io : io.driver) > 0;
  }

  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    return this.#base.blockStatus(byteOffset, bytes, out);
  }

  /** Not the log's disk: a mark or the superblock may be on the way there. */
  reset(cb: BdevIoDone, ctx: unknown): void {
    resetBases([this.#base], cb, ctx);
  }

  close(): void {
    this.#base.close();
    this.log.close();
  }
}

function fuaOf(io: BdevIo): number {
  return (io.flags & IO_FLAG_FUA) !== 0 ? LOG_FUA_FLAG : 0;
}

function readDone(io: unknown, status: number): void {
  (io as BdevIo).complete(status);
}

function baseDone(op: unknown, status: number): void {
  ((op as LogOp).channel as LogWritesChannel).baseDone(op as LogOp, status);
}

function logDone(op: unknown, status: number): void {
  ((op as LogOp).channel as LogWritesChannel).logDone(op as LogOp, status);
}
