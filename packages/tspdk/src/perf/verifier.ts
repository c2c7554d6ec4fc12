/**
 * What a verifying job knows of its part of the disk, so that it need not trust the disk: how often each place was written, from which the data follows.
 *
 * A place is visited by one task at a time, in the order of places. A visit reads what the last one left there and compares (so a write
 * that went to another place, or was forgotten, is found when the job comes round), writes new data, reads it back and compares. Before each read the
 * buffer is filled with something else, or a disk that reads nothing would be believed. Data path.
 */
import { IO_READ, IO_WRITE } from '../bdev/index.ts';
import { comparePattern, fillPattern, patternStart } from './pattern.ts';
import type { PerfTask } from './task.ts';

/** Steps of a visit. */
const READ_OLD = 0;
const WRITE_NEW = 1;
const READ_NEW = 2;

/** What `advance` found. */
export const VISIT_GOES_ON = 0;
export const VISIT_DONE = 1;
export const VISIT_DIFFERS = 2;

const WORD_BYTES = 4;
/** Stands in the buffer before a read; no pattern goes on like this. */
const UNREAD = 0xa5a5a5a5 | 0;
const BUSY = 0x8000_0000 | 0;
const GENERATION = 0x7fff_ffff;
/** Bytes of a difference that are shown. */
const SHOWN_BYTES = 16;

/** The first bytes that were not as written. */
export interface Difference {
  /** Of the disk, bytes. */
  readonly offset: number;
  /** Hexadecimal, from that byte on. */
  readonly expected: string;
  readonly found: string;
  /** Of the I/O, how many differ. */
  readonly bytes: number;
  /** Offset of the I/O. */
  readonly ioOffset: number;
  /** How often the place had been written. */
  readonly generation: number;
}

export class Verifier {
  readonly #seed: number;
  readonly #places: number;
  readonly #ioWords: number;
  readonly #words: Int32Array;
  /** By place: how often it was written, and whether a task is there. */
  readonly #generations: Int32Array;
  #at = 0;

  /** @param words the job's buffers @param places how many the job has, more than it has tasks or as many */
  constructor(seed: number, places: number, ioBytes: number, words: Int32Array) {
    this.#seed = seed;
    this.#places = places;
    this.#ioWords = ioBytes / WORD_BYTES;
    this.#words = words;
    this.#generations = new Int32Array(places);
  }

  /** Sends `task` to the next place where no other is, and says what is to be done there first. */
  begin(task: PerfTask): void {
    const generations = this.#generations;
    let place = this.#at;
    while ((generations[place] & BUSY) !== 0) place = place + 1 === this.#places ? 0 : place + 1;
    this.#at = place + 1 === this.#places ? 0 : place + 1;
    task.place = place;
    if (generations[place] > 0) this.#read(task, READ_OLD);
    else this.#write(task);
    generations[place] |= BUSY;
  }

  /** An I/O of `task` has succeeded. */
  advance(task: PerfTask): number {
    if (task.step === WRITE_NEW) {
      this.#read(task, READ_NEW);
      return VISIT_GOES_ON;
    }
    const at = this.#at32(task);
    if (comparePattern(this.#words, at, this.#ioWords, this.#start(task)) >= 0) return VISIT_DIFFERS;
    if (task.step === READ_NEW) {
      this.#generations[task.place] &= GENERATION;
      return VISIT_DONE;
    }
    this.#write(task);
    return VISIT_GOES_ON;
  }

  /** What `advance` has found to differ. Control path. `ioOffset`: where the I/O was on the disk, bytes. */
  difference(task: PerfTask, ioOffset: number): Difference {
    const at = this.#at32(task);
    const words = new Int32Array(this.#ioWords);
    fillPattern(words, 0, words.length, this.#start(task));
    const expected = new Uint8Array(words.buffer);
    const found = new Uint8Array(this.#words.slice(at, at + this.#ioWords).buffer);
    let first = -1;
    let bytes = 0;
    for (let i = 0; i < expected.length; i++) {
      if (expected[i] === found[i]) continue;
      if (first < 0) first = i;
      bytes++;
    }
    const hex = (data: Uint8Array): string => Buffer.from(data.subarray(first, first + SHOWN_BYTES)).toString('hex');
    return {
      offset: ioOffset + first,
      expected: hex(expected),
      found: hex(found),
      bytes,
      ioOffset,
      generation: this.#generations[task.place] & GENERATION,
    };
  }

  /** Nobody visits the place any more; what it holds is not known. */
  giveUp(task: PerfTask): void {
    this.#generations[task.place] = 0;
  }

  #at32(task: PerfTask): number {
    return task.offset / WORD_BYTES;
  }

  #start(task: PerfTask): number {
    return patternStart(this.#seed, task.place, this.#generations[task.place] & GENERATION);
  }

  #read(task: PerfTask, step: number): void {
    const at = this.#at32(task);
    this.#words.fill(UNREAD, at, at + this.#ioWords);
    task.step = step;
    task.type = IO_READ;
  }

  #write(task: PerfTask): void {
    const generations = this.#generations;
    const { place } = task;
    const busy = generations[place] & BUSY;
    // After 2^31 writes it begins again at 1.
    const generation = ((generations[place] & GENERATION) + 1) & GENERATION || 1;
    generations[place] = generation | busy;
    fillPattern(this.#words, this.#at32(task), this.#ioWords, this.#start(task));
    task.step = WRITE_NEW;
    task.type = IO_WRITE;
  }
}
