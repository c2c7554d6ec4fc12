// The mutants: each is one file of the kit, as compiled, with one Atomics operation made plain (or dropped), or one step of a block's life changed.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'acorn';

/** Files with shared memory of their own, and the driver that exercises each. */
export const drivers = {
  'env/heap.js': 'heap',
  'env/mailbox.js': 'mailbox',
  'env/iobuf.js': 'iobuf',
  'env/shared-ring.js': 'ring',
  'env/shared-names.js': 'names',
  'env/doorbell.js': 'doorbell',
  'thread/spin-lock.js': 'lock',
  'thread/shared-thread-table.js': 'table',
  'thread/thread-msg.js': 'app',
  'thread/thread.js': 'app',
  'event/reactor.js': 'app',
  'bdev/shared-state.js': 'words',
  'module/bdev/malloc/allocation-map.js': 'words',
};

/** An operation without what makes it atomic. The arguments are evaluated as they were. */
const plain = {
  load: '((v, i) => v[i])',
  store: '((v, i, x) => (v[i] = x))',
  add: '((v, i, x) => { const old = v[i]; v[i] = old + x; return old; })',
  sub: '((v, i, x) => { const old = v[i]; v[i] = old - x; return old; })',
  or: '((v, i, x) => { const old = v[i]; v[i] = old | x; return old; })',
  and: '((v, i, x) => { const old = v[i]; v[i] = old & x; return old; })',
  exchange: '((v, i, x) => { const old = v[i]; v[i] = x; return old; })',
  compareExchange: '((v, i, e, x) => { const old = v[i]; if (old === e) v[i] = x; return old; })',
  notify: '(() => 0)',
};

/** Steps of a block's life: what is replaced, by what. Each text stands in its file once. */
const steps = [
  ['env/heap.js', 'release frees on the wrong core', 'this.sendHome(owner, ptr);', 'this.#put(w);'],
  ['env/heap.js', 'release forgets to send home', 'this.sendHome(owner, ptr);', ';'],
  [
    'env/heap.js',
    'release sends home twice',
    'this.sendHome(owner, ptr);',
    '(this.sendHome(owner, ptr), this.sendHome(owner, ptr));',
  ],
  [
    'env/heap.js',
    'release at home forgets the block',
    'if (owner === this.core)\n            this.#put(w);',
    'if (owner === this.core)\n            ;',
  ],
  [
    'env/heap.js',
    'release at home frees twice',
    'if (owner === this.core)\n            this.#put(w);',
    'if (owner === this.core)\n            this.#put(w), this.#put(w);',
  ],
  ['env/heap.js', 'a block stays on the free list', 'this.#freeHead[cls] = i32[w + 3];', ';'],
  [
    'env/heap.js',
    'a new slab is that of the core before',
    'const start = this.#base + slab * SLAB;',
    'const start = this.#base + (slab & ~1) * SLAB;',
  ],
  [
    'env/iobuf.js',
    'a buffer given away stays in the cache',
    'index = this.#cache[--this.#cached];\n            this.stats',
    'index = this.#cache[this.#cached - 1];\n            this.stats',
  ],
  [
    'env/iobuf.js',
    'a buffer is shared twice',
    'this.#share(buf.index);',
    '(this.#share(buf.index), this.#share(buf.index));',
  ],
  ['env/iobuf.js', 'a buffer put is not given back', 'this.#share(buf.index);', ';'],
  [
    'env/iobuf.js',
    'a buffer goes to a waiter and to the pool',
    'this.#shift();\n            waiter.onBuf(this.#hand(buf.index));\n            return;',
    'this.#shift();\n            waiter.onBuf(this.#hand(buf.index));',
  ],
  [
    'env/mailbox.js',
    'a batch is announced before its last event is written',
    'i32[at + 3] = w3;',
    'if (n === FIRST)\n            this.#announce();\n        i32[at + 3] = w3;',
  ],
  [
    'env/mailbox.js',
    'the head is told before the slots were read',
    'this.#known = (header >>> COUNT_SHIFT) & COUNT_MAX;',
    'this.#known = (header >>> COUNT_SHIFT) & COUNT_MAX;\n        Atomics.store(this.i32, HEAD, (head + this.#known) | 0);',
  ],
  [
    'env/mailbox.js',
    'the header is written before it is announced',
    'if (at > 0)\n                i32[to] = first[at];',
    'i32[to] = first[at];',
  ],
  [
    'env/shared-ring.js',
    'a cell is given on before it is written',
    'i32[cell + 1] = value;\n                    Atomics.store(i32, cell, (pos + 1) | 0);',
    'Atomics.store(i32, cell, (pos + 1) | 0);\n                    i32[cell + 1] = value;',
  ],
  [
    'env/shared-ring.js',
    'a cell is freed before it is read',
    'const value = i32[cell + 1];\n                    Atomics.store(i32, cell, (pos + this.#mask + 1) | 0);',
    'Atomics.store(i32, cell, (pos + this.#mask + 1) | 0);\n                    const value = i32[cell + 1];',
  ],
  ['thread/spin-lock.js', 'unlock forgets to unlock', 'Atomics.store(this.#i32, this.#word + 1, 0);', ';'],
  ['thread/spin-lock.js', 'tryLock says yes to everybody', 'if (holder !== 0)\n            return false;', ''],
  ['thread/spin-lock.js', 'lock does not wait', 'this.#wait(thread);', ';'],
];

/** All mutants of the kit below `dist`, always in the same order. A name says the file, the function, what was changed, and which of several it is. */
export function generate(dist) {
  const mutants = [];
  for (const file of Object.keys(drivers)) {
    const source = readFileSync(join(dist, file), 'utf8');
    for (const call of atomicCalls(source)) {
      const changed = `${source.slice(0, call.start)}${plain[call.name]}${source.slice(call.end)}`;
      mutants.push({
        file,
        at: call.start,
        what: `Atomics.${call.name} made ${call.name === 'notify' ? 'nothing' : 'plain'}`,
        source: changed,
        original: source,
      });
    }
    for (const [, what, from, to] of steps.filter(([where]) => where === file)) {
      const at = source.indexOf(from);
      if (at < 0 || source.indexOf(from, at + 1) >= 0)
        throw new Error(`${file}: "${what}" does not fit its text (any more)`);
      const changed = `${source.slice(0, at)}${to}${source.slice(at + from.length)}`;
      mutants.push({ file, at, what, source: changed, original: source });
    }
  }
  const seen = new Map();
  return mutants.map(({ file, at, what, source, original }) => {
    const base = `${file} ${functionAt(original, at)}: ${what}`;
    const count = (seen.get(base) ?? 0) + 1;
    seen.set(base, count);
    return { file, source, name: count === 1 ? base : `${base} (${count})` };
  });
}

/** So many of `mutants`, drawn by `seed`, in the order in which they were. */
export function sampleOf(mutants, count, seed) {
  const lot = ({ name }) => createHash('sha256').update(`${seed} ${name}`).digest('hex');
  const drawn = new Set(mutants.map(lot).sort().slice(0, count));
  return mutants.filter((mutant) => drawn.has(lot(mutant)));
}

/** No mutants: the files of `mutants` as they are, which have to pass. */
export function unchangedFor(dist, mutants) {
  const files = [...new Set(mutants.map(({ file }) => file))];
  return files.map((file) => ({ file, name: file, source: readFileSync(join(dist, file), 'utf8') }));
}

/** The name of the function or method whose text goes past `at`. */
function functionAt(source, at) {
  const heads = [
    ...source.slice(0, at).matchAll(/^(?: {4}(?:static |get |async )*|(?:export )?function )([#\w]+)\(.*\{$/gm),
  ];
  return heads.at(-1)?.[1] ?? 'module';
}

/** The callees `Atomics.NAME` of a text, in order. */
function atomicCalls(source) {
  const found = [];
  const visit = (node) => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (node === null || typeof node !== 'object') return;
    const { type, callee } = node;
    if (type === 'CallExpression' && callee.type === 'MemberExpression' && callee.object.name === 'Atomics') {
      const { name } = callee.property;
      if (Object.hasOwn(plain, name)) found.push({ name, start: callee.start, end: callee.end });
    }
    Object.values(node).forEach(visit);
  };
  visit(parse(source, { ecmaVersion: 'latest', sourceType: 'module' }));
  return found.sort((a, b) => a.start - b.start);
}
