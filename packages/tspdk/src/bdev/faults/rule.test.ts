/** The vocabulary of faults: how a rule is said, which words go together, and that what is wrong with it is named. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type FaultInput, faultRule, faultStatus, faultText } from './rule.ts';
import { DEFAULT_RULE, FAULT_ACTIONS, FAULT_OPS, type FaultAction, type FaultRule } from './vocabulary.ts';

test('a rule is said as text or as fields, and what is wrong with it is named', () => {
  const rule = faultRule('op=write, action=error,errno=ENOSPC,offset_blocks=10,num_blocks=5,count=3,probability=0.5');
  assert.deepEqual(
    rule,
    faultRule({
      op: 'write',
      action: 'error',
      errno: 'ENOSPC',
      offset_blocks: 10,
      num_blocks: 5,
      count: '3',
      probability: '0.5',
    }),
  );
  assert.equal(faultStatus(rule), -28);
  assert.equal(faultStatus(faultRule({})), -5);
  for (const [input, message] of [
    ['op=writ', /op "writ", may be all, read, write/],
    ['action=explode', /action "explode", may be error, set_state, nomem/],
    ['count=-1', /count "-1", may be an integer from 0/],
    ['count=4294967296', /count "4294967296", may be an integer from 0 to 4294967295/],
    ['count=', /count ""/],
    ['every=0', /every "0", may be an integer from 1/],
    ['probability=2', /probability "2", may be a number from 0 to 1/],
    ['probability=', /probability ""/],
    ['errno=EOH', /errno "EOH"/],
    ['colour=red', /no key "colour"; there are op, action/],
    ['toString=1', /no key "toString"/],
    ['__proto__=1', /no key "__proto__"/],
    ['op', /"op" is not key=value/],
    ['op=read,op=write', /op is said twice/],
    ['corrupt_value=256,action=corrupt,op=read', /corrupt_value "256", may be an integer from 1 to 255/],
    ['corrupt_value=0,action=corrupt,op=read', /corrupt_value "0", may be an integer from 1 to 255/],
    [{ count: true as unknown as number }, /count "true"/],
  ] as const) {
    assert.throws(() => faultRule(input), { code: 'EINVAL', message });
  }
});

/** One rule for each action that says no more than it must. */
const LEAST: Record<FaultAction, FaultInput> = {
  error: {},
  set_state: { new_state: 2 },
  nomem: {},
  delay: { delay_us: 5 },
  corrupt: { op: 'read' },
  torn: { op: 'write' },
  misdirect: { op: 'write', misdirect_blocks: -3 },
  lost: { op: 'flush' },
  stuck: {},
};
const least = (action: FaultAction): FaultInput => ({ ...LEAST[action], action });

test('words that mean nothing together are refused, for every action', () => {
  const all = Object.keys(FAULT_OPS);
  const but = (...ops: string[]) => all.filter((op) => !ops.includes(op));
  const fits: Record<FaultAction, { ops: string[]; keys: string[] }> = {
    error: { ops: all, keys: ['errno', 'stage'] },
    set_state: { ops: all, keys: [] },
    nomem: { ops: but('reset', 'abort'), keys: [] },
    delay: { ops: but('abort'), keys: ['errno', 'stage', 'delay_us', 'delay_max_us', 'distribution'] },
    corrupt: { ops: ['read', 'write'], keys: ['errno', 'corrupt_offset', 'corrupt_value'] },
    torn: { ops: ['write'], keys: ['errno', 'torn_blocks'] },
    misdirect: { ops: but('all', 'flush', 'reset', 'abort'), keys: ['errno', 'misdirect_blocks'] },
    lost: { ops: ['write', 'unmap', 'flush', 'write_zeroes', 'copy', 'reset', 'abort'], keys: [] },
    stuck: { ops: but('abort'), keys: ['errno'] },
  };
  const said: FaultInput[] = [
    { errno: 'EBUSY' },
    { stage: 'completion' },
    { delay_us: 9 },
    { delay_max_us: 9, distribution: 'uniform' },
    { distribution: 'exponential' },
    { corrupt_offset: 1 },
    { corrupt_value: 1 },
    { torn_blocks: 1 },
    { misdirect_blocks: 1 },
  ];
  for (const action of FAULT_ACTIONS) {
    for (const op of all) {
      const input = { ...least(action), op };
      if (fits[action].ops.includes(op)) assert.equal(faultRule(input).op, op);
      else
        assert.throws(() => faultRule(input), {
          code: 'EINVAL',
          message: new RegExp(`op "${op}", may be .* ${action}`),
        });
    }
    for (const more of said) {
      const [key] = Object.keys(more);
      const input = { ...least(action), ...more };
      if (fits[action].keys.includes(key))
        assert.equal(faultRule(input)[key as keyof FaultRule], more[key as keyof FaultRule]);
      else {
        assert.throws(() => faultRule(input), {
          code: 'EINVAL',
          message: new RegExp(`means nothing for action ${action}`),
        });
      }
    }
  }
});

test('words that mean nothing by their values', () => {
  for (const [input, message] of [
    ['action=delay', /delay_us "0", may be above 0/],
    ['action=delay,delay_us=5,delay_max_us=9', /delay_max_us "9" means nothing for distribution fixed/],
    ['action=delay,distribution=exponential,delay_us=5,delay_max_us=9', /delay_max_us "9" means nothing/],
    ['action=delay,distribution=uniform,delay_us=5,delay_max_us=4', /delay_max_us "4", may be from delay_us \(5\)/],
    ['action=misdirect,op=write', /misdirect_blocks "0"/],
    ['action=set_state', /new_state "0", may be from 1 on/],
    ['op=reset,offset_blocks=1', /offset_blocks "1" means nothing for op reset/],
    ['op=reset,num_blocks=1', /num_blocks "1" means nothing for op reset/],
    ['op=abort,errno=EIO', /errno "EIO" means nothing for op abort/],
    ['op=abort,stage=completion', /stage "completion" means nothing for op abort/],
    ['stage=completion,errno=ENOMEM', /errno "ENOMEM", may be another: there is action nomem/],
    ['action=stuck,errno=ENOMEM', /errno "ENOMEM"/],
  ] as const) {
    assert.throws(() => faultRule(input), { code: 'EINVAL', message });
  }
  assert.equal(faultStatus(faultRule('errno=ENOMEM')), -12, 'the client may be told so');
});

test('text of a rule gives the rule again, and so does the rule', () => {
  const when = fc.record({
    offset_blocks: fc.maxSafeNat(),
    num_blocks: fc.nat(),
    count: fc.nat(2 ** 32 - 1),
    probability: fc.double({ min: 0, max: 1, noNaN: true }),
    seed: fc.nat(),
    skip: fc.nat(),
    state: fc.nat(),
    new_state: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  });
  fc.assert(
    fc.property(fc.constantFrom(...FAULT_ACTIONS), when, (action, said) => {
      const rule = faultRule({ ...least(action), ...said });
      assert.deepEqual(faultRule(faultText(rule)), rule);
      assert.deepEqual(faultRule({ ...rule }), rule);
      const words = Object.entries(rule).map(([key, value]) => [key, String(value)]);
      assert.deepEqual(faultRule(Object.fromEntries(words)), rule, 'numbers as text');
    }),
  );
  assert.deepEqual(faultRule({}), { ...DEFAULT_RULE, errno: 'EIO' });
});
