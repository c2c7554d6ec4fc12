/**
 * The vocabulary of faults: what is to go wrong, where, when, and how often. One set of words for RPC parameters, the command line, a URI's query and programs.
 *
 * A rule as text is `key=value` with commas between: `op=write,action=error,errno=ENOSPC,count=3`. As parameters and in programs it is an object with the same keys and values.
 * It covers what SPDK's error and delay bdevs do, and QEMU's blkdebug: rules can follow one another by a state that each disk has.
 */
import { type ErrorCode, errnoOf, errorCodes, SpdkError } from '../../env/errors.ts';
import {
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
} from '../io-type.ts';

/** Words for what a rule applies to, and the mask of types behind each. */
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
} as const;

/**
 * - `error`: fails with `errno`, before it reaches the disk or after the disk has done it (`stage`)
 * - `nomem`: the disk has no memory for it, this once
 * - `delay`: takes `delay_us` longer
 * - `corrupt`: one byte, at `corrupt_offset` of the I/O, is another: what a write stores, or what a read gives
 * - `torn`: only the first `torn_blocks` of a write reach the disk; it ends with `errno`, if there is one
 * - `misdirect`: goes to the place `misdirect_blocks` further on
 * - `lost`: is said to be done and is not
 * - `stuck`: does not end until it is aborted, or `fault_resume` is called, and then it is carried out
 */
export const FAULT_ACTIONS = ['error', 'nomem', 'delay', 'corrupt', 'torn', 'misdirect', 'lost', 'stuck'] as const;
export type FaultAction = (typeof FAULT_ACTIONS)[number];

/** `fixed`: always `delay_us`. `uniform`: from `delay_us` to `delay_max_us`. `exponential`: mean `delay_us`. `p99`: `delay_us`, and one in a hundred `delay_max_us`. */
export const FAULT_DISTRIBUTIONS = ['fixed', 'uniform', 'exponential', 'p99'] as const;
export const FAULT_STAGES = ['submission', 'completion'] as const;

/** A rule with everything said. Structured-cloneable. */
export interface FaultRule {
  readonly op: keyof typeof FAULT_OPS;
  readonly action: FaultAction;
  readonly stage: (typeof FAULT_STAGES)[number];
  /** Applies to I/Os that touch one of `num_blocks` blocks from `offset_blocks` on; 0: to the end of the disk. Flushes have no range. */
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
  /** The byte's new value; -1: every bit of it is turned over. */
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
  /** 0 to 1, drawn with `seed`. */
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

const DEFAULTS: FaultRule = {
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
  corrupt_value: -1,
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

/** What is accepted for a rule: any of its keys, values as they are or as text. */
export type FaultInput = Partial<Record<keyof FaultRule, string | number | undefined>>;

const CODES = new Set(errorCodes().map(({ code }) => code));
const WORDS: Partial<Record<keyof FaultRule, readonly string[]>> = {
  op: Object.keys(FAULT_OPS),
  action: FAULT_ACTIONS,
  stage: FAULT_STAGES,
  distribution: FAULT_DISTRIBUTIONS,
};
const MOST: Partial<Record<keyof FaultRule, readonly [number, number]>> = {
  corrupt_value: [-1, 255],
  misdirect_blocks: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  connection: [0, 2 ** 31 - 1],
  every: [1, 2 ** 31 - 1],
  skip: [0, 2 ** 31 - 1],
  count: [0, 2 ** 31 - 1],
  state: [0, 2 ** 31 - 1],
  new_state: [0, 2 ** 31 - 1],
  seed: [0, 2 ** 32 - 1],
  delay_us: [0, 3_600_000_000],
  delay_max_us: [0, 3_600_000_000],
};
const LOSABLE: readonly string[] = ['write', 'unmap', 'flush', 'write_zeroes', 'copy'];

function bad(key: string, value: unknown, may: string): SpdkError {
  return new SpdkError('EINVAL', `fault rule: ${key} "${String(value)}", may be ${may}`);
}

function oneValue(key: keyof FaultRule, value: string | number): FaultRule[keyof FaultRule] {
  const words = WORDS[key];
  if (words !== undefined) {
    if (!words.includes(String(value))) throw bad(key, value, words.join(', '));
    return value as FaultRule['op'];
  }
  if (key === 'errno') {
    if (!CODES.has(value as ErrorCode)) throw bad(key, value, 'the name of an error like EIO, ENOSPC, ETIMEDOUT');
    return value as ErrorCode;
  }
  const number = typeof value === 'number' ? value : value.trim() === '' ? Number.NaN : Number(value);
  if (key === 'probability') {
    if (!(number >= 0 && number <= 1)) throw bad(key, value, 'a number from 0 to 1');
    return number;
  }
  const [least, most] = MOST[key] ?? [0, Number.MAX_SAFE_INTEGER];
  if (!(Number.isInteger(number) && number >= least && number <= most)) {
    throw bad(key, value, `an integer from ${least} to ${most}`);
  }
  return number;
}

/**
 * A rule from what was said of it, checked.
 * @throws {SpdkError} EINVAL naming the key, the value and what it may be; also for keys that do not go together
 */
export function faultRule(input: FaultInput | string): FaultRule {
  const said: FaultInput = typeof input === 'string' ? parse(input) : input;
  const rule: Record<string, unknown> = { ...DEFAULTS };
  for (const [key, value] of Object.entries(said)) {
    if (!(key in DEFAULTS)) {
      throw new SpdkError('EINVAL', `fault rule: no key "${key}"; there are ${Object.keys(DEFAULTS).join(', ')}`);
    }
    if (value !== undefined) rule[key] = oneValue(key as keyof FaultRule, value);
  }
  const checked = rule as unknown as FaultRule;
  const { action, op, stage } = checked;
  if (action === 'error' && checked.errno === '') return { ...checked, errno: 'EIO' };
  if (action === 'delay' && checked.delay_us === 0 && checked.delay_max_us === 0)
    throw bad('delay_us', 0, 'above 0 for a delay');
  if (action === 'torn' && op !== 'write') throw bad('op', op, 'write for action torn');
  if (action === 'lost' && !LOSABLE.includes(op)) throw bad('op', op, `${LOSABLE.join(', ')} for action lost`);
  if (action === 'corrupt' && op !== 'read' && op !== 'write') throw bad('op', op, 'read or write for corruption');
  if (action === 'misdirect' && (op === 'flush' || op === 'all' || checked.misdirect_blocks === 0)) {
    throw bad('misdirect_blocks', checked.misdirect_blocks, 'other than 0, for an op with a range');
  }
  if (stage === 'completion' && action !== 'error' && action !== 'delay') {
    throw bad('stage', stage, `submission for action ${action}`);
  }
  return checked;
}

function parse(text: string): FaultInput {
  const input: Record<string, string> = {};
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    if (at < 1) throw new SpdkError('EINVAL', `fault rule "${text}": "${part}" is not key=value`);
    const key = part.slice(0, at).trim();
    if (key in input) throw new SpdkError('EINVAL', `fault rule "${text}": ${key} is said twice`);
    input[key] = part.slice(at + 1).trim();
  }
  return input;
}

/** The rule as text, without what is as by default. `faultRule` of it gives the rule again. */
export function faultText(rule: FaultRule): string {
  return (Object.keys(DEFAULTS) as (keyof FaultRule)[])
    .filter((key) => rule[key] !== DEFAULTS[key] || key === 'op' || key === 'action')
    .map((key) => `${key}=${rule[key]}`)
    .join(',');
}

/** The status of the data path for the rule's errno; 0 without one. */
export function faultStatus({ errno }: FaultRule): number {
  return errno === '' ? 0 : -errnoOf(errno);
}
