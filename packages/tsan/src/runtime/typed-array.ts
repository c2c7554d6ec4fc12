// The methods of typed arrays. On memory of one thread they are V8's own after one look at the tag; on shared memory each says exactly which elements it reads
// and writes. Arguments that are objects are converted here, in the order of ECMA-262, and the original gets the results.

import { type View, type ViewShadow, viewLength } from './buffer-shadow.ts';
import { shadowOf } from './buffers.ts';
import { guarded } from './guarded.ts';
import { patchMethod } from './patch.ts';
import { relative, type Touches, toInteger } from './ranges.ts';
import type { Runtime } from './runtime.ts';

type Method = (this: View, ...args: unknown[]) => unknown;
type Arguments = unknown[];
const { apply, getPrototypeOf } = Reflect;
const prototype = (getPrototypeOf(Uint8Array) as { prototype: View }).prototype;

/** What is touched before, and given the result, after. Either may change `args`. */
interface Rule {
  readonly before?: (shadow: ViewShadow, view: View, args: Arguments) => void;
  readonly after?: (shadow: ViewShadow, view: View, args: Arguments, result: unknown) => void;
}

export function patchTypedArrays(runtime: Runtime, touches: Touches): void {
  const rules: Record<string, Rule> = {
    ...wholes(touches),
    ...parts(touches),
    ...searches(touches),
    ...callbacks(touches),
  };
  for (const [name, rule] of Object.entries(rules)) {
    patchMethod(prototype, name, (original: Method) => ruled(original, rule));
  }
  patchMethod(prototype, 'set', (original: Method) => settingElements(original, touches));
  patchMethod(prototype, 'subarray', (original: Method) => subarray(original, runtime));
  patchMethod(prototype, 'values', (original: Method) => iterating(original, runtime));
  patchMethod(prototype, 'entries', (original: Method) => iterating(original, runtime));
}

function ruled(original: Method, { before, after }: Rule): Method {
  const slow = function (this: View, ...args: Arguments): unknown {
    const shadow = shadowOf(this)!;
    before?.(shadow, this, args);
    const result = apply(original, this, args);
    after?.(shadow, this, args, result);
    return result;
  };
  return guarded(original, slow, 'this');
}

function wholes({ read, write }: Touches): Record<string, Rule> {
  const all = (shadow: ViewShadow, view: View) => read(shadow, 0, viewLength(view));
  const change = (shadow: ViewShadow, view: View) => {
    all(shadow, view);
    write(shadow, 0, viewLength(view));
  };
  const sort: Rule = { before: all, after: (shadow, view) => write(shadow, 0, viewLength(view)) };
  return {
    join: { before: all },
    toLocaleString: { before: all },
    toReversed: { before: all },
    toSorted: { before: all },
    with: { before: all },
    reverse: { before: change },
    sort,
  };
}

/** Elements [start, end) as given by two arguments, made numbers. */
function between(view: View, args: Arguments, at: number): [number, number] {
  const length = viewLength(view);
  args[at] = toInteger(args[at]);
  if (args[at + 1] !== undefined) args[at + 1] = toInteger(args[at + 1]);
  const end = args[at + 1] === undefined ? length : relative(args[at + 1] as number, length);
  return [relative(args[at] as number, length), end];
}

/** V8 before Node 24 fills to the end of the view where `start` is undefined, whatever `end` is. */
const looksAtEndOnlyWithStart = new Uint8Array(2).fill(1, undefined, 1)[1] === 1;

function parts({ read, write }: Touches): Record<string, Rule> {
  return {
    at: {
      before(shadow, view, args) {
        const index = toInteger(args[0]);
        args[0] = index;
        const length = viewLength(view);
        const at = index < 0 ? length + index : index;
        if (at >= 0 && at < length) read(shadow, at, at + 1);
      },
    },
    fill: {
      before(shadow, view, args) {
        args[0] = elementOf(shadow, args[0]);
        if (looksAtEndOnlyWithStart && args[1] === undefined) args[2] = undefined;
        const [from, to] = between(view, args, 1);
        write(shadow, from, to);
      },
    },
    slice: {
      before(shadow, view, args) {
        const [from, to] = between(view, args, 0);
        read(shadow, from, to);
      },
    },
    copyWithin: {
      before(shadow, view, args) {
        const length = viewLength(view);
        args[0] = toInteger(args[0]);
        const target = relative(args[0] as number, length);
        const [from, to] = between(view, args, 1);
        const count = Math.min(to - from, length - target);
        read(shadow, from, from + count);
        write(shadow, target, target + count);
      },
    },
  };
}

/** A value as the elements take it: a number, or a bigint where they are. */
function elementOf(shadow: ViewShadow, value: unknown): unknown {
  if (shadow.shift === 3 && shadow.atomic) {
    if (typeof value === 'bigint') return value;
    const one = new BigInt64Array(1);
    one[0] = value as bigint;
    return one[0];
  }
  return +(value as number);
}

/** They stop where they find something, so what they have read is known afterwards. */
function searches({ read }: Touches): Record<string, Rule> {
  const start = (view: View, args: Arguments): number => {
    args[1] = toInteger(args[1]);
    return relative(args[1] as number, viewLength(view));
  };
  return {
    indexOf: {
      before: (_, view, args) => void start(view, args),
      after(shadow, view, args, result) {
        read(shadow, start(view, args), result === -1 ? viewLength(view) : (result as number) + 1);
      },
    },
    includes: {
      before: (_, view, args) => void start(view, args),
      after(shadow, view, args, result) {
        const from = start(view, args);
        const found = result === true ? (apply(indexOf, view, [args[0], from]) as number) : -1;
        read(shadow, from, found < 0 ? viewLength(view) : found + 1);
      },
    },
    lastIndexOf: {
      before(_, __, args) {
        if (args.length > 1) args[1] = toInteger(args[1]);
      },
      after(shadow, view, args, result) {
        const length = viewLength(view);
        const last = args.length > 1 ? (args[1] as number) : length - 1;
        const from = last < 0 ? length + last : Math.min(last, length - 1);
        read(shadow, result === -1 ? 0 : (result as number), from + 1);
      },
    },
  };
}
const { indexOf } = prototype as unknown as { indexOf: (value: unknown, from: number) => number };

/** An element is read when the callback is about to be given it; where they stop, they have read no more. */
function callbacks({ read }: Touches): Record<string, Rule> {
  const each = (position: number): Rule => ({
    before(shadow, _view, args) {
      const callback = args[0];
      if (typeof callback !== 'function') return;
      args[0] = function (this: unknown, ...given: unknown[]): unknown {
        const index = given[position] as number;
        read(shadow, index, index + 1);
        return apply(callback as Method, this as View, given);
      };
    },
  });
  const names = ['forEach', 'map', 'filter', 'some', 'every', 'find', 'findIndex', 'findLast', 'findLastIndex'];
  const reduce = (first: (length: number) => number): Rule => ({
    before(shadow, view, args) {
      const begin = first(viewLength(view));
      // Without a first value, the first element is it.
      if (args.length < 2 && typeof args[0] === 'function' && begin >= 0) read(shadow, begin, begin + 1);
      each(2).before!(shadow, view, args);
    },
  });
  return {
    ...Object.fromEntries(names.map((name) => [name, each(1)])),
    reduce: reduce((length) => (length > 0 ? 0 : -1)),
    reduceRight: reduce((length) => length - 1),
  };
}

function settingElements(original: Method, { readAll, write }: Touches): Method {
  const slow = function (this: View, source: unknown, offset?: unknown): unknown {
    const shadow = shadowOf(this);
    const at = toInteger(offset);
    const result = apply(original, this, [source, at]);
    readAll(source);
    if (shadow !== undefined) write(shadow, at, at + countOf(source));
    return result;
  };
  return guarded(original, slow as Method, 'either', 2);
}

function countOf(source: unknown): number {
  if (ArrayBuffer.isView(source)) return viewLength(source);
  return Math.max(0, toInteger((Object(source) as { length?: unknown }).length));
}

function subarray(original: Method, { buffers }: Runtime): Method {
  return {
    subarray(this: View, begin: unknown, end: unknown): unknown {
      const result = apply(original, this, [begin, end]);
      if (shadowOf(this) !== undefined && ArrayBuffer.isView(result) && shadowOf(result) === undefined)
        buffers.tagView(result);
      return result;
    },
  }.subarray as Method;
}

/** An array iterator whose next() says what it reads. */
function iterating(original: Method, { check, site }: Runtime): Method {
  return {
    values(this: View): unknown {
      const iterator = apply(original, this, []) as Iterator<unknown>;
      const shadow = shadowOf(this);
      if (shadow === undefined) return iterator;
      const { next } = iterator;
      const at = site[0]!;
      let index = 0;
      Object.defineProperty(iterator, 'next', {
        configurable: true,
        writable: true,
        value: () => {
          if (index >= 0) check.read(shadow, this, index++, at);
          const result = apply(next, iterator, []);
          if (result.done) index = -1;
          return result;
        },
      });
      return iterator;
    },
  }.values as Method;
}

/** Gives tagged views an iterator of their own, so that for-of, spread and patterns over all others stay V8's. */
export function iteratorFor(runtime: Runtime): PropertyDescriptor {
  const original = (prototype as unknown as { [Symbol.iterator]: Method })[Symbol.iterator];
  const value = iterating(original, runtime);
  return { configurable: true, writable: true, value };
}
