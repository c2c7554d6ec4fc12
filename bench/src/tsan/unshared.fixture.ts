// Programs without shared memory, of the kinds that people write: what the sanitizer costs on them is what it costs where it finds nothing.
// Run as `node [--import register] unshared.fixture.js NAME`, prints the median time of one run in milliseconds.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

type Workload = () => unknown;

function matrix(): Workload {
  const n = 120;
  const a = new Float64Array(n * n).fill(1.5);
  const b = new Float64Array(n * n).fill(0.5);
  const c = new Float64Array(n * n);
  return () => {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
        c[i * n + j] = sum;
      }
    }
    return c[5];
  };
}

function sieve(): Workload {
  return () => {
    const composite = new Uint8Array(300_000);
    let primes = 0;
    for (let i = 2; i < composite.length; i++) {
      if (composite[i]) continue;
      primes++;
      for (let j = i * 2; j < composite.length; j += i) composite[j] = 1;
    }
    return primes;
  };
}

function histogram(): Workload {
  const bytes = new Uint8Array(400_000).map((_, i) => (i * 7919) >> 3);
  return () => {
    const counts = new Uint32Array(256);
    for (let i = 0; i < bytes.length; i++) counts[bytes[i]]++;
    return counts[9];
  };
}

function swaps(): Workload {
  return () => {
    const list = Array.from({ length: 20_000 }, (_, i) => (i * 7919) % 20_011);
    for (let gap = 8192; gap > 0; gap >>= 1) {
      for (let i = gap; i < list.length; i++) {
        for (let j = i - gap; j >= 0 && list[j] > list[j + gap]; j -= gap) {
          [list[j], list[j + gap]] = [list[j + gap], list[j]];
        }
      }
    }
    return list[7];
  };
}

function dictionary(): Workload {
  const words = Array.from({ length: 50_000 }, (_, i) => `word${(i * 7919) % 3001}`);
  return () => {
    const counts: Record<string, number> = {};
    for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
    return counts.word7;
  };
}

function objects(): Workload {
  class Particle {
    x = 0;
    y = 1;
    speed = [1, 2];
    step(dt: number): void {
      this.x += this.speed[0] * dt;
      this.y += this.speed[1] * dt;
    }
  }
  const particles = Array.from({ length: 2000 }, () => new Particle());
  return () => {
    for (let turn = 0; turn < 60; turn++) for (let i = 0; i < particles.length; i++) particles[i].step(0.1);
    return particles[3].x;
  };
}

function strings(): Workload {
  const text = 'the quick brown fox, 1234 jumps; over '.repeat(4000);
  return () => {
    let digits = 0;
    let hash = 0;
    for (let i = 0; i < text.length; i++) {
      if (text[i] >= '0' && text[i] <= '9') digits++;
      hash = (hash * 31 + text.charCodeAt(i)) | 0;
    }
    return (
      digits +
      hash +
      text
        .split(' ')
        .map((word) => word.slice(1))
        .join('').length
    );
  };
}

function smallFunctions(): Workload {
  const add = (a: number[], b: number[]) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
  const scale = (a: number[], by: number) => [a[0] * by, a[1] * by, a[2] * by];
  const dot = (a: number[], b: number[]) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  return () => {
    let p = [0, 0, 0];
    const v = [1, 2, 3];
    let sum = 0;
    for (let i = 0; i < 60_000; i++) {
      p = add(p, scale(v, 0.01));
      sum += dot(p, v);
    }
    return sum;
  };
}

function recursion(): Workload {
  const fib = (n: number): number => (n < 2 ? n : fib(n - 1) + fib(n - 2));
  const queens = (n: number, row: number, columns: number[]): number => {
    if (row === n) return 1;
    let found = 0;
    for (let column = 0; column < n; column++) {
      let free = true;
      for (let i = 0; i < row && free; i++) {
        free = columns[i] !== column && Math.abs(columns[i] - column) !== row - i;
      }
      if (!free) continue;
      columns[row] = column;
      found += queens(n, row + 1, columns);
    }
    return found;
  };
  return () => fib(23) + queens(7, 0, []);
}

function arrayMethods(): Workload {
  const list = Array.from({ length: 20_000 }, (_, i) => i);
  return () =>
    list
      .map((x) => x * 3)
      .filter((x) => x & 1)
      .slice(5)
      .reduce((sum, x) => sum + x, 0) + [...list].sort((a, b) => b - a)[3];
}

function collections(): Workload {
  return () => {
    const map = new Map<number, number[]>();
    for (let i = 0; i < 40_000; i++) {
      const key = (i * 7919) % 997;
      const list = map.get(key);
      if (list) list.push(i);
      else map.set(key, [i]);
    }
    let sum = 0;
    for (const [key, list] of map) sum += key + list[list.length - 1];
    return sum;
  };
}

function generators(): Workload {
  function* pairs(list: number[]): Generator<[number, number]> {
    for (let i = 0; i + 1 < list.length; i++) yield [list[i], list[i + 1]];
  }
  const list = Array.from({ length: 20_000 }, (_, i) => i);
  return () => {
    let sum = 0;
    for (const [a, b] of pairs(list)) sum += a * b;
    return sum;
  };
}

function jsonParser(): Workload {
  const text = JSON.stringify(
    Array.from({ length: 400 }, (_, i) => ({ id: i, name: `n${i}`, tags: ['a', 'b'], deep: { x: [1, 2, 3] } })),
  );
  let at = 0;
  const skip = () => {
    while (text[at] === ' ' || text[at] === '\n') at++;
  };
  const value = (): unknown => {
    skip();
    const first = text[at];
    if (first === '{') return object();
    if (first === '[') return list();
    if (first === '"') return word();
    const start = at;
    while (at < text.length && !',]}'.includes(text[at])) at++;
    return Number(text.slice(start, at));
  };
  const word = (): string => {
    const start = ++at;
    while (text[at] !== '"') at++;
    return text.slice(start, at++);
  };
  const list = (): unknown[] => {
    const found: unknown[] = [];
    at++;
    while (text[at] !== ']') {
      found[found.length] = value();
      if (text[at] === ',') at++;
    }
    at++;
    return found;
  };
  const object = (): Record<string, unknown> => {
    const found: Record<string, unknown> = {};
    at++;
    while (text[at] !== '}') {
      const key = word();
      at++;
      found[key] = value();
      if (text[at] === ',') at++;
    }
    at++;
    return found;
  };
  return () => {
    at = 0;
    return value();
  };
}

/** Records in a DataView: a header and fields in both byte orders. */
function dataViews(): Workload {
  const view = new DataView(new ArrayBuffer(32 * 2000));
  return () => {
    let sum = 0;
    for (let at = 0; at < view.byteLength; at += 32) {
      view.setUint32(at, at, true);
      view.setInt16(at + 4, 7);
      view.setFloat64(at + 8, at / 3, true);
      sum += view.getUint32(at, true) + view.getInt16(at + 4) + view.getFloat64(at + 8, true) + view.getUint8(at + 5);
    }
    return sum;
  };
}

/** Frames of a protocol, written into Buffers and parsed again. */
function buffers(): Workload {
  const bytes = Buffer.alloc(64 * 1000);
  return () => {
    let sum = 0;
    for (let at = 0; at < bytes.length; at += 64) {
      bytes.writeUInt32BE(at, at);
      bytes.writeInt16BE(at & 0x7fff, at + 4);
      bytes.writeUInt8(at & 0xff, at + 6);
      bytes.write('frame', at + 8, 'latin1');
      const frame = bytes.subarray(at, at + 64);
      sum += frame.readUInt32BE(0) + frame.readInt16BE(4) + frame.readUInt8(6) + frame.indexOf(0x65);
    }
    return sum;
  };
}

/** A module of a package, but not the instance that the sanitizer itself has loaded. */
function another(name: string): Promise<Record<string, (...args: unknown[]) => unknown>> {
  const path = createRequire(import.meta.url)
    .resolve(name)
    .replace(/\.js$/, '.mjs');
  return import(`${pathToFileURL(path).href}?bench`);
}

async function acornParse(): Promise<Workload> {
  const acorn = await another('acorn');
  const source = readFileSync(createRequire(import.meta.url).resolve('acorn'), 'utf8');
  return () => acorn.parse(source, { ecmaVersion: 'latest' });
}

async function propertyTests(): Promise<Workload> {
  const path = createRequire(import.meta.url)
    .resolve('fast-check')
    .replace(/cjs.fast-check\.c?js$/, 'fast-check.js');
  const { default: fc } = (await import(`${pathToFileURL(path).href}?bench`)) as {
    default: typeof import('fast-check');
  };
  return () =>
    fc.assert(
      fc.property(fc.array(fc.string()), (list) => list.join('').length >= 0),
      { seed: 1, numRuns: 100 },
    );
}

export const workloads: Record<string, () => Workload | Promise<Workload>> = {
  matrix,
  sieve,
  histogram,
  swaps,
  dictionary,
  objects,
  strings,
  smallFunctions,
  recursion,
  arrayMethods,
  collections,
  generators,
  jsonParser,
  acornParse,
  propertyTests,
  dataViews,
  buffers,
};

async function measure(name: string): Promise<number> {
  const run = await workloads[name]();
  const times: number[] = [];
  const end = performance.now() + 400;
  while (performance.now() < end || times.length < 9) {
    const start = performance.now();
    run();
    times.push(performance.now() - start);
  }
  const warm = times.slice(times.length >> 1).sort((a, b) => a - b);
  return warm[warm.length >> 1];
}

const name = process.argv[2];
if (name in workloads) console.log(await measure(name));
