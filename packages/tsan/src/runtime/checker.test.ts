// The race rule, on simulated threads: single cases, and random traces against a slow model that knows every access and every edge.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { View, ViewShadow } from './buffer-shadow.ts';
import { shadowOf } from './buffers.ts';
import { type SimulatedThread, shareBuffer, simulateProcess, type ViewOf } from './simulated.fixture.ts';

function pair() {
  const main = simulateProcess();
  const other = main.create();
  const buffer = shareBuffer(main, [main, other], 64);
  const kinds = () => main.reports.map(({ kind }) => kind);
  const views = <T extends View>(type: ViewOf<T>): [T, T] => [main.view(type, buffer), other.view(type, buffer)];
  return { main, other, buffer, kinds, views };
}

test('two reads are no race; a read and a write are', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Int32Array);
  main.read(mine, 0);
  other.read(theirs, 0);
  assert.deepEqual(kinds(), []);
  other.write(theirs, 0);
  assert.deepEqual(kinds(), ['plain/plain']);
});

test('neighbours are no race, down to single bytes', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Uint8Array);
  for (let at = 0; at < 64; at += 4) {
    main.write(mine, at);
    other.write(theirs, at + 1);
  }
  assert.deepEqual(kinds(), []);
  other.write(theirs, 8);
  assert.deepEqual(kinds(), ['plain/plain']);
});

test('a report names size, offset, threads and both operations', () => {
  const { main, other, views } = pair();
  const [mine] = views(Int32Array);
  const [, theirs] = views(Int16Array);
  main.write(mine, 2);
  other.read(theirs, 5);
  const [report] = main.reports;
  const seen = report!.accesses.map(({ op, size, offset, thread }) => ({ op, size, offset, thread }));
  assert.deepEqual(seen, [
    { op: 'read', size: 2, offset: 10, thread: 1 },
    { op: 'write', size: 4, offset: 8, thread: 0 },
  ]);
  assert.deepEqual(
    report!.threads.map(({ id, parent }) => [id, parent]),
    [
      [0, undefined],
      [1, 0],
    ],
  );
});

test('atomics of one range are no race; against a plain access or another range they are', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Int32Array);
  const [, halves] = views(Int16Array);
  main.store(mine, 0, 1);
  other.store(theirs, 0, 2);
  assert.deepEqual(kinds(), []);
  other.store(halves, 0, 3);
  assert.deepEqual(kinds(), ['mixed-size']);
  other.store(theirs, 4, 1);
  main.write(mine, 4);
  assert.deepEqual(kinds(), ['mixed-size', 'plain/atomic']);
});

test('accesses of types that may tear say so', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Float64Array);
  main.write(mine, 0);
  other.write(theirs, 0);
  assert.deepEqual(kinds(), ['may-tear']);
});

test('a load learns what was stored last, and nothing of what was overwritten', () => {
  const { main, other, kinds, views } = pair();
  const third = main.create();
  const [mine, theirs] = views(Int32Array);
  const buffer = mine.buffer as unknown as SharedArrayBuffer;
  third.runtime.buffers.adopt(buffer, main.runtime.buffers.parcel(buffer)!);
  const its = third.view(Int32Array, buffer);
  other.write(theirs, 1);
  other.store(theirs, 0, 1);
  main.store(mine, 0, 2);
  third.load(its, 0);
  third.read(its, 1);
  assert.deepEqual(kinds(), ['plain/plain']);
});

test('a failed compareExchange acquires and does not release', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Int32Array);
  main.write(mine, 1);
  main.compareExchange(mine, 0, 5, 6);
  other.compareExchange(theirs, 0, 5, 6);
  other.read(theirs, 1);
  assert.deepEqual(kinds(), ['plain/plain'], 'both failed: nobody stored');
  main.write(mine, 2);
  main.compareExchange(mine, 0, 0, 1);
  other.compareExchange(theirs, 0, 0, 1);
  other.read(theirs, 2);
  assert.equal(kinds().length, 1, 'the first stored and the second, though failed, has seen it');
});

test('the value of compareExchange is compared as the element has it', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Uint8Array);
  main.write(mine, 9);
  main.compareExchange(mine, 0, 256, 1);
  assert.equal(other.load(theirs, 0), 1);
  other.read(theirs, 9);
  assert.deepEqual(kinds(), []);
});

test('messages, creation and end of a thread order what is before and after', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Int32Array);
  main.write(mine, 0);
  other.receive(main.send());
  other.write(theirs, 0);
  const child = other.create();
  const buffer = mine.buffer as unknown as SharedArrayBuffer;
  child.runtime.buffers.adopt(buffer, main.runtime.buffers.parcel(buffer)!);
  const its = child.view(Int32Array, buffer);
  child.write(its, 0);
  other.join(child);
  other.write(theirs, 0);
  assert.deepEqual(kinds(), []);
  main.write(mine, 0);
  assert.deepEqual(kinds(), ['plain/plain']);
});

test('what is written after a message was sent is not ordered by it', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Int32Array);
  const message = main.send();
  main.write(mine, 0);
  other.receive(message);
  other.read(theirs, 0);
  assert.deepEqual(kinds(), ['plain/plain']);
});

test('a buffer arrives by message with its identity and shadow', () => {
  const main = simulateProcess();
  const other = main.create();
  const buffer = new SharedArrayBuffer(16);
  const mine = main.view(Int32Array, buffer);
  main.write(mine, 0);
  const theirs = other.receive(main.send(new Int32Array(buffer))) as Int32Array;
  other.read(theirs, 0);
  assert.equal(main.reports.length, 0);
  main.write(mine, 0);
  assert.equal(main.reports.length, 1);
});

test('a slot that is used again does not inherit what its last thread knew', () => {
  const main = simulateProcess();
  const threads: SimulatedThread[] = [];
  for (let count = 1; count < 256; count++) threads.push(main.create());
  assert.throws(() => main.create(), RangeError);
  const first = threads[0]!;
  const second = threads[1]!;
  first.receive(second.send());
  main.join(first);
  const again = main.create();
  assert.equal(again.runtime.clock.slot, first.runtime.clock.slot);
  assert.notEqual(again.runtime.clock.uid, first.runtime.clock.uid);
  const buffer = shareBuffer(main, [second, again], 16);
  const theirs = second.view(Int32Array, buffer);
  second.write(theirs, 0);
  again.write(again.view(Int32Array, buffer), 0);
  assert.equal(main.reports.length, 1);
  assert.equal(main.reports[0]!.accesses[0]!.thread, again.runtime.clock.uid);
});

test('a slot is given to a thread that is after its last one anyway: a race with a thread that nobody has awaited stays one', () => {
  const main = simulateProcess();
  const threads: SimulatedThread[] = [];
  for (let count = 1; count < 256; count++) threads.push(main.create());
  const [forgotten, awaited, keeper] = threads as [SimulatedThread, SimulatedThread, SimulatedThread];
  const buffer = shareBuffer(main, [awaited, forgotten, keeper], 64);
  const kinds = () => main.reports.map(({ kind }) => kind);
  forgotten.write(forgotten.view(Int32Array, buffer), 0);
  awaited.write(awaited.view(Int32Array, buffer), 4);
  // Both are over. Of the first the main thread does not know it; its slot is the one that is free for longer.
  keeper.join(forgotten);
  main.join(awaited);
  const last = main.create();
  const again = main.view(Int32Array, buffer);
  last.runtime.buffers.adopt(buffer, main.runtime.buffers.parcel(buffer)!);
  const its = last.view(Int32Array, buffer);
  last.write(its, 4);
  last.store(its, 8, 1);
  main.load(again, 8);
  assert.deepEqual(kinds(), [], 'what the awaited one did is before');
  last.write(its, 0);
  assert.deepEqual(kinds(), ['plain/plain']);
  main.read(again, 0, 3);
  assert.equal(kinds().length, 2, 'nor has who learns from the new thread learnt of the forgotten one');
});

test('two threads that access at the same moment: the one that enters last sees the other', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Int32Array);
  const { buffer } = shadowOf(mine) as ViewShadow;
  const { cells } = buffer;
  // After the main thread's look at the cells, and before it enters its own access.
  buffer.cells = new Proxy(cells, {
    get: (target, key) => target[key as unknown as number],
    set(target, key, value) {
      buffer.cells = cells;
      other.write(theirs, 0);
      target[key as unknown as number] = value as number;
      return true;
    },
  });
  main.write(mine, 0, 7);
  assert.equal(buffer.cells, cells, 'the other one came in between');
  assert.deepEqual(kinds(), ['plain/plain']);
});

test('an index that is none, or lies outside, is not checked; a name of a for-in loop is', () => {
  const { main, other, kinds, views } = pair();
  const [mine, theirs] = views(Int32Array);
  for (const index of [-1, 0.5, 16, 2 ** 32, Number.NaN]) {
    main.write(mine, index);
    other.write(theirs, index);
  }
  assert.deepEqual(kinds(), []);
  main.write(mine, '3' as never);
  other.write(theirs, 3);
  assert.deepEqual(kinds(), ['plain/plain']);
});

// Random traces ---------------------------------------------------------------------------------------------------------------------------------------

type Step =
  | {
      readonly do: 'read' | 'write' | 'load' | 'store' | 'add';
      readonly thread: number;
      readonly at: number;
      readonly size: 1 | 2 | 4;
    }
  | { readonly do: 'message'; readonly thread: number; readonly to: number };

interface Event {
  readonly thread: number;
  readonly first: number;
  readonly end: number;
  readonly writes: boolean;
  readonly atomic: boolean;
  /** Indices of all events that happen before it. */
  readonly before: Set<number>;
}

/** ECMA-262 §29 word for word, over all pairs. @returns for each step whether it races with an earlier one */
function racesByModel(steps: readonly Step[], threads: number): boolean[] {
  const known = Array.from({ length: threads }, () => new Set<number>());
  const stores = new Map<string, Set<number>>();
  const events: (Event | undefined)[] = [];
  return steps.map((step, index) => {
    if (step.do === 'message') {
      for (const event of known[step.thread]!) known[step.to]!.add(event);
      events.push(undefined);
      return false;
    }
    const mine = known[step.thread]!;
    const first = step.at - (step.at % step.size);
    const range = `${first}/${step.size}`;
    if (step.do === 'load' || step.do === 'add') for (const each of stores.get(range) ?? []) mine.add(each);
    const atomic = step.do !== 'read' && step.do !== 'write';
    const writes = step.do !== 'read' && step.do !== 'load';
    const event: Event = { thread: step.thread, first, end: first + step.size, writes, atomic, before: new Set(mine) };
    const races = events.some((other, at) => other !== undefined && !event.before.has(at) && isRace(event, other));
    events.push(event);
    mine.add(index);
    if (step.do === 'store' || step.do === 'add') stores.set(range, new Set(mine));
    return races;
  });
}

function isRace(a: Event, b: Event): boolean {
  if (a.thread === b.thread || !(a.writes || b.writes)) return false;
  if (a.end <= b.first || b.end <= a.first) return false;
  return !(a.atomic && b.atomic) || a.first !== b.first || a.end !== b.end;
}

/** @returns for each step whether the sanitizer reported something */
function racesFound(steps: readonly Step[], count: number): boolean[] {
  const main = simulateProcess();
  const threads = Array.from({ length: count }, () => main.create());
  const buffer = shareBuffer(main, threads, 16);
  const views = threads.map((thread) => ({
    1: thread.view(Uint8Array, buffer),
    2: thread.view(Uint16Array, buffer),
    4: thread.view(Uint32Array, buffer),
  }));
  return steps.map((step, site) => {
    const before = main.reports.length;
    const thread = threads[step.thread]!;
    if (step.do === 'message') {
      threads[step.to]!.receive(thread.send());
      return false;
    }
    const view = views[step.thread]![step.size];
    const index = Math.floor(step.at / step.size);
    thread.runtime.site[0] = site + 1;
    if (step.do === 'read' || step.do === 'write') thread[step.do](view, index, site + 1);
    else thread[step.do](view, index, 1);
    return main.reports.length > before;
  });
}

const accessing = ['read', 'write', 'load', 'store', 'add'] as const;
function traces(threads: number, sizes: (1 | 2 | 4)[], places: number): fc.Arbitrary<Step[]> {
  const thread = fc.nat(threads - 1);
  const access = fc.record({
    do: fc.constantFrom(...accessing),
    thread,
    at: fc.nat(places - 1),
    size: fc.constantFrom(...sizes),
  });
  const message = fc.record({ do: fc.constant('message' as const), thread, to: thread });
  return fc.array(fc.oneof({ weight: 5, arbitrary: access }, { weight: 1, arbitrary: message }), { maxLength: 40 });
}

test('random traces: whatever is reported is a race by the model', () => {
  fc.assert(
    fc.property(traces(4, [1, 2, 4], 12), (steps) => {
      const races = racesByModel(steps, 4);
      racesFound(steps, 4).forEach((found, at) => {
        assert(!found || races[at], `step ${at} is no race`);
      });
    }),
    { numRuns: 300 },
  );
});

test('random traces: where two threads use one size, the first race is found at the step where it is one', () => {
  fc.assert(
    fc.property(traces(2, [4], 12), (steps) => {
      const first = racesByModel(steps, 2).indexOf(true);
      assert.equal(racesFound(steps, 2).indexOf(true), first);
    }),
    { numRuns: 300 },
  );
});
