// What the sanitizer costs, row for row as its targets stand: an access to shared memory beside gcc's ThreadSanitizer, code without shared memory, Atomics,
// memory, and whole programs. Each figure with its peer in turns, the best of several runs where only the machine's other work could add.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { alternate, type Benchmark, median, type Row, row } from '../harness.ts';
import { buildGccLoop } from './gcc.ts';
import { figureOf, wallMs } from './run.ts';
import { measureTarget } from './target.ts';

const lower = 'lower';
const rounds = 5;

type Say = (line: string) => void;

/** The least of some: other work of the machine only ever adds. */
async function least(measure: () => Promise<number> | number): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) best = Math.min(best, await measure());
  return best;
}

async function accesses(say: Say): Promise<Row[]> {
  const dir = mkdtempSync(join(tmpdir(), 'tsan-bench-'));
  const name = 'access to shared memory, same epoch';
  try {
    const gcc = buildGccLoop(dir);
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      ours.push(await figureOf('checked', 'shared', 'access'));
      if ('run' in gcc) theirs.push(gcc.run());
    }
    const value = Math.min(...ours);
    const rows = [row({ name, value, unit: 'ns', better: lower, target: 7 })];
    if ('missing' in gcc) say(`no row beside gcc's ThreadSanitizer: ${gcc.missing}`);
    else {
      const peer = { name: 'gcc -fsanitize=thread', value: Math.min(...theirs) };
      rows.push(row({ name: `${name}, the same loop`, value, unit: 'ns', better: lower, peer, target: 1 / 2 }));
    }
    return rows;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Element accesses are what every program has; DataView and Buffer are methods that have been replaced. */
const programs = [
  'matrix sieve histogram swaps dictionary objects strings smallFunctions recursion arrayMethods collections generators',
  'jsonParser acornParse propertyTests dataViews buffers',
].flatMap((line) => line.split(' '));

async function unshared(say: Say): Promise<Row[]> {
  const ratios: number[] = [];
  for (const name of programs) {
    let [plain, checked] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (let round = 0; round < 3; round++) {
      plain = Math.min(plain, await figureOf('plain', 'unshared', name));
      checked = Math.min(checked, await figureOf('checked', 'unshared', name));
    }
    ratios.push(checked / plain);
    say(`  ${name.padEnd(16)} ${(checked / plain).toFixed(2)} x`);
  }
  const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
  const unit = 'x time';
  return [
    row({
      name: `code without shared memory, mean of ${ratios.length}`,
      value: mean,
      unit,
      better: lower,
      target: 1.3,
    }),
    row({ name: 'of which the worst', value: Math.max(...ratios), unit, better: lower }),
  ];
}

async function atomics(): Promise<Row[]> {
  const own = await least(() => figureOf('checked', 'shared', 'atomics'));
  const one = await least(() => figureOf('checked', 'shared', 'contended'));
  const bare = await least(() => figureOf('plain', 'shared', 'contended'));
  return [
    row({ name: 'Atomics, 2 threads, a word each', value: own, unit: 'ns', better: lower, target: 150 }),
    row({
      name: 'Atomics, 2 threads, the same word',
      value: one,
      unit: 'ns',
      better: lower,
      peer: { name: 'without the sanitizer', value: bare },
    }),
  ];
}

async function memory(): Promise<Row[]> {
  const shadow = await figureOf('checked', 'shared', 'memory');
  const runs = async (under: 'plain' | 'checked') => {
    const all: number[] = [];
    for (let round = 0; round < rounds; round++) all.push(await figureOf(under, 'shared', 'threads'));
    return median(all);
  };
  const thread = (await runs('checked')) - (await runs('plain'));
  return [
    row({ name: 'shadow of a shared byte', value: shadow, unit: 'bytes', better: lower, target: 7 }),
    row({ name: 'memory of a thread, more than without', value: thread, unit: 'MB', better: lower, target: 2 }),
  ];
}

async function wholePrograms(say: Say): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of ['piscina', 'thread-stream']) {
    say(name);
    const { ours, peer } = await alternate(
      async () => ({ ms: await wallMs('checked', name) }),
      async () => ({ ms: await wallMs('plain', name) }),
    );
    rows.push(
      row({
        name: `${name}: wall time of the process`,
        value: ours.ms,
        unit: 'ms',
        better: lower,
        peer: { name: 'without the sanitizer', value: peer.ms },
        target: 1 / 5,
      }),
    );
  }
  say('the NBD target under fio');
  const { plain, checked, reports } = await measureTarget();
  if (reports > 0) say(`${reports} reports, which cost time too`);
  rows.push(
    row({
      name: 'NBD target, 4k randread and randwrite, depth 32',
      value: checked,
      unit: 'I/O/s',
      better: 'higher',
      peer: { name: 'without the sanitizer', value: plain },
      target: 1 / 5,
    }),
  );
  return rows;
}

export const tsan: Benchmark = {
  name: 'tsan',
  about: 'the thread sanitizer: accesses, Atomics, memory, code without shared memory, whole programs',
  async run(say) {
    const rows: Row[] = [];
    const parts = {
      'accesses to shared memory': accesses,
      Atomics: atomics,
      memory,
      programs: wholePrograms,
      unshared,
    };
    for (const [name, measure] of Object.entries(parts)) {
      say(name);
      for (const each of await measure(say)) {
        rows.push(each);
        say(`  ${each.name}: ${each.value.toPrecision(3)} ${each.unit}, ratio ${each.ratio?.toPrecision(3) ?? 'none'}`);
      }
    }
    return rows;
  },
};
