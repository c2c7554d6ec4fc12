// The sanitizer in one thread: its clock, its checker, the buffers it knows, and the way from a race to a report. Everything that patches the program's world
// (messages, workers, Atomics, typed arrays ...) is given this object and keeps nothing of its own.

import type { Options } from '../report/options.ts';
import type { Frame, Report } from '../report/report.ts';
import type { BufferShadow } from './buffer-shadow.ts';
import { Buffers } from './buffers.ts';
import { type Checker, createChecker, type Found } from './checker.ts';
import type { Clock } from './clock.ts';
import { type Control, Header } from './control.ts';
import { createPerturb, type Perturb } from './perturb.ts';
import { RaceReporter } from './race.ts';
import { addStack, siteFrame } from './sites.ts';
import { captureStack } from './stack.ts';

export interface RuntimeOptions {
  readonly control: Control;
  readonly clock: Clock;
  readonly options: Options;
  readonly emit: (report: Report) => void;
}

/** Captured stacks may take this share of a thread's time. */
const captureShare = 0.05;
const visitedSites = 8192;
const now = performance.now.bind(performance);

export class Runtime {
  readonly control: Control;
  readonly clock: Clock;
  readonly options: Options;
  readonly buffers: Buffers;
  readonly check: Checker;
  readonly emit: (report: Report) => void;
  /** [0]: where the program calls a built-in, set by rewritten code just before. */
  readonly site = new Int32Array(16);
  readonly races: RaceReporter;
  /** Site, visits and word of each; sites that fall together push one another out. */
  readonly #visits = new Int32Array(visitedSites * 3);
  readonly #words = new Map<string, number>();
  /** Of a site, each with a stack of its own. */
  readonly #firstVisits: number;
  readonly #began = now();
  #captureMs = 0;
  #ignored = 0;

  /** Delays this thread around synchronisation, in mode=perturb. */
  readonly perturb: Perturb | undefined;
  /** Annotated locks that this thread holds. */
  heldLocks: () => number[] = () => [];
  /** A view was seen to have grown. */
  lengthSeen: (buffer: BufferShadow) => void = () => {};
  /** What own/ has to say of a touched block. */
  touched: (buffer: BufferShadow, block: number, offset: number, bits: number, site: number) => void = () => {};

  constructor({ control, clock, options, emit }: RuntimeOptions) {
    this.control = control;
    this.clock = clock;
    this.options = options;
    this.emit = emit;
    this.#firstVisits = 2 ** options.history_size;
    this.perturb = options.mode === 'perturb' ? createPerturb(this, control.header[Header.seed]!) : undefined;
    this.buffers = new Buffers(this);
    this.races = new RaceReporter(this);
    this.check = createChecker(clock, {
      word: (site) => this.wordOf(site),
      found: (race: Found) => this.races.found(race),
      ignoring: () => this.#ignored > 0,
      grown: (buffer) => this.lengthSeen(buffer),
      touched: (buffer, block, offset, bits, site) => this.touched(buffer, block, offset, bits, site),
    });
  }

  ignore(step: 1 | -1): void {
    this.#ignored = Math.max(0, this.#ignored + step);
  }

  /** A word for the access that is being made: a captured stack for a site's first visits and from time to time, otherwise the last one of the site. */
  wordOf(site: number): number {
    const visits = this.#visits;
    const at = (site & (visitedSites - 1)) * 3;
    if (visits[at] !== site) {
      visits[at] = site;
      visits[at + 1] = 0;
      visits[at + 2] = site;
    }
    const count = ++visits[at + 1]!;
    if (count <= this.#firstVisits || ((count & 63) === 0 && this.#mayCapture()))
      visits[at + 2] = this.captureWord(site) || site;
    return visits[at + 2]!;
  }

  #mayCapture(): boolean {
    return this.#captureMs < (now() - this.#began) * captureShare;
  }

  /** The stack as it is now. A site knows better than V8 where in the source it is, if it is this one and not an old mark. */
  stack(site = 0): Frame[] {
    const frames = captureStack();
    const [inner] = frames;
    const exact = site > 0 && inner !== undefined ? siteFrame(this.control, site) : undefined;
    if (exact !== undefined && exact.file === inner!.file && exact.line === inner!.line) {
      frames[0] = { ...inner!, column: exact.column };
    }
    return frames;
  }

  /** The same as a word. */
  captureWord(site = 0): number {
    const start = now();
    const frames = this.stack(site);
    const word = frames.length === 0 ? 0 : this.wordOfFrames(frames);
    this.#captureMs += now() - start;
    return word;
  }

  wordOfFrames(frames: readonly Frame[]): number {
    const key = JSON.stringify(frames);
    let word = this.#words.get(key);
    if (word === undefined) {
      word = addStack(this.control, frames);
      this.#words.set(key, word);
    }
    return word;
  }
}
