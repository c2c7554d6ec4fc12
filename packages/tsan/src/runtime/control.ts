// The memory that all threads of a process share about themselves: one SharedArrayBuffer, made by the main thread before the program starts and handed
// to every worker. Nothing in it is freed by a thread's death, so that a report can still name a thread, a site or a stack of one that is gone.
//
//   header     counters                                       4 KB
//   slots      256 x { uid, state }                           which thread has which column of the vector clocks
//   threads    4096 x { uid, tid, parent, slot, ... }         who they are or were (by uid modulo 4096)
//   clocks     256 x 256 doubles                              row = the clock of a thread, written by that thread only
//   modules    16384 x { base, count, text }                  site ids -> tables of the rewriter
//   stacks     1048576 x text                                 ids of captured stacks
//   named      4096 x list of sync variables                  annotations that name no memory
//   blocks     262144 x { owner, state, where, ... }          blocks of annotated regions
//   locks      16384 x { holder, state, where, ... }          annotated locks
//   orders     16384 x { held, taken, words }                 which lock was taken while which was held
//   benign     1024 x { buffer, from, to }                    ranges whose races are meant
//   text       48 MB of bytes                                 names, stacks, tables
//   sync       64 MB of doubles                               sync variables and their clocks
//
// Pages that are never touched cost nothing.

const { add } = Atomics;

/** Columns of a vector clock: as many threads can live at once. */
export const maxSlots = 256;
export const maxThreads = 4096;
export const maxModules = 16_384;
export const maxStacks = 1 << 20;
export const maxNamed = 4096;
export const maxBlocks = 1 << 18;
export const maxLocks = 1 << 14;
export const maxOrders = 1 << 14;
export const maxBenign = 1024;
export const benignDoubles = 4;

const headerBytes = 4096;
const slotInts = 4;
export const threadInts = 16;
export const moduleInts = 4;
/** Of a block and of a lock. */
export const recordInts = 16;
export const orderInts = 4;

const slotsAt = headerBytes;
const threadsAt = slotsAt + maxSlots * slotInts * 4;
const clocksAt = threadsAt + maxThreads * threadInts * 4;
const modulesAt = clocksAt + maxSlots * maxSlots * 8;
const stacksAt = modulesAt + maxModules * moduleInts * 4;
const namedAt = stacksAt + maxStacks * 4;
const blocksAt = namedAt + maxNamed * 4;
const locksAt = blocksAt + maxBlocks * recordInts * 4;
const ordersAt = locksAt + maxLocks * recordInts * 4;
const benignAt = ordersAt + maxOrders * orderInts * 4;
const textAt = benignAt + maxBenign * benignDoubles * 8;

/** Ints of the header. */
export const Header = {
  magic: 0,
  nextUid: 1,
  slotHigh: 2,
  nextBuffer: 3,
  nextSite: 4,
  modules: 5,
  nextStack: 6,
  textTop: 7,
  syncTop: 8,
  slotLock: 9,
  nextLock: 10,
  wasmSaid: 11,
  syncFullSaid: 12,
  perturb: 13,
  seed: 14,
  blocked: 15,
  alive: 16,
  graphLock: 17,
  benign: 18,
  nextBlock: 19,
  nextOrder: 20,
  deadlocked: 21,
} as const;

/** States of a slot. */
export const Slot = { free: 0, live: 1, ending: 2, dead: 3 } as const;

/** Ints of a thread's record. */
export const ThreadField = {
  uid: 0,
  tid: 1,
  parent: 2,
  slot: 3,
  stack: 4,
  name: 5,
  running: 6,
  waitBuffer: 8,
  waitOffset: 9,
  waitStack: 10,
  /** The epoch it started with, as two ints: which thread of a slot made an access is told by its epoch. */
  epochLow: 11,
  epochHigh: 12,
} as const;

const magic = 0x7453416e;

export interface ControlSizes {
  readonly textBytes: number;
  readonly syncBytes: number;
}

export const controlSizes: ControlSizes = { textBytes: 48 << 20, syncBytes: 64 << 20 };

export class Control {
  readonly memory: SharedArrayBuffer;
  readonly header: Int32Array;
  readonly slots: Int32Array;
  readonly threads: Int32Array;
  readonly clocks: Float64Array;
  readonly modules: Int32Array;
  readonly stacks: Int32Array;
  readonly named: Int32Array;
  readonly blocks: Int32Array;
  readonly locks: Int32Array;
  readonly orders: Int32Array;
  readonly benign: Float64Array;
  readonly text: Uint8Array;
  readonly sync: Float64Array;
  readonly syncInts: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.header = new Int32Array(memory, 0, headerBytes / 4);
    if (this.header[Header.magic] !== magic) throw new Error('not the control memory of a sanitizer');
    this.slots = new Int32Array(memory, slotsAt, maxSlots * slotInts);
    this.threads = new Int32Array(memory, threadsAt, maxThreads * threadInts);
    this.clocks = new Float64Array(memory, clocksAt, maxSlots * maxSlots);
    this.modules = new Int32Array(memory, modulesAt, maxModules * moduleInts);
    this.stacks = new Int32Array(memory, stacksAt, maxStacks);
    this.named = new Int32Array(memory, namedAt, maxNamed);
    this.blocks = new Int32Array(memory, blocksAt, maxBlocks * recordInts);
    this.locks = new Int32Array(memory, locksAt, maxLocks * recordInts);
    this.orders = new Int32Array(memory, ordersAt, maxOrders * orderInts);
    this.benign = new Float64Array(memory, benignAt, maxBenign * benignDoubles);
    const textBytes = this.header[1000]!;
    this.text = new Uint8Array(memory, textAt, textBytes);
    this.sync = new Float64Array(memory, textAt + textBytes);
    this.syncInts = new Int32Array(memory, textAt + textBytes);
  }

  /** @throws {RangeError} there is not so much memory; the message says how much was needed */
  static allocate({ textBytes, syncBytes }: ControlSizes = controlSizes): Control {
    const bytes = textAt + textBytes + syncBytes;
    const memory = allocateShared(bytes);
    const header = new Int32Array(memory, 0, headerBytes / 4);
    header[Header.magic] = magic;
    header[1000] = textBytes;
    // 0 is no text, no site, no stack, no buffer and no sync variable.
    for (const at of [Header.nextSite, Header.nextStack, Header.textTop, Header.syncTop]) header[at] = 8;
    for (const at of [Header.nextBuffer, Header.nextBlock, Header.nextLock, Header.nextOrder]) header[at] = 1;
    return new Control(memory);
  }

  /** The first id of `count` new ones of a kind. */
  take(counter: number, count = 1): number {
    return add(this.header, counter, count);
  }
}

/** As it was before the program's became one that is looked after. */
const Shared = SharedArrayBuffer;

/** @throws {RangeError} saying how much was needed */
export function allocateShared(bytes: number): SharedArrayBuffer {
  try {
    return new Shared(bytes);
  } catch {
    throw new RangeError(`cannot have ${Math.ceil(bytes / 1024)} KB of shadow memory`);
  }
}
