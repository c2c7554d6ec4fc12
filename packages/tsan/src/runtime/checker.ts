// The data path: is this access to shared memory a race with one before it? By ECMA-262 §29: two accesses that overlap, of which one writes, that are not
// ordered by happens-before, and that are not both sequentially consistent atomics of the same range.
//
// The last accesses to 8 bytes are kept in 4 cells (see Cell in clock.ts), with a word each that says where they were made. An access that stands
// there already, of the same epoch, costs a few loads and compares. Cells are read and written without a lock, each in one piece: what can get lost that
// way is an access, so a race can be missed, and never one be made up. Two threads that access at the same moment, as after a common wake-up, look before
// either has entered; so each looks again when it has. (One that takes the very cell of another, between whose entry and second look it cannot see, still hides it.)

import { type BufferShadow, type View, ViewShadow, viewLength } from './buffer-shadow.ts';
import { Cell, type Clock } from './clock.ts';

const { exchange } = Atomics;
const fence = new Int32Array(1);
const flags = Cell.write | Cell.atomic | Cell.tear;
const low = Cell.epoch;
const slotMask = 0xff * Cell.slot;

export interface Found {
  readonly buffer: BufferShadow;
  /** Offset of the group of 8 bytes. */
  readonly offset: number;
  readonly current: number;
  readonly currentWord: number;
  readonly previous: number;
  readonly previousWord: number;
}

export interface CheckerHooks {
  /** The word that tells a later report of an access where it was made. */
  word(site: number): number;
  found(race: Found): void;
  /** Called for each new pair of an access and an epoch: whether it is ignored. */
  ignoring(): boolean;
  /** A view was seen to be longer than before. */
  grown(buffer: BufferShadow): void;
  /** The access touches a block of an annotated region: may this thread? `bits` as in a cell. */
  touched(buffer: BufferShadow, block: number, offset: number, bits: number, site: number): void;
}

export interface Checker {
  read(shadow: ViewShadow, view: View, index: number, site: number): void;
  write(shadow: ViewShadow, view: View, index: number, site: number): void;
  update(shadow: ViewShadow, view: View, index: number, site: number): void;
  /** Forgets all accesses to a range, as if this thread had written it just now: it is new memory. */
  renew(buffer: BufferShadow, offset: number, bytes: number, site: number): void;
  /** As range, within one group of 8 bytes of memory that is shadowed. */
  whole(buffer: BufferShadow, offset: number, bytes: number, kind: number, site: number): void;
  /** As range, for what began when this thread's clock was `since` (see Clock.copy) and ends now: what others did in between races with it. */
  late(buffer: BufferShadow, offset: number, bytes: number, kind: number, site: number, since: readonly number[]): void;
  /** `kind` of Cell.write, Cell.atomic and Cell.tear; any range. */
  range(buffer: BufferShadow, offset: number, bytes: number, kind: number, site: number): void;
}

/** Parts of a cell. */
export const maskOf = (cell: number): number => low8(cell);
export const kindOf = (cell: number): number => lowBits(cell) & flags;
export const slotOf = (cell: number): number => lowBits(cell) >> 11;
export const epochOf = (cell: number): number => Math.floor(cell / Cell.epoch);

/** Whether an access makes another of the same thread and epoch needless: it touches all its bytes, and races with all that it would race with. */
function says(bits: number, other: number): boolean {
  if ((other & 0xff & ~bits) !== 0) return false;
  if ((other & ~bits & Cell.write) !== 0) return false;
  return (bits & ~other & Cell.atomic) === 0;
}

function lowBits(cell: number): number {
  return cell - Math.floor(cell / low) * low;
}
function low8(cell: number): number {
  return lowBits(cell) & 0xff;
}

export function createChecker(clock: Clock, hooks: CheckerHooks): Checker {
  const key = clock.key;
  const rows = clock.control.clocks;
  const row = clock.row;
  const slotBits = clock.slot * Cell.slot;
  /** The cell of a group that this thread takes first: another than its neighbours do, so that two at once do not take the same one. */
  const firstCell = clock.slot & 3;
  let victim = 0;

  function inBlock(buffer: BufferShadow, offset: number, bits: number, site: number): void {
    const first = (bits & 0x0f) !== 0 ? 0 : 4;
    const block = buffer.blocks[(offset + first) >>> 2]!;
    if (block !== 0) hooks.touched(buffer, block, offset, bits, site);
  }

  /** Whether a cell is an access of this thread in this epoch. */
  function isOwnNow(cell: number): boolean {
    return cell >= key[0]! && (lowBits(cell) & slotMask) === slotBits;
  }

  /** Whether the access in a cell races with one of this thread, of these bits. */
  function races(other: number, bits: number): boolean {
    const epoch = Math.floor(other / low);
    const otherBits = other - epoch * low;
    if ((otherBits & bits & 0xff) === 0 || ((otherBits | bits) & Cell.write) === 0) return false;
    if ((otherBits & bits & Cell.atomic) !== 0 && (otherBits & 0xff) === (bits & 0xff)) return false;
    return epoch > rows[row + (otherBits >> 11)]!;
  }

  /**
   * An access that has just been entered, against those that were entered since it was looked for any: of two threads at once, the one that looks again last
   * sees the other. What the other does now is not after this access, which nobody could learn of yet.
   */
  function lookAgain(buffer: BufferShadow, at: number, bits: number, site: number): void {
    const cells = buffer.cells;
    for (let cell = at; cell < at + 4; cell++) {
      const previous = cells[cell]!;
      if (!races(previous, bits)) continue;
      const current = key[0]! + bits;
      hooks.found({ buffer, offset: at * 2, current, currentWord: site, previous, previousWord: buffer.words[cell]! });
      return;
    }
  }

  /** An access that is not in the cells: against those which are, then in. `bits` without the slot. */
  function enter(buffer: BufferShadow, at: number, bits: number, site: number): void {
    if (hooks.ignoring()) return;
    const cells = buffer.cells;
    const { blocks } = buffer;
    if (blocks[blocks.length - 1] !== 0) inBlock(buffer, at * 2, bits, site);
    for (let cell = at; cell < at + 4; cell++) if (isOwnNow(cells[cell]!) && says(lowBits(cells[cell]!), bits)) return;
    // May take long, for a stack: so it comes before the look at the cells.
    const word = hooks.word(site);
    const current = key[0]! + bits;
    const mask = bits & 0xff;
    let place = -1;
    let ordered = -1;
    let alike = -1;
    let raced = false;
    const before0 = cells[at]!;
    const before1 = cells[at + 1]!;
    const before2 = cells[at + 2]!;
    const before3 = cells[at + 3]!;
    for (let step = 0; step < 4; step++) {
      const cell = at + ((firstCell + step) & 3);
      const other = cells[cell]!;
      if (other === 0) {
        if (place < 0) place = cell;
        continue;
      }
      const epoch = Math.floor(other / low);
      const otherBits = other - epoch * low;
      if (((otherBits ^ bits) & flags) === 0 && (bits & Cell.atomic) === 0 && isOwnNow(other)) alike = cell;
      if (epoch <= rows[row + (otherBits >> 11)]!) {
        // Over before this access. Where this one says as much, whatever races with that races with this too.
        if (says(bits, otherBits)) place = cell;
        else ordered = cell;
        continue;
      }
      if (!races(other, bits)) continue;
      const previousWord = buffer.words[cell]!;
      hooks.found({ buffer, offset: at * 2, current, currentWord: site, previous: other, previousWord });
      raced = true;
      break;
    }
    let entered = current;
    if (place < 0 && alike >= 0) {
      // More accesses than cells, as of the single bytes: two that differ by their bytes only share one, rather than that one is lost.
      place = alike;
      entered = cells[alike]! + (mask & ~maskOf(cells[alike]!));
    }
    if (place < 0) place = ordered;
    if (place < 0) {
      victim = (victim + 1) & 3;
      place = at + victim;
    }
    buffer.words[place] = word;
    cells[place] = entered;
    // Without it the processor may look again before others can see what was entered.
    exchange(fence, 0, 0);
    const isChanged =
      cells[at] !== (place === at ? entered : before0) ||
      cells[at + 1] !== (place === at + 1 ? entered : before1) ||
      cells[at + 2] !== (place === at + 2 ? entered : before2) ||
      cells[at + 3] !== (place === at + 3 ? entered : before3);
    if (isChanged && !raced) lookAgain(buffer, at, bits, site);
  }

  /** Not in the view as it was: is it not shared yet, has it grown, or is the index none? */
  function outside(shadow: ViewShadow, view: View, index: unknown, kind: number, site: number): void {
    if (!(shadow instanceof ViewShadow)) return;
    const { buffer } = shadow;
    if (buffer.memory === undefined) return;
    if (typeof index === 'string') {
      named(shadow, view, index, kind, site);
      return;
    }
    const limit = viewLength(view);
    if (limit === shadow.limit && shadow.cells === buffer.cells) return;
    if (shadow.limit > 0 && limit > shadow.limit) hooks.grown(buffer);
    shadow.limit = limit;
    shadow.cells = buffer.cells;
    if (typeof index !== 'number' || !(index >= 0 && index < limit) || index !== Math.floor(index)) return;
    if (kind === 0) read(shadow, view, index, site);
    else write(shadow, view, index, site);
  }

  /** A key of a for-in loop. */
  function named(shadow: ViewShadow, view: View, name: string, kind: number, site: number): void {
    const index = Number(name);
    if (String(index) !== name) return;
    if (kind === 0) read(shadow, view, index, site);
    else write(shadow, view, index, site);
  }

  function read(shadow: ViewShadow, view: View, index: number, site: number): void {
    if (!(index < shadow.limit) || index >>> 0 !== index) {
      outside(shadow, view, index, 0, site);
      return;
    }
    const offset = shadow.base + (index << shadow.shift);
    const at = (offset >>> 3) * 4;
    const bits = (shadow.mask << (offset & 7)) | shadow.kind;
    const wanted = key[0]! + bits;
    const written = wanted + Cell.write;
    const cells = shadow.cells;
    const first = cells[at]!;
    if (first === wanted || first === written) return;
    const second = cells[at + 1]!;
    if (second === wanted || second === written) return;
    const third = cells[at + 2]!;
    if (third === wanted || third === written) return;
    const fourth = cells[at + 3]!;
    if (fourth === wanted || fourth === written) return;
    enter(shadow.buffer, at, bits, site);
  }

  function write(shadow: ViewShadow, view: View, index: number, site: number): void {
    if (!(index < shadow.limit) || index >>> 0 !== index) {
      outside(shadow, view, index, Cell.write, site);
      return;
    }
    const offset = shadow.base + (index << shadow.shift);
    const at = (offset >>> 3) * 4;
    const bits = (shadow.mask << (offset & 7)) | shadow.kind | Cell.write;
    const wanted = key[0]! + bits;
    const cells = shadow.cells;
    if (cells[at] === wanted || cells[at + 1] === wanted || cells[at + 2] === wanted || cells[at + 3] === wanted) {
      return;
    }
    enter(shadow.buffer, at, bits, site);
  }

  function group(buffer: BufferShadow, at: number, bits: number, site: number): void {
    const cells = buffer.cells;
    const wanted = key[0]! + bits;
    if (cells[at] === wanted || cells[at + 1] === wanted || cells[at + 2] === wanted || cells[at + 3] === wanted) {
      return;
    }
    enter(buffer, at, bits, site);
  }

  function whole(buffer: BufferShadow, offset: number, bytes: number, kind: number, site: number): void {
    if (buffer.memory === undefined) return;
    const mask = ((1 << bytes) - 1) << (offset & 7);
    group(buffer, Math.floor(offset / 8) * 4, mask | kind, site);
  }

  function range(buffer: BufferShadow, offset: number, bytes: number, kind: number, site: number): void {
    if (buffer.memory === undefined || bytes <= 0) return;
    const end = offset + bytes;
    for (let start = offset; start < end; ) {
      const first = start & 7;
      const count = Math.min(8 - first, end - start);
      const mask = ((1 << count) - 1) << first;
      group(buffer, Math.floor(start / 8) * 4, mask | kind, site);
      start += count;
    }
  }

  /** Against what another thread has done since, whatever this one has learnt of it meanwhile. */
  function lateGroup(buffer: BufferShadow, at: number, bits: number, site: number, since: readonly number[]): void {
    for (let cell = at; cell < at + 4; cell++) {
      const other = buffer.cells[cell]!;
      const otherBits = lowBits(other);
      const slot = otherBits >> 11;
      if ((otherBits & bits & 0xff) === 0 || ((otherBits | bits) & Cell.write) === 0) continue;
      if (slot === clock.slot || epochOf(other) <= (since[slot] ?? 0)) continue;
      const current = key[0]! + bits;
      const previousWord = buffer.words[cell]!;
      hooks.found({ buffer, offset: at * 2, current, currentWord: site, previous: other, previousWord });
      return;
    }
  }

  function late(
    buffer: BufferShadow,
    offset: number,
    bytes: number,
    kind: number,
    site: number,
    since: readonly number[],
  ): void {
    if (buffer.memory === undefined || hooks.ignoring()) return;
    const end = offset + bytes;
    for (let start = offset; start < end; ) {
      const first = start & 7;
      const count = Math.min(8 - first, end - start);
      lateGroup(buffer, Math.floor(start / 8) * 4, (((1 << count) - 1) << first) | kind, site, since);
      start += count;
    }
    range(buffer, offset, bytes, kind, site);
  }

  function renew(buffer: BufferShadow, offset: number, bytes: number, site: number): void {
    const word = hooks.word(site);
    const end = Math.floor((offset + bytes) / 8) * 8;
    for (let start = Math.ceil(offset / 8) * 8; start < end; start += 8) {
      const at = start / 2;
      buffer.cells.fill(0, at + 1, at + 4);
      buffer.words[at] = word;
      buffer.cells[at] = key[0]! + Cell.write + 0xff;
    }
  }

  return { read, write, update: write, whole, range, late, renew };
}
