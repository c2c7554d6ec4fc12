/**
 * What a disk may hold while many read and write it at once: the reference that a stack of disks is held against.
 *
 * Every written block has a stamp of its own, which its bytes are made of, so that what is read says which write it came from, and a byte in the wrong place shows. A block is a register: a
 * read may give what any write left that was not certainly overwritten before the read began, or what any write brings that overlaps it in time. Two writes of a block at the same time leave either's data;
 * an I/O that did not succeed leaves what was there or what it brought. Blocks are whole: the disks below exchange one in one step.
 */
import assert from 'node:assert/strict';

/** What a block holds that was never written, or was zeroed. */
const ZEROES = 0;
/** Of no write: it may hold anything. */
const ANYTHING = -1;

interface Value {
  readonly stamp: number;
  /** When the write that left it ended. */
  readonly ended: number;
}

interface Block {
  values: Value[];
  readonly writes: ModelWrite[];
  readonly reads: ModelRead[];
  /** Whoever copies from it relies on it. */
  held: number;
  /** Stamps that a compare-and-write has found and replaced: no other may find them. */
  readonly replaced: Set<number>;
}

/** A write that is under way. */
export interface ModelWrite {
  readonly first: number;
  /** By block. */
  readonly stamps: readonly number[];
  readonly began: number;
}

/** A read or compare that is under way. */
export interface ModelRead {
  readonly first: number;
  /** By block: what it may find. */
  readonly allowed: readonly Set<number>[];
}

/** How a write has ended: it is done; it was refused, and nothing happened; nobody knows. */
export type Outcome = 'done' | 'refused' | 'unknown';

/** The words of a block with `stamp`. */
function fill(words: Uint32Array, stamp: number): void {
  if (stamp === ZEROES) words.fill(0);
  else for (let i = 0; i < words.length; i++) words[i] = i === 0 ? stamp : Math.imul(stamp + i, 0x9e3779b1) ^ i;
}

export interface ModelOptions {
  readonly blocks: number;
  readonly blockBytes: number;
  /** Of a block; the rest, if there is one, is ones where the block is zeroed. */
  readonly dataBytes: number;
  /** A write that did not succeed may leave anything. */
  readonly holes: boolean;
}

export class StackModel {
  /** Bytes of one, a multiple of 4. */
  readonly blockBytes: number;
  readonly #dataBytes: number;
  readonly #holes: boolean;
  readonly #blocks: Block[];
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  #now = 0;
  #stamps = 0;

  constructor({ blocks, blockBytes, dataBytes, holes }: ModelOptions) {
    this.blockBytes = blockBytes;
    this.#dataBytes = dataBytes;
    this.#holes = holes;
    this.#words = new Uint32Array(blockBytes / 4);
    this.#bytes = new Uint8Array(this.#words.buffer);
    this.#blocks = Array.from({ length: blocks }, () => ({
      values: [{ stamp: ZEROES, ended: 0 }],
      writes: [],
      reads: [],
      held: 0,
      replaced: new Set(),
    }));
  }

  get blocks(): number {
    return this.#blocks.length;
  }

  /** Stamps that nobody has. */
  newStamps(count: number): number[] {
    return Array.from({ length: count }, () => ++this.#stamps);
  }

  zeroStamps(count: number): number[] {
    return new Array(count).fill(ZEROES);
  }

  /** The bytes of one block; until the next call. */
  bytesOf(stamp: number): Uint8Array {
    fill(this.#words, stamp);
    if (stamp === ZEROES) this.#bytes.fill(0xff, this.#dataBytes);
    return this.#bytes;
  }

  /** The stamps of blocks that can hold one thing only, and that nobody is writing; null: some might hold another. */
  certain(first: number, count: number): number[] | null {
    const stamps: number[] = [];
    for (const { values, writes } of this.#of(first, count)) {
      if (writes.length > 0 || values.some(({ stamp }) => stamp === ANYTHING || stamp !== values[0].stamp)) return null;
      stamps.push(values[0].stamp);
    }
    return stamps;
  }

  /** Whether I/O under way would meet a write of the range, or a read. */
  meetsWrites(first: number, count: number): boolean {
    return this.#of(first, count).some(({ writes }) => writes.length > 0);
  }

  meetsReads(first: number, count: number): boolean {
    return this.#of(first, count).some(({ reads }) => reads.length > 0);
  }

  /** Whether somebody relies on it. */
  isHeld(first: number, count: number): boolean {
    return this.#of(first, count).some(({ held }) => held > 0);
  }

  hold(first: number, count: number, by: 1 | -1): void {
    for (const block of this.#of(first, count)) block.held += by;
  }

  #of(first: number, count: number): Block[] {
    return this.#blocks.slice(first, first + count);
  }

  beginRead(first: number, count: number): ModelRead {
    const blocks = this.#of(first, count);
    const read: ModelRead = {
      first,
      allowed: blocks.map(({ values, writes }, i) => {
        const allowed = new Set(values.map(({ stamp }) => stamp));
        for (const write of writes) allowed.add(write.stamps[first + i - write.first]);
        return allowed;
      }),
    };
    for (const { reads } of blocks) reads.push(read);
    return read;
  }

  endRead(read: ModelRead): void {
    for (const { reads } of this.#of(read.first, read.allowed.length)) reads.splice(reads.indexOf(read), 1);
  }

  /** `but`: its own part, which a compare-and-write does not find. */
  beginWrite(first: number, stamps: readonly number[], but: ModelRead | null = null): ModelWrite {
    const write: ModelWrite = { first, stamps, began: ++this.#now };
    for (const [i, block] of this.#of(first, stamps.length).entries()) {
      block.writes.push(write);
      block.replaced.delete(stamps[i]);
      for (const read of block.reads) if (read !== but) read.allowed[first + i - read.first].add(stamps[i]);
    }
    return write;
  }

  endWrite(write: ModelWrite, outcome: Outcome): void {
    const ended = ++this.#now;
    for (const [i, block] of this.#of(write.first, write.stamps.length).entries()) {
      block.writes.splice(block.writes.indexOf(write), 1);
      if (outcome === 'refused') continue;
      // What had ended before this began is overwritten.
      if (outcome === 'done') block.values = block.values.filter((value) => value.ended > write.began);
      block.values.push({ stamp: outcome === 'unknown' && this.#holes ? ANYTHING : write.stamps[i], ended });
    }
  }

  /** What was read of the blocks of `read`, which is checked. */
  check(read: ModelRead, bytes: Uint8Array): void {
    for (const [i, allowed] of read.allowed.entries()) {
      if (allowed.has(ANYTHING)) continue;
      const got = bytes.subarray(i * this.blockBytes, (i + 1) * this.blockBytes);
      const stamp = (got[0] | (got[1] << 8) | (got[2] << 16) | (got[3] << 24)) >>> 0;
      const where = `block ${read.first + i}`;
      if (!allowed.has(stamp)) {
        assert.fail(`${where} holds stamp ${stamp}, of ${this.#stamps}, not ${[...allowed].join(' or ')}`);
      }
      const whole = Buffer.compare(got, this.bytesOf(stamp)) === 0;
      assert.ok(whole, `${where} holds more than stamp ${stamp}`);
    }
  }

  /** A compare with `expected` has ended; `equal`: it found that. */
  checkCompared({ first, allowed }: ModelRead, expected: readonly number[], equal: boolean): void {
    const may = expected.every((stamp, i) => allowed[i].has(stamp) || allowed[i].has(ANYTHING));
    const must = may && allowed.every((each) => each.size === 1 && !each.has(ANYTHING));
    assert.ok(
      equal ? may : !must,
      `a compare from block ${first} finds ${equal ? 'what is not' : 'not what is'} there`,
    );
  }

  /** A compare-and-write has found `expected`: nobody else finds it too. */
  replaced(first: number, expected: readonly number[]): void {
    for (const [i, { replaced }] of this.#of(first, expected.length).entries()) {
      if (expected[i] === ZEROES) continue;
      assert.ok(
        !replaced.has(expected[i]),
        `two compare-and-writes replace stamp ${expected[i]} of block ${first + i}`,
      );
      replaced.add(expected[i]);
    }
  }
}
