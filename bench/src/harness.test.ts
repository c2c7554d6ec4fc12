// The judging of figures: a mistake here would make a missed target look reached.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alternate, median, row } from './harness.ts';

test('a ratio above 1 means we are ahead, whichever way the unit points', () => {
  const peer = { name: 'p', value: 10 };
  assert.equal(row({ name: 'x', value: 30, unit: '1/s', better: 'higher', peer }).ratio, 3);
  assert.equal(row({ name: 'x', value: 30, unit: 'ns', better: 'lower', peer }).ratio, 1 / 3);
});

test('a target with a peer is a least ratio, without one a worst value', () => {
  const peer = { name: 'p', value: 10 };
  assert.equal(row({ name: 'x', value: 30, unit: '1/s', better: 'higher', peer, target: 3 }).ok, true);
  assert.equal(row({ name: 'x', value: 29, unit: '1/s', better: 'higher', peer, target: 3 }).ok, false);
  assert.equal(row({ name: 'x', value: 15, unit: 'ns', better: 'lower', target: 15 }).ok, true);
  assert.equal(row({ name: 'x', value: 16, unit: 'ns', better: 'lower', target: 15 }).ok, false);
  assert.equal(row({ name: 'x', value: 16, unit: '1/s', better: 'higher', target: 15 }).ok, true);
});

test('a row without a target has neither target nor ok', () => {
  assert.deepEqual(row({ name: 'x', value: 1, unit: 's', better: 'lower' }), { name: 'x', value: 1, unit: 's' });
});

test('the median sorts as numbers and does not touch its input', () => {
  const values = [10, 9, 100];
  assert.equal(median(values), 10);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.deepEqual(values, [10, 9, 100]);
  assert.throws(() => median([]), RangeError);
});

test('alternate takes turns, changes who goes first, and gives medians by name', async () => {
  const order: string[] = [];
  let count = 0;
  const result = await alternate(
    async () => {
      order.push('a');
      return { iops: [5, 1, 4, 2, 3][count++]!, cpu: 1 };
    },
    async () => {
      order.push('b');
      return { iops: 7, cpu: 2 };
    },
  );
  assert.equal(order.join(''), 'abbaabbaab');
  assert.deepEqual(result, { ours: { iops: 3, cpu: 1 }, peer: { iops: 7, cpu: 2 } });
  await assert.rejects(
    alternate(
      async () => ({}),
      async () => ({}),
      4,
    ),
    RangeError,
  );
});
