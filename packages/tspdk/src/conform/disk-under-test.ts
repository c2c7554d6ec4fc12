/**
 * The disk that is being checked, as the checks use it: I/O as promises, data that is told apart by place and by round, memory with guards around it, and complaints that say what
 * was expected. Control path, on the app core; the I/O itself takes the block layer's way, as everybody's.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Bdev, type BdevChannel, BdevDesc, IO_UNMAP, IO_WRITE } from '../bdev/index.ts';
import { EILSEQ, ENOMEM } from '../bdev/status.ts';
import { codeOfErrno, SpdkError } from '../env/errors.ts';
import { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import type { Reactor } from '../event/reactor.ts';

/** What a check found. */
export class ConformError extends Error {
  override name = 'ConformError';
}

/** A check that makes no sense on this disk. */
export class NotForThisDisk extends Error {
  override name = 'NotForThisDisk';
}

export interface ConformSettings {
  /** Whether the disk keeps what is written; null keeps nothing. */
  readonly keepsData: boolean;
  /** What an I/O may take. */
  readonly timeoutMs: number;
  readonly seed: number;
  /** Aborted: no I/O is started any more. */
  readonly signal: AbortSignal | null;
}

/** Bytes around each piece of memory that no I/O may touch. */
const GUARD_BYTES = 64;
const GUARD = 0xa5;
/** What the checks use of a disk. */
export const AREA_BYTES_MAX = 4 * 1024 * 1024;

export type Start = (cb: (ctx: unknown, status: number) => void) => number;

export class DiskUnderTest {
  readonly reactor: Reactor;
  readonly bdev: Bdev;
  readonly desc: BdevDesc;
  readonly channel: BdevChannel;
  readonly memory: Segment;
  readonly settings: ConformSettings;
  /** Bytes of a block, and of the disk: of a disk with metadata, of its data, which is all that the checks see of it. */
  readonly block: number;
  readonly sizeBytes: number;
  /** What is written is a multiple of it, and so is where: the disk's write unit, of most disks the block. */
  readonly unit: number;
  /** From the disk's start: what the checks write to, besides its last units. A multiple of the unit. */
  readonly areaBytes: number;
  /** I/Os that were started and have not ended. */
  underWay = 0;
  /** The disk is being removed. */
  removed = false;
  /** An I/O has taken too long: nothing more can be said. */
  stuck = false;
  #top = 0;
  #rounds = 0;

  constructor(reactor: Reactor, name: string, memory: Segment, settings: ConformSettings) {
    this.reactor = reactor;
    this.memory = memory;
    this.settings = settings;
    this.desc = BdevDesc.open(name, {
      write: isWritable(reactor, name),
      reactor,
      hideMetadata: true,
      onEvent: (event) => {
        if (event === 'remove') this.removed = true;
      },
    });
    this.bdev = this.desc.bdev;
    try {
      this.channel = this.desc.getIoChannel();
    } catch (error) {
      // What is open would keep the application from ending.
      this.desc.close();
      throw error;
    }
    this.block = this.desc.blockSizeBytes;
    this.sizeBytes = this.desc.sizeBytes;
    this.unit = this.block * Math.max(1, this.bdev.limits.writeUnitBlocks);
    const area = Math.min(this.sizeBytes, AREA_BYTES_MAX);
    this.areaBytes = area - (area % this.unit);
  }

  /** Units of the area. */
  get units(): number {
    return this.areaBytes / this.unit;
  }

  /** @throws {NotForThisDisk} */
  needsWrite(): void {
    if (!this.bdev.ioTypeSupported(IO_WRITE)) throw new NotForThisDisk('it is read-only');
  }
  needsUnmap(): void {
    this.needsWrite();
    if (!this.bdev.ioTypeSupported(IO_UNMAP)) throw new NotForThisDisk('it does not offer unmap');
  }
  needsUnits(units: number): void {
    if (this.units >= units) return;
    const what = this.unit === this.block ? 'blocks' : 'units that it is written in';
    throw new NotForThisDisk(`it has ${this.units} ${what}, and ${units} are needed`);
  }
  /** For compares and copies. */
  needsNoMetadata(): void {
    if (this.desc.bare) throw new NotForThisDisk('its blocks have metadata, which the checks do not see');
  }

  // ---- memory

  /** A new check: all memory is free. */
  begin(): void {
    this.#top = 0;
  }

  /** Memory for an I/O, with guards around it. `shift`: bytes off a round address. */
  take(bytes: number, shift = 0): number {
    const at = this.#top + GUARD_BYTES + shift;
    this.#top = Math.ceil((at + bytes + GUARD_BYTES) / 4096) * 4096;
    if (this.#top > this.memory.sizeBytes) throw new Error(`a check needs more than ${this.memory.sizeBytes} bytes`);
    const { u8 } = this.memory;
    u8.fill(GUARD, at - GUARD_BYTES, at);
    u8.fill(GUARD, at + bytes, at + bytes + GUARD_BYTES);
    return at;
  }

  /** @throws {ConformError} when something wrote beside the memory of an I/O */
  checkGuards(at: number, bytes: number, what: string): void {
    const { u8 } = this.memory;
    for (let i = 1; i <= GUARD_BYTES; i++) {
      if (u8[at - i] !== GUARD) fail(`${what}: memory ${i} bytes before its buffer is untouched`, 'it was written to');
      if (u8[at + bytes + i - 1] !== GUARD) {
        fail(`${what}: memory ${i} bytes behind its buffer is untouched`, 'it was written to');
      }
    }
  }

  /** Data of a new round: no two rounds, and no two places of one, have the same. */
  round(): number {
    return ++this.#rounds;
  }

  // ---- I/O

  /** Starts an I/O and waits for its end: 0, or a negative errno, also of a refusal. @throws {ConformError} when it does not end, or ends twice */
  io(what: string, start: Start): Promise<number> {
    if (this.settings.signal?.aborted === true) throw new ConformError(`${what}: the checks were stopped before it`);
    this.underWay++;
    return new Promise<number>((resolve, reject) => {
      let ended = false;
      const timer = setTimeout(() => {
        this.stuck = true;
        reject(new ConformError(`expected ${what} to end within ${this.settings.timeoutMs} ms; it has not ended`));
      }, this.settings.timeoutMs);
      const end = (status: number): void => {
        this.underWay--;
        clearTimeout(timer);
        if (ended) reject(new ConformError(`expected ${what} to end once; it ended twice`));
        ended = true;
        resolve(status);
      };
      const submit = (): void => {
        const rc = start((_, status) => end(status));
        if (rc === ENOMEM) this.channel.queueIoWait({ onReady: submit });
        else if (rc !== 0) end(rc);
      };
      submit();
    });
  }

  /** As `io`, and it must succeed. */
  async ok(what: string, start: Start): Promise<void> {
    const status = await this.io(what, start);
    if (status !== 0) fail(`${what} to succeed`, statusText(status));
  }

  /** As `io`, and it must be refused or fail with `expected`. */
  async refused(what: string, expected: number, start: Start): Promise<void> {
    const status = await this.io(what, start);
    if (status !== expected) fail(`${what} to end with ${statusText(expected)}`, statusText(status));
  }

  /** Writes the data of `round` to a range. */
  async write(at: number, bytes: number, round: number, flags = 0, shift = 0): Promise<void> {
    const buffer = this.take(bytes, shift);
    pattern(this.memory.u8, buffer, at, bytes, round);
    await this.ok(`write of ${bytes} bytes at ${at}`, (cb) =>
      this.channel.write(this.memory, buffer, at, bytes, cb, null, flags),
    );
    this.checkGuards(buffer, bytes, `write of ${bytes} bytes at ${at}`);
  }

  /** Reads a range. The memory that holds it. */
  async read(at: number, bytes: number, shift = 0): Promise<Uint8Array> {
    const buffer = this.take(bytes, shift);
    // What a short read leaves is none of the expected bytes.
    this.memory.u8.fill(0x5a, buffer, buffer + bytes);
    const what = `read of ${bytes} bytes at ${at}`;
    await this.ok(what, (cb) => this.channel.read(this.memory, buffer, at, bytes, cb, null));
    this.checkGuards(buffer, bytes, what);
    return this.memory.u8.subarray(buffer, buffer + bytes);
  }

  /** The range holds the data of `round`. @throws {ConformError} naming the first byte that differs */
  async holds(at: number, bytes: number, round: number, shift = 0): Promise<void> {
    const got = await this.read(at, bytes, shift);
    if (this.settings.keepsData)
      compare(got, patternOf(at, bytes, round), at, `what was written to ${bytes} bytes at ${at}`);
  }

  /** The range reads as zeroes. */
  async isZero(at: number, bytes: number, after: string): Promise<void> {
    const got = await this.read(at, bytes);
    if (this.settings.keepsData) compare(got, new Uint8Array(bytes), at, `zeroes after ${after}`);
  }

  /** A list of pieces of memory. */
  vecs(pieces: readonly { readonly at: number; readonly bytes: number }[]): IoVecs {
    const vecs = new IoVecs(pieces.length);
    for (const { at, bytes } of pieces) vecs.push(this.memory, at, bytes);
    return vecs;
  }

  /** Waits for the end of what is under way. @throws {ConformError} when that does not come */
  async quiet(): Promise<void> {
    for (const until = performance.now() + this.settings.timeoutMs; this.underWay > 0; await pause(1)) {
      if (performance.now() < until) continue;
      this.stuck = true;
      fail('every I/O to end', `${this.underWay} have not ended in ${this.settings.timeoutMs} ms`);
    }
  }

  /** Waits for what is no I/O of this channel. @throws {ConformError} when it does not come within the time of an I/O: nothing more can be said then */
  async within<T>(what: string, done: Promise<T>): Promise<T> {
    const { timeoutMs } = this.settings;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.stuck = true;
        reject(new ConformError(`expected ${what} within ${timeoutMs} ms; that has not come`));
      }, timeoutMs);
    });
    try {
      return await Promise.race([done, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.desc.close();
  }
}

/** @throws {ConformError} */
export function fail(expected: string, got: string): never {
  throw new ConformError(`expected ${expected}; got ${got}`);
}

export function statusText(status: number): string {
  if (status === 0) return 'success';
  if (!(Number.isInteger(status) && status < 0)) return `${status}, which is no status: 0 or a negative errno`;
  return status === EILSEQ ? 'EILSEQ (-84)' : `${codeOfErrno(-status)} (${status})`;
}

/** The error's code and message, for what throws on purpose. */
export function codeOf(error: unknown): string {
  return error instanceof SpdkError ? error.code : String(error);
}

/** Fills with data that depends on place and round: each 4 bytes differ from all others nearby. */
export function pattern(u8: Uint8Array, to: number, at: number, bytes: number, round: number): void {
  for (let i = 0; i < bytes; i += 4) {
    let word = Math.imul((at + i) / 4 + 1, 0x9e3779b1) ^ Math.imul(round, 0x85ebca6b);
    word ^= word >>> 15;
    u8[to + i] = word;
    u8[to + i + 1] = word >>> 8;
    u8[to + i + 2] = word >>> 16;
    u8[to + i + 3] = word >>> 24;
  }
}

export function patternOf(at: number, bytes: number, round: number): Uint8Array {
  const out = new Uint8Array(bytes);
  pattern(out, 0, at, bytes, round);
  return out;
}

/** `got` is what `wanted` begins with. @throws {ConformError} naming the first byte of the disk that differs, and how many do */
export function compare(got: Uint8Array, wanted: Uint8Array, at: number, what: string): void {
  let first = -1;
  let count = 0;
  for (let i = 0; i < got.length; i++) {
    if (got[i] === wanted[i]) continue;
    if (first < 0) first = i;
    count++;
  }
  if (count === 0) return;
  const hex = (byte: number) => `0x${byte.toString(16).padStart(2, '0')}`;
  fail(
    `${what}: byte ${at + first} of the disk is ${hex(wanted[first])}`,
    `${hex(got[first])} (${count} of ${got.length} bytes differ)`,
  );
}

function isWritable(reactor: Reactor, name: string): boolean {
  const desc = BdevDesc.open(name, { write: false, reactor, onEvent: () => {} });
  const { writable } = desc.bdev;
  desc.close();
  return writable;
}
