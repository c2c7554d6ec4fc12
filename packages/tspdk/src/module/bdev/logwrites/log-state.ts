/**
 * One log while it is written: the order of its entries, which of them are written, and the superblock that says so. Data path; lives on one core, shared by the
 * channels of its lightweight threads.
 *
 * Entries are numbered, and get their place in the log, in the order in which they happen: a write, discard or zeroing when the disk below has completed it, a flush
 * when it is submitted. What completes while a flush is under way may not have been covered by it, and so stands behind it; what stands before it was complete. The
 * log's own writes may finish in any order. Only entries without a gap before them count, and the superblock never says more: it is written when a flush or a
 * mark has come to the front, which complete after it. A log that could not be written has a gap for ever: from then on nothing that changes
 * the disk is taken any more. When its disk is going, this one is too, and what fails says so.
 */
import { RESET_RETRIES, RESET_RETRY_US } from '../../../bdev/base-reset.ts';
import type { BdevIo, IoWaitEntry } from '../../../bdev/bdev-io.ts';
import type { Retry } from '../../../bdev/manager.ts';
import { ECANCELED, EIO, ENODEV, ENOMEM } from '../../../bdev/status.ts';
import { alignedOffset, type Segment } from '../../../env/segment.ts';
import type { LogWritesChannel } from './log-channel.ts';
import { encodeLogSuper, LogTail, logDataSectors } from './log-format.ts';

/** Entries under way at once; past it a submission gets -ENOMEM and is tried again by the layer. */
export const LOG_OPS = 256;
/** The largest alignment that a disk may want of memory. */
const ALIGN_BYTES = 4096;

/** Bytes of memory for the sectors of entries under way, and the superblock's. */
export function logMemoryBytes(sectorSize: number): number {
  return (LOG_OPS + 1) * sectorSize + ALIGN_BYTES;
}

/** An entry on its way; reused. */
export class LogOp implements IoWaitEntry, Retry {
  /** Where its sector is made, in the log's memory. */
  readonly slot: number;
  channel: LogWritesChannel | null = null;
  /** The request; null for a mark, and once it has been completed. */
  io: BdevIo | null = null;
  /** Called instead of a request's completion. */
  onDone: ((status: number) => void) | null = null;
  flags = 0;
  nrSectors = 0;
  /** Sectors of the log that are kept for it, until it has its place. */
  reserved = 0;
  /** Which entry it is, and the byte of the log it starts at. */
  index = -1;
  logOffset = 0;
  /** What the disk below said. */
  baseStatus = 0;
  /** What the log's disk said. */
  logStatus = 0;
  /** Writes to the log that were begun, of how many, and that are outstanding. */
  step = 0;
  steps = 0;
  pending = 0;
  /** How often it was written again. */
  retries = 0;
  /** All of it is in the log, or never will be. */
  logged = false;
  next: LogOp | null = null;

  constructor(slot: number) {
    this.slot = slot;
  }

  onReady(): void {
    (this.channel as LogWritesChannel).writeEntry(this);
  }

  retry(): void {
    this.onReady();
  }
}

export class LogState implements IoWaitEntry, Retry {
  readonly segment: Segment;
  readonly tail: LogTail;
  /** What whatever changes the disk ends with since the log has a gap: -EIO, or -ENODEV when the log's disk is going; 0: it has none. */
  broken = 0;
  readonly #free: LogOp[] = [];
  /** Sectors kept for entries that have no place yet. */
  #reserved = 0;
  /** Entries with a place, in order. */
  #head: LogOp | null = null;
  #last: LogOp | null = null;
  /** Entries that are written, without a gap. */
  #written = 0;
  #gap = false;
  /** Flushes and marks that are written, and wait for the superblock to say so. */
  readonly #waiters: LogOp[] = [];
  readonly #superSlot: number;
  #superBusy = false;
  /** How often it was written again. */
  #superRetries = 0;
  #superEntries = 0;
  #superChannel: LogWritesChannel | null = null;

  /** `segment`: `logMemoryBytes` of it are the log's. @throws {SpdkError} EINVAL */
  constructor(sectorSize: number, logBytes: number, segment: Segment) {
    this.tail = new LogTail(sectorSize, logBytes);
    this.segment = segment;
    this.#superSlot = alignedOffset(segment, ALIGN_BYTES);
    for (let i = LOG_OPS; i > 0; i--) this.#free.push(new LogOp(this.#superSlot + i * sectorSize));
  }

  /** An operation for an entry, with room in the log kept for it; null when there is none at the moment. `hasRoom` comes first. */
  take(channel: LogWritesChannel, flags: number, nrSectors: number): LogOp | null {
    const op = this.#free.pop();
    if (op === undefined) return null;
    op.channel = channel;
    op.flags = flags;
    op.nrSectors = nrSectors;
    op.reserved = 1 + logDataSectors(flags, nrSectors);
    this.#reserved += op.reserved;
    return op;
  }

  /** Whether the log has room for such an entry. */
  hasRoom(flags: number, nrSectors: number): boolean {
    const { tail } = this;
    return tail.nextSector + this.#reserved + 1 + logDataSectors(flags, nrSectors) <= tail.logSectors;
  }

  /** An operation is over, or came to nothing. */
  give(op: LogOp): void {
    this.#reserved -= op.reserved;
    op.channel = null;
    op.io = null;
    op.onDone = null;
    op.reserved = 0;
    op.index = -1;
    op.baseStatus = 0;
    op.logStatus = 0;
    op.step = 0;
    op.retries = 0;
    op.pending = 0;
    op.logged = false;
    op.next = null;
    this.#free.push(op);
  }

  /** The entry happens now: it gets its number and its place. */
  append(op: LogOp): void {
    op.index = this.tail.nrEntries;
    op.logOffset = this.tail.append(op.flags, op.nrSectors);
    this.#reserved -= op.reserved;
    op.reserved = 0;
    if (this.#last === null) this.#head = op;
    else this.#last.next = op;
    this.#last = op;
  }

  /** A write of the log has ended with `status`. */
  wrote(status: number): void {
    if (status !== 0 && this.broken === 0) this.broken = status === ENODEV ? ENODEV : EIO;
  }

  /** Entries at the front that are written leave the queue; flushes and marks among them then wait for the superblock. */
  advance(): void {
    while (this.#head?.logged) {
      const op = this.#head;
      this.#head = op.next;
      if (this.#head === null) this.#last = null;
      op.next = null;
      if (op.logStatus !== 0) this.#gap = true;
      if (!this.#gap) this.#written++;
      if (op.io === null && op.onDone === null) this.give(op);
      else if (this.#gap) this.#finish(op, this.broken);
      else this.#waiters.push(op);
    }
    this.#writeSuper();
  }

  /** Has the superblock written, with what there is; `op.onDone` hears of it. Control path. */
  saveSuper(op: LogOp): void {
    this.#reserved -= op.reserved;
    op.reserved = 0;
    this.#waiters.push(op);
    this.#writeSuper();
  }

  #finish(op: LogOp, status: number): void {
    const { io, onDone, baseStatus } = op;
    this.give(op);
    const result = baseStatus === 0 ? status : baseStatus;
    if (io !== null) io.complete(result);
    else onDone?.(result);
  }

  #writeSuper(): void {
    if (this.#superBusy || this.#waiters.length === 0) return;
    this.#superBusy = true;
    this.#superEntries = this.#written;
    this.#superChannel = this.#waiters[0].channel;
    encodeLogSuper(this.segment.view, this.#superSlot, this.tail.sectorSize, this.#superEntries);
    this.onReady();
  }

  /** There is a BdevIo for the superblock. */
  onReady(): void {
    const { log } = this.#superChannel as LogWritesChannel;
    const rc = log.write(this.segment, this.#superSlot, 0, this.tail.sectorSize, superDone, this);
    if (rc === ENOMEM) log.queueIoWait(this);
    else if (rc !== 0) this.superDone(rc);
  }

  retry(): void {
    this.onReady();
  }

  superDone(status: number): void {
    if (status === ECANCELED && this.#superRetries++ < RESET_RETRIES) {
      (this.#superChannel as LogWritesChannel).log.shared.manager.retryAfter(RESET_RETRY_US, this);
      return;
    }
    this.#superRetries = 0;
    this.#superBusy = false;
    this.#superChannel = null;
    this.wrote(status);
    const waiters = this.#waiters.splice(0);
    for (const op of waiters) {
      if (status !== 0) this.#finish(op, this.broken);
      else if (op.index < this.#superEntries) this.#finish(op, 0);
      else this.#waiters.push(op);
    }
    this.#writeSuper();
  }
}

function superDone(state: unknown, status: number): void {
  (state as LogState).superDone(status);
}
