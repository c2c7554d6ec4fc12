// Runs a program as it is and rewritten, in realms of their own, and tells everything that can be told apart: what it returned or threw, the
// order in which it called its functions, what its variables hold. `__jstsan` is a stub here that only notes the accesses it is told of.

import { type Context, createContext, runInContext } from 'node:vm';
import { type InstrumentOptions, instrument } from './index.ts';

export interface Outcome {
  result: string;
  log: string[];
  state: string[];
}

/** The world of every program: `t` is a tagged view, `u` one without a tag. */
const world = `
  const log = [];
  const f = (x) => (log.push('f ' + show(x)), x);
  const g = function () { log.push('g ' + show(this === globalThis ? 'global' : this) + ' ' + arguments.length); return 1; };
  const show = (x, depth = 0) => {
    if (x === null || (typeof x !== 'object' && typeof x !== 'function')) return typeof x + ' ' + String(x);
    if (known.has(x)) return known.get(x);
    if (typeof x === 'function') return 'function ' + x.name + ' ' + x.length;
    if (depth > 3) return '...';
    return Object.prototype.toString.call(x) + '{' + Reflect.ownKeys(x).filter((k) => k !== tag).map((k) => {
      const d = Object.getOwnPropertyDescriptor(x, k);
      return String(k) + ':' + ('value' in d ? show(d.value, depth + 1) : 'accessor');
    }).join() + '}';
  };
  const known = new Map();
  const t = makeView();
  const u = new Float64Array([1.5, 2, 0]);
  const a = [1, 2, 3];
  const nil = null;
  let i = 1, j = 0, s = 'xyz', un;
  const o = {
    p: t, q: a, 1: 'one', f, g,
    get z() { log.push('get z'); return a; },
    set z(x) { log.push('set z ' + show(x)); },
  };
  const k = { toString() { log.push('toString'); return '1'; } };
`;
const ending = `
  ;globalThis.done = [log, ['a', 't', 'u', 'o', 'i', 'j', 's', 'un'].map((name) => name + '=' + show(eval(name)))];
`;

/** Functions have no text: it is not what it was, and a program may look at it, at its length even. */
export const hideTexts = `Function.prototype.toString = function toString() { return 'a function'; };`;

export interface Run {
  outcome: Outcome;
  /** `r0`, `w1`, `u2`: what the checks were told, in order. */
  accesses: string[];
}

const tag = Symbol('tag');

let accesses: string[] = [];

function stub(): object {
  const note = (access: string) => (info: { tag?: string }, view: unknown, key: unknown) => {
    if (info.tag === 't' && ArrayBuffer.isView(view)) accesses.push(`${access}${String(key)}`);
  };
  return Object.freeze({ S: tag, r: note('r'), w: note('w'), u: note('u'), k: new Int32Array(16) });
}

function realm(): Context {
  const context = createContext({ tag, result: undefined, done: undefined });
  Object.defineProperty(context, '__jstsan', { value: stub() });
  const makeView = `() => Object.defineProperty(new Int32Array([3, 1, 2, 0]), tag, { value: { tag: 't' } })`;
  runInContext(`globalThis.makeView = ${makeView};${hideTexts}`, context);
  return context;
}

const plainRealm = realm();
const rewrittenRealm = realm();

/** `body` may use `return`; it is the body of a function called with the arguments 7 and 8. */
export function run(body: string, isRewritten: boolean): Run {
  accesses = [];
  const source = textOf(body);
  const text = isRewritten ? rewrite(source) : source;
  const context = isRewritten ? rewrittenRealm : plainRealm;
  runInContext(text, context, { timeout: 5000 });
  return { outcome: outcomeOf(context as unknown as Answers), accesses };
}

/** What a program leaves in the global object. */
export interface Answers {
  result: string;
  done: [string[], string[]];
}

export function outcomeOf({ result, done }: Answers): Outcome {
  return { result, log: [...done[0]], state: [...done[1]] };
}

/** V8 shows the text of what is no function or cannot be iterated; of rewritten text it shows other text. */
const shown = /.*? (?=is not (?:a function|iterable|a constructor|async iterable)|is not a function or)/;

/** Of what cannot be taken apart it says one of these, by what the text is like. Behind the error's name, or where a program has told its message alone. */
const apart =
  /(Error(?:: )?|string (?!\w*Error))(?:Cannot destructure .*|.*is not iterable.*|Cannot read properties of .*)/;
const isApart = /Cannot destructure|is not iterable \(cannot read property/;

/** Two texts of one place, without what may differ. */
function pair(one: string, two: string): [string, string] {
  if (isApart.test(one) || isApart.test(two)) {
    const plain = (text: string) => text.replace(apart, '$1cannot be taken apart');
    return [plain(one), plain(two)];
  }
  const plain = (text: string) =>
    /is not (a function|iterable|a constructor)/.test(text) ? text.replace(shown, '') : text;
  return [plain(one), plain(two)];
}

/** What has to be the same of two outcomes. */
export function comparable(one: Outcome, two: Outcome): [Outcome, Outcome] {
  const [result, otherResult] = pair(one.result, two.result);
  const [log, otherLog] = [[...one.log], [...two.log]];
  for (let i = 0; i < Math.min(log.length, otherLog.length); i++) [log[i], otherLog[i]] = pair(log[i]!, otherLog[i]!);
  return [
    { result, log, state: one.state },
    { result: otherResult, log: otherLog, state: two.state },
  ];
}

/** The whole script for the body of a function: it needs `makeView` and `tag`, and leaves `Answers`. */
export function textOf(body: string): string {
  return `(() => {${world}
    try { globalThis.result = show((function main() { ${body}
    }).call(o, 7, 8)); }
    catch (e) { globalThis.result = e instanceof Error ? 'throws ' + e.name + ': ' + e.message : 'throws ' + show(e); }
    ${ending}
})()`;
}

export function rewrite(source: string, options: Partial<InstrumentOptions> = {}): string {
  const result = instrument(source, { url: 'file:///x.js', sourceType: 'script', allocate: () => 1, ...options });
  return result?.code ?? source;
}
