/**
 * A fault rule from what was said of it, and back.
 *
 * As text it is `key=value` with commas between: `op=write,action=error,errno=ENOSPC,count=3`. As parameters and in programs it is an object with the same keys and values.
 */
import { type ErrorCode, errnoOf, errorCodes, SpdkError } from '../../env/errors.ts';
import { badValue, checkTogether } from './rule-check.ts';
import {
  DEFAULT_RULE,
  FAULT_ACTIONS,
  FAULT_DISTRIBUTIONS,
  FAULT_OPS,
  FAULT_STAGES,
  type FaultRule,
} from './vocabulary.ts';

/** What is accepted for a rule: any of its keys, values as they are or as text. */
export type FaultInput = Partial<Record<keyof FaultRule, string | number | undefined>>;

const CODES = new Set(errorCodes().map(({ code }) => code));
const WORDS: Partial<Record<keyof FaultRule, readonly string[]>> = {
  op: Object.keys(FAULT_OPS),
  action: FAULT_ACTIONS,
  stage: FAULT_STAGES,
  distribution: FAULT_DISTRIBUTIONS,
};
const RANGES: Partial<Record<keyof FaultRule, readonly [number, number]>> = {
  corrupt_value: [1, 255],
  misdirect_blocks: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  connection: [0, 2 ** 31 - 1],
  every: [1, 2 ** 32 - 1],
  skip: [0, 2 ** 32 - 1],
  count: [0, 2 ** 32 - 1],
  state: [0, 2 ** 31 - 1],
  new_state: [0, 2 ** 31 - 1],
  seed: [0, 2 ** 32 - 1],
  delay_us: [0, 3_600_000_000],
  delay_max_us: [0, 3_600_000_000],
};

function oneValue(key: keyof FaultRule, value: unknown): FaultRule[keyof FaultRule] {
  const words = WORDS[key];
  if (words !== undefined) {
    if (!words.includes(String(value))) throw badValue(key, value, words.join(', '));
    return value as FaultRule['op'];
  }
  if (key === 'errno') {
    if (value === '') return '';
    if (!CODES.has(value as ErrorCode)) throw badValue(key, value, 'the name of an error like EIO, ENOSPC, ETIMEDOUT');
    return value as ErrorCode;
  }
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (key === 'probability') {
    if (typeof number === 'number' && number >= 0 && number <= 1) return number;
    throw badValue(key, value, 'a number from 0 to 1');
  }
  const [least, most] = RANGES[key] ?? [0, Number.MAX_SAFE_INTEGER];
  if (typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most) return number;
  throw badValue(key, value, `an integer from ${least} to ${most}`);
}

/**
 * A rule from what was said of it, checked.
 * @throws {SpdkError} EINVAL naming the key, the value and what it may be; also for keys that do not go together
 */
export function faultRule(input: FaultInput | string): FaultRule {
  const said: FaultInput = typeof input === 'string' ? parse(input) : input;
  const rule: Record<string, unknown> = { ...DEFAULT_RULE };
  for (const [key, value] of Object.entries(said)) {
    if (!Object.hasOwn(DEFAULT_RULE, key)) {
      throw new SpdkError('EINVAL', `fault rule: no key "${key}"; there are ${Object.keys(DEFAULT_RULE).join(', ')}`);
    }
    if (value !== undefined) rule[key] = oneValue(key as keyof FaultRule, value);
  }
  const checked = rule as unknown as FaultRule;
  checkTogether(checked);
  return checked.action === 'error' && checked.op !== 'abort' && checked.errno === ''
    ? { ...checked, errno: 'EIO' }
    : checked;
}

function parse(text: string): FaultInput {
  // Without a prototype: __proto__ is a key like any other.
  const input: Record<string, string> = Object.create(null);
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    if (at < 1) throw new SpdkError('EINVAL', `fault rule "${text}": "${part}" is not key=value`);
    const key = part.slice(0, at).trim();
    if (Object.hasOwn(input, key)) throw new SpdkError('EINVAL', `fault rule "${text}": ${key} is said twice`);
    input[key] = part.slice(at + 1).trim();
  }
  return input;
}

/** The rule as text, without what is as by default. `faultRule` of it gives the rule again. */
export function faultText(rule: FaultRule): string {
  return (Object.keys(DEFAULT_RULE) as (keyof FaultRule)[])
    .filter((key) => rule[key] !== DEFAULT_RULE[key] || key === 'op' || key === 'action')
    .map((key) => `${key}=${rule[key]}`)
    .join(',');
}

/** The status of the data path for the rule's errno; 0 without one. */
export function faultStatus({ errno }: FaultRule): number {
  return errno === '' ? 0 : -errnoOf(errno);
}
