/**
 * The shared memory that ties the reactors of one application together: a line of words for each core, and a mailbox for each
 * ordered pair. Made once by the app core, seen by all, gone with the application.
 *
 *   words     | application line | core line 0 | core line 1 | ...        a line is 16 words, one cache line
 *   mailboxes | 0→0 | 0→1 | ... | 1→0 | ...
 *
 * Core lines are indexed by position in `cores`, not by core number.
 */
import { createHeapMemory, type HeapMemory } from '../env/heap.ts';
import { createIoBufMemory, type IoBufMemory, type IoBufOptions } from '../env/iobuf.ts';
import { limits } from '../env/limits.ts';
import { mailboxBytes } from '../env/mailbox.ts';
import { SharedThreadTable } from '../thread/index.ts';

const LINE = 16;

/**
 * Mailboxes should begin on a cache line, so that four events are one line. A large SharedArrayBuffer begins 16 bytes after one (the header of
 * glibc's malloc; there is no way to ask without FFI). Where that is not so, only speed is lost.
 */
const MAILBOX_PAD = 48;

/** Words of a core's line. */
export const coreWord = {
  /** ReactorState of that core. */
  state: 0,
  /** 1 while the core sleeps in libuv and wants its doorbell rung. */
  sleeping: 1,
  /** The doorbell's descriptor; -1 when it has none. */
  doorbell: 2,
} as const;

/** Words of the application's line. */
export const appWord = {
  /** 1 from the first stop on: no new iteration starts. */
  stopping: 0,
  /** Ids given to I/O devices so far. */
  ioDevices: 1,
  /** Ids given to segments so far. */
  segments: 2,
} as const;

/** Segments that every application has; others are numbered from `first` on. */
export const segmentId = { small: 1, large: 2, first: 16 } as const;

/** States of a reactor, as SPDK's. Only ever moves forward. */
export const reactorState = {
  uninitialized: 0,
  initialized: 1,
  running: 2,
  exiting: 3,
  shutdown: 4,
} as const;

/** What crosses to a worker so that its reactor can join. Structured clone keeps the buffers shared. */
export interface Fabric {
  /** Core numbers, ascending; the first in `cores` that equals `mainCore` runs on the main thread. */
  readonly cores: readonly number[];
  readonly mainCore: number;
  readonly words: SharedArrayBuffer;
  readonly mailboxes: SharedArrayBuffer;
  readonly mailboxEvents: number;
  readonly heap: HeapMemory;
  readonly iobuf: IoBufMemory;
  /** Slots of the lightweight threads of all cores. */
  readonly threads: SharedArrayBuffer;
}

/** Options of `createFabric`. */
export interface FabricOptions {
  readonly cores: readonly number[];
  readonly mainCore: number;
  readonly heapBytes?: number;
  readonly mailboxEvents?: number;
  readonly iobuf?: IoBufOptions;
}

/** Makes the shared memory of one application. App core only. */
export function createFabric(options: FabricOptions): Fabric {
  const { cores } = options;
  // Many reactors: shorter rings, or the pairs alone would fill memory (64 cores have 4096 pairs).
  const mailboxEvents =
    options.mailboxEvents ?? (cores.length <= 8 ? limits.mailbox_events : limits.mailbox_events / 8);
  const words = new SharedArrayBuffer((1 + cores.length) * LINE * 4);
  const i32 = new Int32Array(words);
  for (let i = 0; i < cores.length; i++) i32[coreLine(i) + coreWord.doorbell] = -1;
  return {
    cores,
    mainCore: options.mainCore,
    words,
    mailboxes: new SharedArrayBuffer(MAILBOX_PAD + cores.length * cores.length * mailboxBytes(mailboxEvents)),
    mailboxEvents,
    heap: createHeapMemory(options.heapBytes),
    iobuf: createIoBufMemory(cores.length, options.iobuf),
    threads: new SharedThreadTable().buffer,
  };
}

/** Index of the first word of the line of the core at position `index`. */
export function coreLine(index: number): number {
  return (1 + index) * LINE;
}

/** Byte offset of the mailbox from position `from` to position `to`. */
export function mailboxOffset(fabric: Fabric, from: number, to: number): number {
  return MAILBOX_PAD + (from * fabric.cores.length + to) * mailboxBytes(fabric.mailboxEvents);
}

/** The eventfd that wakes the core at position `index`, for native code that has something for it; -1 when its doorbell is none. Any core. */
export function doorbellFd(fabric: Fabric, index: number): number {
  return Atomics.load(new Int32Array(fabric.words), coreLine(index) + coreWord.doorbell);
}

/** Says so, on that core, before it starts. */
export function setDoorbellFd(fabric: Fabric, index: number, fd: number): void {
  Atomics.store(new Int32Array(fabric.words), coreLine(index) + coreWord.doorbell, fd);
}
