/**
 * The vocabulary of faults: what is to go wrong, where, when, and how often. One set of words for RPC parameters, the command line, a URI's query and programs.
 * It covers what SPDK's error and delay bdevs do, and QEMU's blkdebug: rules can follow one another by a state that each disk has.
 */
import type { ErrorCode } from '../../env/errors.ts';
import {
  IO_ABORT,
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_FLUSH,
  IO_READ,
  IO_RESET,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
} from '../io-type.ts';

/** Words for what a rule applies to, and the mask of types behind each. What takes I/Os away, `reset` and `abort`, is not among `all`. */
export const FAULT_OPS = {
  all: ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH, IO_WRITE_ZEROES, IO_COMPARE, IO_COMPARE_AND_WRITE, IO_COPY),
  read: 1 << IO_READ,
  write: 1 << IO_WRITE,
  unmap: 1 << IO_UNMAP,
  flush: 1 << IO_FLUSH,
  write_zeroes: 1 << IO_WRITE_ZEROES,
  compare: 1 << IO_COMPARE,
  compare_and_write: 1 << IO_COMPARE_AND_WRITE,
  copy: 1 << IO_COPY,
  reset: 1 << IO_RESET,
  abort: 1 << IO_ABORT,
} as const;

/** What a disk that is written in units (`BdevLimits.writeUnitBlocks`) takes in whole ones. */
export const UNIT_TYPES = ioTypes(IO_WRITE, IO_WRITE_ZEROES, IO_COMPARE_AND_WRITE, IO_COPY);

/**
 * - `error`: fails with `errno`, before it reaches the disk or after the disk has done it (`stage`); an abort finds nothing to end
 * - `set_state`: nothing goes wrong, the disk's state becomes `new_state`
 * - `nomem`: the disk has no memory for it, this once
 * - `delay`: takes `delay_us` longer; then it ends with `errno`, if there is one
 * - `corrupt`: one byte, at `corrupt_offset` of the I/O, is another: what a write stores, or what a read gives; it ends with `errno`, if there is one
 * - `torn`: only the first `torn_blocks` of a write reach the disk; it ends with `errno`, if there is one
 * - `misdirect`: goes to the place `misdirect_blocks` further on; it ends with `errno`, if there is one
 * - `lost`: is said to be done and is not
 * - `stuck`: does not end until it is aborted, the disk is reset or goes, or `fault_resume` is called; then it is carried out, or ends with `errno`, if there is one
 */
export const FAULT_ACTIONS = [
  'error',
  'set_state',
  'nomem',
  'delay',
  'corrupt',
  'torn',
  'misdirect',
  'lost',
  'stuck',
] as const;
export type FaultAction = (typeof FAULT_ACTIONS)[number];

/** `fixed`: always `delay_us`. `uniform`: from `delay_us` to `delay_max_us`. `exponential`: mean `delay_us`. `p99`: `delay_us`, and one in a hundred `delay_max_us`. */
export const FAULT_DISTRIBUTIONS = ['fixed', 'uniform', 'exponential', 'p99'] as const;
export const FAULT_STAGES = ['submission', 'completion'] as const;

/** A rule with everything said. Structured-cloneable. */
export interface FaultRule {
  readonly op: keyof typeof FAULT_OPS;
  readonly action: FaultAction;
  readonly stage: (typeof FAULT_STAGES)[number];
  /** Applies to I/Os that touch one of `num_blocks` blocks from `offset_blocks` on; 0: to the end of the disk. Resets have no range, an abort has that of its I/O. */
  readonly offset_blocks: number;
  readonly num_blocks: number;
  /** Only I/Os of the initiator's connection of this number (nbd_get_connections); 0: of any, and of none. */
  readonly connection: number;
  /** Name of the code; '' is none. */
  readonly errno: ErrorCode | '';
  readonly delay_us: number;
  readonly delay_max_us: number;
  readonly distribution: (typeof FAULT_DISTRIBUTIONS)[number];
  readonly corrupt_offset: number;
  /** Bits of the byte that are turned over, as SPDK's. */
  readonly corrupt_value: number;
  readonly torn_blocks: number;
  readonly misdirect_blocks: number;
  /** Only while so many I/Os of the channel are with the disk. */
  readonly queue_depth: number;
  /** Lets so many pass first. */
  readonly skip: number;
  /** Of those that follow, every so many-th. */
  readonly every: number;
  /** At most so often; 0: without end. */
  readonly count: number;
  /** 0 to 1. What is drawn for an I/O follows from `seed` and from how many the rule has seen before. */
  readonly probability: number;
  readonly seed: number;
  /** Not before so long after it was added, and for so long; 0: from the start, without end. */
  readonly start_ms: number;
  readonly duration_ms: number;
  /** Only while the disk's state is this; 0: whatever it is. It is 1 at first. */
  readonly state: number;
  /** The disk's state from then on; 0: unchanged. */
  readonly new_state: number;
}

/** What a rule is where nothing is said. */
export const DEFAULT_RULE: FaultRule = {
  op: 'all',
  action: 'error',
  stage: 'submission',
  offset_blocks: 0,
  num_blocks: 0,
  connection: 0,
  errno: '',
  delay_us: 0,
  delay_max_us: 0,
  distribution: 'fixed',
  corrupt_offset: 0,
  corrupt_value: 255,
  torn_blocks: 0,
  misdirect_blocks: 0,
  queue_depth: 0,
  skip: 0,
  every: 1,
  count: 0,
  probability: 1,
  seed: 0,
  start_ms: 0,
  duration_ms: 0,
  state: 0,
  new_state: 0,
};
