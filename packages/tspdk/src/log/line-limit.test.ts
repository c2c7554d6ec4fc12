// A limit lets the first lines of each second through, and accounts for all the others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineLimit } from './line-limit.ts';

test('no more than so many lines in a second, and every other one is counted', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(400_000), { minLength: 1 }), (perSecond, steps) => {
      const limit = new LineLimit(perSecond);
      const passed: number[] = [];
      let now = 0;
      let counted = 0;
      for (const step of steps) {
        now += step;
        if (!limit.allows(now)) continue;
        passed.push(now);
        counted += 1 + Number(/\d+/.exec(limit.note)?.[0] ?? 0);
      }
      // Whatever second one looks at, two windows meet in it at most.
      for (const at of passed)
        assert(passed.filter((each) => each >= at && each < at + 1_000_000).length <= 2 * perSecond);
      assert.equal(limit.allows(now + 2_000_000), true);
      counted += 1 + Number(/\d+/.exec(limit.note)?.[0] ?? 0);
      assert.equal(counted, steps.length + 1);
    }),
  );
});

test('a quiet time has no note', () => {
  const limit = new LineLimit(1);
  assert.equal(limit.allows(0), true);
  assert.equal(limit.note, '');
  assert.equal(limit.allows(10), false);
  assert.equal(limit.allows(1_000_000), true);
  assert.equal(limit.note, ' (1 more like this were not logged)');
});
