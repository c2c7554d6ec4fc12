/**
 * Which words of a fault rule go together. What would have no effect is refused: a rule that says more than it does makes a test that
 * proves less than it seems to.
 *
 * Values count, not whether they were said: a rule is also given as it was listed, with everything in it.
 */
import { SpdkError } from '../../env/errors.ts';
import { DEFAULT_RULE, FAULT_OPS, type FaultAction, type FaultRule, UNIT_TYPES } from './vocabulary.ts';

type Op = FaultRule['op'];
type Key = keyof FaultRule;

const OPS = Object.keys(FAULT_OPS) as Op[];
const but = (...ops: Op[]): Op[] => OPS.filter((op) => !ops.includes(op));

/** What each action can strike, and the keys that mean something to it, beyond those of all. */
const ACTIONS: Record<FaultAction, { readonly ops: readonly Op[]; readonly keys: readonly Key[] }> = {
  error: { ops: OPS, keys: ['errno', 'stage'] },
  set_state: { ops: OPS, keys: [] },
  nomem: { ops: but('reset', 'abort'), keys: [] },
  delay: { ops: but('abort'), keys: ['errno', 'stage', 'delay_us', 'delay_max_us', 'distribution'] },
  corrupt: { ops: ['read', 'write'], keys: ['errno', 'corrupt_offset', 'corrupt_value'] },
  torn: { ops: ['write'], keys: ['errno', 'torn_blocks'] },
  misdirect: { ops: but('all', 'flush', 'reset', 'abort'), keys: ['errno', 'misdirect_blocks'] },
  lost: { ops: ['write', 'unmap', 'flush', 'write_zeroes', 'copy', 'reset', 'abort'], keys: [] },
  stuck: { ops: but('abort'), keys: ['errno'] },
};
/** Keys that not every action knows. */
const PARTICULAR = [...new Set(Object.values(ACTIONS).flatMap(({ keys }) => keys))];

/** @returns to throw: EINVAL naming the key, its value and what it may be. */
export function badValue(key: string, value: unknown, may: string): SpdkError {
  return new SpdkError('EINVAL', `fault rule: ${key} "${String(value)}", may be ${may}`);
}

function meaningless(key: Key, rule: FaultRule, where: string): SpdkError {
  return new SpdkError('EINVAL', `fault rule: ${key} "${rule[key]}" means nothing ${where}`);
}

/** @throws {SpdkError} EINVAL naming what does not go with what */
export function checkTogether(rule: FaultRule): void {
  const { action, op } = rule;
  const { ops, keys } = ACTIONS[action];
  if (!ops.includes(op)) throw badValue('op', op, `${ops.join(', ')} for action ${action}`);
  for (const key of PARTICULAR) {
    if (rule[key] !== DEFAULT_RULE[key] && !keys.includes(key)) throw meaningless(key, rule, `for action ${action}`);
  }
  if (op === 'reset') {
    for (const key of ['offset_blocks', 'num_blocks'] as const) {
      if (rule[key] !== 0) throw meaningless(key, rule, 'for op reset');
    }
  }
  if (op === 'abort' && rule.errno !== '') throw meaningless('errno', rule, 'for op abort, which finds nothing to end');
  if (op === 'abort' && rule.stage !== 'submission') throw meaningless('stage', rule, 'for op abort');
  if (action === 'delay') checkDelay(rule);
  if (action === 'misdirect' && rule.misdirect_blocks === 0) throw badValue('misdirect_blocks', 0, 'other than 0');
  if (action === 'set_state' && rule.new_state === 0) throw badValue('new_state', 0, 'from 1 on for action set_state');
  // What the disk answers with this, the layer tries again.
  if (rule.errno === 'ENOMEM' && !(action === 'error' && rule.stage === 'submission')) {
    throw badValue('errno', 'ENOMEM', 'another: there is action nomem');
  }
}

function checkDelay(rule: FaultRule): void {
  const { delay_us, delay_max_us, distribution } = rule;
  if (delay_us === 0 && delay_max_us === 0) throw badValue('delay_us', 0, 'above 0 for a delay');
  const both = distribution === 'uniform' || distribution === 'p99';
  if (!both && delay_max_us !== 0) throw meaningless('delay_max_us', rule, `for distribution ${distribution}`);
  if (distribution === 'uniform' && delay_max_us < delay_us) {
    throw badValue('delay_max_us', delay_max_us, `from delay_us (${delay_us}) on for distribution uniform`);
  }
}

/**
 * For a disk that is written in units of so many blocks: it would refuse what such a rule makes of a write.
 * @throws {SpdkError} EINVAL naming the key, the value and the unit
 */
export function checkUnits(rule: FaultRule, disk: string, unitBlocks: number): void {
  if ((FAULT_OPS[rule.op] & UNIT_TYPES) === 0) return;
  for (const key of ['torn_blocks', 'misdirect_blocks'] as const) {
    if (rule[key] % unitBlocks === 0) continue;
    throw badValue(key, rule[key], `a multiple of ${unitBlocks}: bdev "${disk}" is written in units of so many blocks`);
  }
}
