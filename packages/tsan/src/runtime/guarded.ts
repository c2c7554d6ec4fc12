// A built-in behind one look at a tag. Nearly all calls are on memory of one thread, where the wrapper has to cost nothing: V8 inlines built-ins only where a call
// site has seen one function, so each wrapper is compiled from text of its own, and hands its arguments on without making an array of them.

import { shadowOf, tag } from './buffers.ts';

// biome-ignore lint/complexity/noBannedTypes: any function at all
type Callable = Function;

/** What may be shared: what it is called on, its first argument, or either. */
export type Subject = 'this' | 'first' | 'either';

const { isView } = ArrayBuffer;
const { apply } = Reflect;

const tests: Record<Subject, string> = {
  this: 'isLive(this)',
  first: 'isLive(a)',
  either: '(isLive(this) || isLive(a))',
};

function textOf(subject: Subject, parameters: number | undefined): string {
  const names = ['a', 'b', 'c', 'd'].slice(0, parameters);
  const given = parameters === undefined ? 'arguments' : `[${names.join(', ')}]`;
  return `'use strict';
    function isLive(view) {
      if (!isView(view)) return false;
      const shadow = view[tag];
      return shadow !== undefined && shadow.buffer.live;
    }
    return { method(${names.join(', ')}) {
      return ${tests[subject]} ? apply(slow, this, ${given}) : apply(original, this, ${given});
    } }.method;`;
}

/**
 * `original`, but `slow` where the subject is a view on memory that threads share.
 * @param parameters how many are handed on, where more or fewer make no difference; left out: as many as there are
 */
export function guarded<T extends Callable>(original: T, slow: T, subject: Subject, parameters?: number): T {
  try {
    const make = new Function('original', 'slow', 'apply', 'isView', 'tag', textOf(subject, parameters));
    return make(original, slow, apply, isView, tag) as T;
  } catch {
    // Node was started with --disallow-code-generation-from-strings: slower, and the same.
    return general(original, slow, subject);
  }
}

function general<T extends Callable>(original: T, slow: T, subject: Subject): T {
  const isLive = (view: unknown) => shadowOf(view)?.buffer.live === true;
  return {
    method(this: unknown, ...args: unknown[]): unknown {
      const shared = (subject !== 'first' && isLive(this)) || (subject !== 'this' && isLive(args[0]));
      return apply(shared ? slow : original, this, args);
    },
  }.method as unknown as T;
}
