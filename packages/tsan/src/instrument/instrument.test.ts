// Each rewriting form: does the program do what it did, and is every access of the view `t` told, in order?

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'acorn';
import { rewrite, run } from './run-both.fixture.ts';

/** Program, and what the checks are to be told. */
// biome-ignore-start lint/suspicious/noTemplateCurlyInString: programs as text.
const forms: Record<string, [program: string, accesses: string][]> = {
  read: [
    ['return t[0] + t[i]', 'r0 r1'],
    ['return f(t)[f(i)]', 'r1'],
    ['return o.p[i - 1]', 'r0'],
    ['return (t)[(0, 1)]', 'r1'],
    ['return [...[t[0]], `${t[1]}`, -t[2], typeof t[3]]', 'r0 r1 r2 r3'],
    ['return t["1"]', 'r1'],
    ['return t[i ? "1" : k]', 'r1'],
    ['return t[i ? k : "1"]', ''],
    ['for (let n in "x") { n = k; return t[n]; }', ''],
    ['return o.p[i].toString()', 'r1'],
    ['return f(t)[f(0)].toString(...[10]).at()', 'r0'],
    ['return t[-1]', 'r-1'],
    ['return t.length + a[0] + u[1] + s[1] + o["q"][0]', ''],
    ['return t /* c */ [ // d\n 1 /* e */ ]', 'r1'],
    ['return this.p[arguments[0] - 6]', 'r1'],
    ['return t[t[t[1]]]', 'r1 r1 r1'],
    ['return nil[f(0)]', ''],
    ['return un[0]', ''],
    ['return missing[0]', ''],
    ['return o.x.y[f(i)]', ''],
  ],
  write: [
    ['t[0] = 5', 'w0'],
    ['return t[f(0)] = f(5)', 'w0'],
    ['return o.p[i] = t[2] + 1', 'w1 r2'],
    ['(t[0]) = f(5)', 'w0'],
    ['t[i] = i = 2', 'w1'],
    ['a[i] = function () {}; return a[i].name', ''],
    ['a[f(i)] = class {}; return a[i].name', ''],
    ['f(a)[i] = () => {}; return a[i].name', ''],
    ['nil[f(0)] = f(1)', ''],
    ['a[k] = 5', ''],
    ['t[0] = t[1] = t[2]', 'w1 r2 w0'],
    ['t[0] = (t[1] = f(9)) + 1', 'w1 w0'],
  ],
  change: [
    ['t[0] += 2', 'u0'],
    ['return t[0] += f(2)', 'r0 w0'],
    ['return f(t)[0] **= 2', 'u0'],
    ['return [t[0]++, ++t[0], t[i]--, --t[i]]', 'u0 u0 u1 u1'],
    ['return [f(t)[0]++, ++f(t)[f(0)], (o.p[i])--]', 'u0 u0 u1'],
    ['return [t[0] ??= f(1), t[3] ||= f(1), t[0] &&= f(7)]', 'r0 r3 w3 r0 w0'],
    ['a[5] ??= () => {}; return a[5].name', ''],
    ['nil[0] += f(1)', ''],
    ['return a[k] += 1', ''],
    ['return s[0]++', ''],
  ],
  patterns: [
    ['[t[0], t[1]] = [t[1], t[0]]', 'r1 r0 w0 w1'],
    ['[t[0] = 9, ...a] = f([])', 'w0'],
    ['[t[f(0)], [f(o).p[f(1)]]] = f([1, [2]])', 'w0 w1'],
    ['({ x: t[0], ...o[f("rest")] } = { x: 5, y: 6 })', 'w0'],
    ['const { 0: x, [i]: y, length } = t; return [x, y, length]', 'r0 r1'],
    ['let x; ({ 0: x = 4, [f(1)]: t[0] } = f(t)); return x', 'r0 r1 w0'],
    ['for (t[0] of [4, 5]) f(t[0])', 'w0 r0 w0 r0'],
    ['for (t[i] in { 5: 1 }) ;', 'w1'],
    ['for (const x in t) f(t[x])', 'r0 r1 r2 r3'],
    ['for ([t[0], t[1]] of [[1, 2]]) ;', 'w0 w1'],
    ['const { [t[1]]: x = t[0] } = []; return x', 'r1 r0'],
    ['try { throw a } catch ({ [t[1]]: x }) { return x }', 'r1'],
    ['const { x } = nil', ''],
    ['[nil[f(0)]] = f([1])', ''],
  ],
  chains: [
    ['return t?.[i]', 'r1'],
    ['return [nil?.[f(0)], un?.b.c[f(1)], nil?.[0].x.y[f(2)]]', ''],
    ['return o?.p[1]', 'r1'],
    ['return o?.x?.p[1]', ''],
    ['return o?.q[t[1]]?.toString()', 'r1'],
    ['return f(o)?.p?.[f(1)].toString(t[0] + 2)', 'r1 r0'],
    ['return o.g?.(t[0])', 'r0'],
    ['return [o?.["g"](1), (o?.g)(1), o?.["f"]?.(2)]', ''],
    ['return delete o?.q[0]', ''],
    ['return o?.x.p[1]', ''],
    ['return [o, nil].map((x) => x?.p?.[1] ?? x?.q[t[0]])', 'r1'],
    ['return f?.(a)[1]', ''],
  ],
  calls: [
    ['return [o["g"](t[0]), a["map"]((x) => x * t[1]), o[f("g")]`${t[2]}`]', 'r0 r1 r1 r1 r2'],
    ['a[0] = g; return [a[0](), (a[0])(), new a[0]().x]', ''],
    ['return a[9]()', ''],
    ['return a[9].x()', ''],
    ['return t[0].toFixed(2)', 'r0'],
    ['return new o.q[0]', ''],
    ['return nope()', ''],
    ['return o.nope.x(1)', ''],
    ['return a.slice(f(1)).concat(...[a])', ''],
    ['return new Float64Array(f(a))', ''],
    ['return a.map(function () { return this; }, 5).length', ''],
    ['return (() => {}).toString.name', ''],
    ['return delete a[0], delete f(a)[f(1)], a', ''],
    ['return [3, 1, 2].sort(function () { return arguments.callee.name ? 1 : -1 })', ''],
  ],
  functions: [
    ['return (x => f(t)[x])(1)', 'r1'],
    ['return (() => ({ x: f(t)[0] }))()', 'r0'],
    ['return ((x, y = f(t)[f(x)]) => y)(1)', 'r1'],
    [
      'return (function (x = t[0], { [f(t)[1]]: y } = a) { return [x, y, arguments.length, this === globalThis] })()',
      'r0 r1',
    ],
    ['return [...(function* () { f(t)[yield t[0]] = yield; })()]', 'r0'],
    [
      'class A { x = f(t)[0]; static y = f(t)[1]; static { f(f(t)[2]); } [t[3]]() { return 1; } #z = t[0]; z() { return this.#z; } } return [new A(), A.y, new A().z()]',
      'r2 r1',
    ],
    ['return { get x() { return f(t)[0]; } }.x', 'r0'],
    ['class A { constructor() { this.t = f(new.target)?.name; } } return new A().t', ''],
    [
      'class A { m() { return 5; } } class B extends A { m() { return super["m"]() + t[0]; } } return new B().m()',
      'r0',
    ],
    ['const x = (y = function () {}) => y.name; return x()', ''],
    ['return (function fact(n) { return n < 2 ? 1 : n * fact(n - 1) + t[0]; })(3)', 'r0 r0'],
    ['with ({ t: a }) return t[1]', ''],
    ['eval("var zz = 5"); return zz + t[0]', 'r0'],
    ['return (function () { "use strict"; return this === undefined && f(t)[0]; })()', 'r0'],
    ['label: for (;;) { f(t)[0]; break label }', 'r0'],
    ['switch (t[0]) { case t[1]: f(0)\n f(t)[0] = 1; default: return t[0] }', 'r0 r1 r0'],
    ['if (i) f(t)[0] = 1; else f(t)[0] = 2', 'w0'],
    ['do f(t)[0]\nwhile (0)', 'r0'],
    ['let x = f\n;[1].map(y => y)\nlet y = 5\nt[0] = 1\nreturn y', 'w0'],
  ],
};
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: programs as text.

// The class of `functions` reads in another order than it is written: keys, static parts, then fields of each instance.
const classAccesses = 'r3 r1 r2 r0 r0 r0 r0';

for (const [name, programs] of Object.entries(forms)) {
  test(name, () => {
    for (const [program, accesses] of programs) {
      const plain = run(program, false);
      const rewritten = run(program, true);
      assert.deepEqual(rewritten.outcome, plain.outcome, program);
      const expected = program.startsWith('class A { x =') ? classAccesses : accesses;
      assert.equal(rewritten.accesses.join(' '), expected, program);
    }
  });
}

test('lines stay where they are', () => {
  const source = 'f(a)\n[0] = [\n1,\n2\n]\nx\na.b[i]++\n';
  assert.equal(rewrite(source).split('\n').length, source.split('\n').length);
});

test('directives, hashbang and names of temporaries', () => {
  assert.match(rewrite('#!/usr/bin/env node\n"use strict"\na[0]'), /^#!.*\n"use strict";let /);
  assert.match(rewrite('function f() { "use strict"; return a[0] }'), /\{ "use strict";;var /);
  assert.match(rewrite('var __jstsan0 = a[0]'), /^let __jstsan_0;/);
});

test('a function runs where only its text is known', () => {
  const text = rewrite('module = (x, i = x.y[0]) => x.y[i]++ + x.y[1]');
  const own = parse(text, { ecmaVersion: 'latest' });
  assert.equal(own.type, 'Program');
  assert.match(text, /=>\{var __jstsan0/);
});

test('a function that comes rewritten is not rewritten again', () => {
  const once = rewrite('(function f(x, y) { "use strict"; x?.y[i]; return x.y[i] = a[0] + Atomics.load(x, 0); })');
  const again = rewrite(once.slice(once.indexOf('(function')));
  assert.equal(again, once.slice(once.indexOf('(function')));
});

test('what cannot touch a view is left alone', () => {
  for (const source of [
    'a.b.c = d',
    'a["b"] = a[`c`]',
    'x[Symbol.iterator]()',
    '[1][0]',
    '"abc"[i]',
    'a[typeof b]',
    'delete a[0]',
  ]) {
    assert.equal(rewrite(source), source);
  }
});
