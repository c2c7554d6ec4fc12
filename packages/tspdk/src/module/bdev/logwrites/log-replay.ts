/**
 * Reads a log of writes entry by entry, and makes of its first N entries the disk as it was then: how a crash at any moment is looked at afterwards.
 *
 * Needs no reactor: a log and a target are bytes in memory or open files, read and written synchronously. A log is input from a stranger: lengths are
 * compared with what the log holds before anything is read, and memory is taken in pieces of a fixed size.
 */
import { fstatSync, readSync, writeSync } from 'node:fs';
import { SpdkError } from '../../../env/errors.ts';
import {
  decodeLogSuper,
  LOG_DISCARD_FLAG,
  LOG_ENTRY_BYTES,
  LOG_FLAGS,
  LOG_MARK_FLAG,
  LOG_SUPER_BYTES,
  LogEntry,
  logDataSectors,
} from './log-format.ts';

/** What is read, and copied, at once. */
const PIECE_BYTES = 1024 * 1024;

/** A log's bytes. */
export interface LogSource {
  readonly sizeBytes: number;
  /** Fills `into` from `offset` on; all of it lies inside. */
  read(offset: number, into: Uint8Array): void;
}

/** What a log is replayed onto. */
export interface LogTarget {
  readonly sizeBytes: number;
  /** All of it lies inside, as for `zero`. */
  write(offset: number, bytes: Uint8Array): void;
  /** A discarded range: it reads as zeroes from now on. */
  zero(offset: number, bytes: number): void;
}

export function logInMemory(bytes: Uint8Array): LogSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, into) => into.set(bytes.subarray(offset, offset + into.length)),
  };
}

/** An open file. @throws what `fstat` throws. */
export function logInFile(fd: number): LogSource {
  return {
    sizeBytes: fstatSync(fd).size,
    read: (offset, into) => {
      for (let done = 0; done < into.length; ) {
        const bytes = readSync(fd, into, done, into.length - done, offset + done);
        if (bytes === 0) throw new SpdkError('EIO', 'the log became shorter while it was read');
        done += bytes;
      }
    },
  };
}

export function diskInMemory(bytes: Uint8Array): LogTarget {
  return {
    sizeBytes: bytes.length,
    write: (offset, data) => bytes.set(data, offset),
    zero: (offset, length) => bytes.fill(0, offset, offset + length),
  };
}

/** An open file of `sizeBytes`, which it may still have to grow to. */
export function diskInFile(fd: number, sizeBytes: number): LogTarget {
  const zeroes = new Uint8Array(65536);
  const write = (offset: number, data: Uint8Array): void => {
    for (let done = 0; done < data.length; ) done += writeSync(fd, data, done, data.length - done, offset + done);
  };
  return {
    sizeBytes,
    write,
    zero: (offset, bytes) => {
      for (let done = 0; done < bytes; done += zeroes.length) {
        write(offset + done, zeroes.subarray(0, Math.min(zeroes.length, bytes - done)));
      }
    },
  };
}

/** Goes through a log's entries. */
export class LogReader {
  readonly sectorSize: number;
  /** As the superblock says, which may be fewer than were written, or more. */
  readonly nrEntries: number;
  /** The entry that `next` came to. */
  readonly entry = new LogEntry();
  /** Which one that is, from 0. */
  index = -1;
  /** Where its data starts in the log. */
  dataOffset = 0;
  /** Why reading ended before `nrEntries`; null while it did not. */
  torn: string | null = null;
  readonly #source: LogSource;
  #nextOffset: number;

  /** @throws {SpdkError} EINVAL when it is no log. */
  constructor(source: LogSource) {
    const head = new Uint8Array(Math.min(LOG_SUPER_BYTES, source.sizeBytes));
    source.read(0, head);
    const { sectorSize, nrEntries } = decodeLogSuper(new DataView(head.buffer));
    this.sectorSize = sectorSize;
    this.nrEntries = nrEntries;
    this.#source = source;
    this.#nextOffset = sectorSize;
  }

  /** Goes to the next entry; false after the last, or at the first that the log does not hold whole (see `torn`). */
  next(): boolean {
    if (this.torn !== null || this.index + 1 >= this.nrEntries) return false;
    const source = this.#source;
    const at = this.#nextOffset;
    if (at + this.sectorSize > source.sizeBytes) return this.#tear('the log ends before it');
    const bytes = new Uint8Array(LOG_ENTRY_BYTES);
    source.read(at, bytes);
    const { entry } = this;
    entry.decode(new DataView(bytes.buffer), 0);
    if (entry.flags === 0 && entry.nrSectors === 0) return this.#tear('nothing was written there');
    if (entry.flags > LOG_FLAGS) return this.#tear(`it has flags that mean nothing: ${entry.flags}`);
    if (entry.has(LOG_MARK_FLAG) && entry.dataLen > this.sectorSize - LOG_ENTRY_BYTES) {
      return this.#tear(`its label of ${entry.dataLen} bytes is longer than a sector`);
    }
    if (!Number.isSafeInteger((entry.sector + entry.nrSectors) * this.sectorSize)) {
      return this.#tear('it is about sectors that no disk has');
    }
    this.dataOffset = at + this.sectorSize;
    const end = this.dataOffset + logDataSectors(entry.flags, entry.nrSectors) * this.sectorSize;
    if (end > source.sizeBytes) return this.#tear('the log ends in its data');
    this.#nextOffset = end;
    this.index++;
    return true;
  }

  #tear(why: string): false {
    this.torn = `entry ${this.index + 1} of ${this.nrEntries}: ${why}`;
    return false;
  }

  /** The label of the entry, when it is a mark; else "". */
  get label(): string {
    if (!this.entry.has(LOG_MARK_FLAG)) return '';
    const bytes = new Uint8Array(this.entry.dataLen);
    this.#source.read(this.dataOffset - this.sectorSize + LOG_ENTRY_BYTES, bytes);
    return new TextDecoder().decode(bytes);
  }

  /** Writes the entry's data, or its discard, to `target`. @throws {SpdkError} ERANGE when the target is too small. */
  applyTo(target: LogTarget): void {
    const { entry, sectorSize } = this;
    if (entry.has(LOG_MARK_FLAG) || entry.nrSectors === 0) return;
    const offset = entry.sector * sectorSize;
    const bytes = entry.nrSectors * sectorSize;
    if (offset + bytes > target.sizeBytes) {
      throw new SpdkError(
        'ERANGE',
        `entry ${this.index}: ${bytes} bytes at ${offset} leave a disk of ${target.sizeBytes} bytes`,
      );
    }
    if (entry.has(LOG_DISCARD_FLAG)) {
      target.zero(offset, bytes);
      return;
    }
    const piece = new Uint8Array(Math.min(PIECE_BYTES, bytes));
    for (let done = 0; done < bytes; done += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, bytes - done));
      this.#source.read(this.dataOffset + done, part);
      target.write(offset + done, part);
    }
  }
}

export interface ReplayResult {
  /** Entries that were applied, marks and flushes included. */
  readonly entries: number;
  /** Why it ended early; null when it did not. */
  readonly torn: string | null;
}

/**
 * Applies the first `entries` entries of a log (all by default), one after the other.
 * @throws {SpdkError} EINVAL when it is no log; ERANGE when the target is too small for an entry, the ones before it are then applied.
 */
export function replayLog(source: LogSource, target: LogTarget, entries = Number.POSITIVE_INFINITY): ReplayResult {
  const reader = new LogReader(source);
  let applied = 0;
  for (; applied < entries && reader.next(); applied++) reader.applyTo(target);
  return { entries: applied, torn: reader.torn };
}

/** How many entries lie before the first mark with this label: what to replay to be where it was set. -1 when there is none. */
export function entriesBeforeMark(source: LogSource, label: string): number {
  const reader = new LogReader(source);
  while (reader.next()) if (reader.entry.has(LOG_MARK_FLAG) && reader.label === label) return reader.index;
  return -1;
}
