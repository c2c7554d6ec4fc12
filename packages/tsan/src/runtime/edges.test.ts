// Each edge of waiting and notifying alone: it orders what nothing else orders. And perturb does delay.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPerturb, isSlow, startDelayMs } from './perturb.ts';
import { type Atomic, shareBuffer, simulateProcess } from './simulated.fixture.ts';

const gate = 0;
const data = 4;

function pair() {
  const main = simulateProcess();
  const other = main.create();
  const buffer = shareBuffer(main, [main, other], 64);
  const [mine, theirs] = [main.view(Int32Array, buffer), other.view(Int32Array, buffer)];
  const kinds = () => main.reports.map(({ kind }) => kind);
  /** The main thread waits; what happens meanwhile, and how the wait ends. */
  const wait = (meanwhile: () => string, timeout = 1000) =>
    main.atomics.wait(meanwhile as Atomic)(mine, gate, 0, timeout);
  const readsData = () => main.read(mine, data);
  return { main, other, mine, theirs, kinds, wait, readsData };
}

test('notify is before a wait that begins later, though it woke nobody', () => {
  const { other, theirs, kinds, wait, readsData } = pair();
  other.write(theirs, data);
  other.notify(theirs, gate, 1);
  wait(() => 'timed-out');
  readsData();
  assert.deepEqual(kinds(), []);
});

test('a wait has read the word, also when it then slept its time out', () => {
  const { other, theirs, kinds, wait, readsData } = pair();
  other.write(theirs, data);
  other.store(theirs, gate, 0);
  wait(() => 'timed-out');
  readsData();
  assert.deepEqual(kinds(), []);
});

test('what is stored while it sleeps its time out is not learnt', () => {
  const { other, theirs, kinds, wait, readsData } = pair();
  wait(() => {
    other.write(theirs, data);
    other.store(theirs, gate, 0);
    return 'timed-out';
  });
  readsData();
  assert.deepEqual(kinds(), ['plain/plain']);
});

test('a wait is an access to the word', () => {
  const { other, theirs, kinds, wait } = pair();
  other.write(theirs, gate);
  wait(() => 'timed-out');
  assert.deepEqual(kinds(), ['plain/atomic']);
});

test('who is woken comes after the notify, without any store', () => {
  const { other, theirs, kinds, wait, readsData } = pair();
  wait(() => {
    other.write(theirs, data);
    other.notify(theirs, gate, 1);
    return 'ok';
  });
  readsData();
  assert.deepEqual(kinds(), []);
});

test('who finds another value comes after its store', () => {
  const { other, theirs, kinds, wait, readsData } = pair();
  wait(() => {
    other.write(theirs, data);
    other.store(theirs, gate, 1);
    return 'not-equal';
  });
  readsData();
  assert.deepEqual(kinds(), []);
});

for (const way of ['notify', 'store'] as const) {
  test(`who awaits a waitAsync comes after the ${way}`, async () => {
    const { main, other, mine, theirs, kinds, readsData } = pair();
    const { promise, resolve } = deferred();
    const result = main.atomics.waitAsync((() => ({ async: true, value: promise })) as Atomic)(mine, gate, 0);
    other.write(theirs, data);
    other[way](theirs, gate, 1);
    resolve('ok');
    await (result as { value: Promise<string> }).value;
    readsData();
    assert.deepEqual(kinds(), []);
  });
}

function deferred() {
  let resolve: (value: string) => void = () => {};
  const promise = new Promise<string>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

test('perturb is asked before and after a wait and a notify', () => {
  const { main, mine } = pair();
  const events: string[] = [];
  Object.defineProperty(main.runtime, 'perturb', {
    value: (place: number) => events.push(place >= 0 ? 'before' : 'after'),
  });
  main.atomics.wait((() => events.push('wait')) as Atomic)(mine, gate, 0, 1000);
  main.atomics.notify((() => events.push('notify')) as Atomic)(mine, gate, 1);
  assert.deepEqual(events, ['before', 'wait', 'after', 'before', 'notify', 'after']);
});

test('in eight seeds that follow one another, any two of seven threads are slow and fast in all four ways', () => {
  for (const first of [0, 1, 5, 2 ** 31 - 4, 2 ** 32 - 8]) {
    for (let one = 0; one < 7; one++) {
      for (let two = 0; two < one; two++) {
        const ways = Array.from({ length: 8 }, (_, count) => {
          const seed = (first + count) | 0;
          return `${isSlow(seed, one)} ${isSlow(seed, two)}`;
        });
        const expected = ['false false', 'false true', 'true false', 'true true'];
        assert.deepEqual(
          ways.sort(),
          expected.flatMap((way) => [way, way]),
        );
      }
    }
  }
});

test('a slow worker begins later than a fast one, mostly clearly so, and by the seed alone', () => {
  const seeds = Array.from({ length: 1000 }, (_, seed) => seed);
  const delays = () => seeds.map((seed) => startDelayMs(seed, 1));
  const slow = delays().filter((_, seed) => isSlow(seed, 1));
  assert.equal(slow.length, 500);
  assert(slow.filter((ms) => ms > 10).length > 300);
  assert(slow.every((ms) => ms < 50));
  assert(delays().every((ms, seed) => ms === 0 || isSlow(seed, 1)));
  assert.deepEqual(delays(), delays());
});

test('perturb delays new places, and rarely what was passed many times', () => {
  const main = simulateProcess();
  const time = (act: () => void): number => {
    const begun = performance.now();
    act();
    return performance.now() - begun;
  };
  const perturb = createPerturb(main.runtime, 1);
  const fresh = time(() => {
    for (let place = 0; place < 512; place++) perturb(place);
  });
  // This one is slow: all of 512 are delayed, half of them for 1 to 8 ms.
  assert(fresh > 20, `${fresh} ms`);
  for (let times = 0; times < 2000; times++) perturb(3);
  const known = time(() => {
    for (let times = 0; times < 512; times++) perturb(3);
  });
  assert(known < fresh, `${known} ms of ${fresh}`);
});
