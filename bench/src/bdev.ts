// The block layer under `tspdk perf`: what an I/O costs on a disk that does nothing, how near a memory disk comes to copying memory, how near a file comes to
// fio's io_uring engine, how a second reactor adds up, and what is left on the JS heap.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { heapBytes } from './gc-trace.ts';
import { alternate, type Benchmark, median, type Row, row } from './harness.ts';
import { blockBytes, depth, type Perf, perf, seconds } from './perf.ts';
import { cli, runClient, Server } from './processes.ts';
import { cores } from './run-app.ts';

const runs = 5;
/** Of what keeps both cores busy, with a target near to what the machine has: on machines that others use too, five runs differ by more than that. */
const pairRuns = 11;
const fileBytes = 256 * 1024 * 1024;
const copyProgram = fileURLToPath(new URL('./copy-limit.js', import.meta.url));

/** Copies of one I/O's size to random places of memory that is as large as the disk, a second, by the same means as a program has: TypedArray.set. */
async function copies(core: number): Promise<number> {
  return Number(
    await runClient([process.execPath, copyProgram, String(fileBytes), String(blockBytes), String(seconds)], core),
  );
}

/** Reads of a memory disk a second, all of which has been written: memory that never was is one page of zeroes. */
async function mallocReads(core: number, dir: string): Promise<number> {
  const socket = join(dir, `malloc-${core}.sock`);
  const flags = ['-m', `[${core}]`, '-q', String(depth), '-z', '-r', socket];
  const server = new Server([process.execPath, cli, 'perf', String(fileBytes), ...flags]);
  const perform = async (params: Readonly<Record<string, string>>): Promise<Perf['total']> => {
    const args = Object.entries(params).flatMap(([name, value]) => [`--${name}`, value]);
    const out = await runClient([process.execPath, cli, 'rpc', '-s', socket, '-t', '60', 'perform_tests', ...args]);
    return (JSON.parse(out) as Perf).total;
  };
  try {
    await server.listening({ path: socket });
    const fill = { workload_type: 'write', io_size: '1M', time_in_sec: '1' };
    for (let written = 0; written < fileBytes; ) written += (await perform(fill)).io_completed * 1024 * 1024;
    const { iops } = await perform({
      workload_type: 'randread',
      io_size: String(blockBytes),
      time_in_sec: String(seconds),
    });
    return iops;
  } finally {
    await server.stop();
  }
}

/** Reads of the file a second by fio's io_uring engine. */
async function fioReads(path: string, core: number, direct: boolean): Promise<number> {
  const job = [
    `--filename=${path}`,
    '--rw=randread',
    `--bs=${blockBytes}`,
    `--iodepth=${depth}`,
    `--direct=${direct ? 1 : 0}`,
  ];
  const time = ['--time_based', `--runtime=${seconds}`, '--norandommap', '--invalidate=0', '--output-format=json'];
  const out = await runClient(['fio', '--name=bench', '--ioengine=io_uring', ...job, ...time], core);
  const { jobs } = JSON.parse(out.slice(out.indexOf('{'))) as { jobs: { read: { iops: number } }[] };
  return jobs[0].read.iops;
}

/** A file as large as the memory disk, all of it written and in the page cache. */
function makeFile(dir: string): string {
  const path = join(dir, 'disk.img');
  const data = new Uint8Array(fileBytes);
  for (let at = 0; at < data.length; at += 4) data[at] = (at >>> 12) ^ at;
  writeFileSync(path, data);
  readFileSync(path);
  return path;
}

async function files(dir: string, core: number, say: (line: string) => void): Promise<Row[]> {
  if (spawnSync('fio', ['--version']).status !== 0) {
    say('files: left out, there is no fio');
    return [];
  }
  const path = makeFile(dir);
  const rows: Row[] = [];
  const ways = [
    { what: 'page cache', direct: false, flags: [] },
    { what: 'O_DIRECT', direct: true, flags: ['--direct'] },
    { what: 'O_DIRECT, --poll', direct: true, flags: ['--direct', '--poll'] },
  ];
  for (const { what, direct, flags } of ways) {
    say(`file, ${what}`);
    const { ours, peer } = await alternate<'iops'>(
      async () => ({ iops: (await perf([core], path, '-w', 'randread', ...flags)).iops }),
      async () => ({ iops: await fioReads(path, core, direct) }),
      runs,
    );
    rows.push(
      row({
        name: `file, 4k randread, depth ${depth}, ${what}`,
        value: ours.iops,
        unit: 'IOPS',
        better: 'higher',
        peer: { name: 'fio, io_uring', value: peer.iops },
        target: 0.95,
      }),
    );
  }
  return rows;
}

/**
 * Bytes on the JS heap for each I/O on a disk that does nothing, everything counted: also what the loop takes for each slice and each reading of the clock.
 * The deeper the queue, the more I/Os share a turn, and the less of the loop's is in an I/O's part: at depth 1,024 what is left is a bound of the I/O's own.
 */
async function allocation(core: number): Promise<{ whole: number; own: number; ios: number }> {
  const measure = async (queue: number, time: number) => {
    const node = [process.execPath, '--trace-gc', '--max-semi-space-size=1'];
    const flags = ['-m', `[${core}]`, '-q', String(queue), '-t', String(time), '--json-output'];
    const out = await runClient([...node, cli, 'perf', 'null:1G', '-w', 'randread', ...flags]);
    const line = out.split('\n').find((each) => each.startsWith('{"results"'));
    if (line === undefined) throw new Error(`tspdk perf printed no result:\n${out.slice(-2000)}`);
    const { total } = JSON.parse(line) as Perf;
    // Starting takes memory too, and is over within a second.
    const { bytes, seconds: between } = heapBytes(out, 1);
    return { ios: total.io_completed, each: bytes / between / total.iops };
  };
  const usual = await measure(depth, 5);
  const deep = await measure(1024, 5);
  return { whole: usual.each, own: deep.each, ios: deep.ios };
}

/**
 * Two reactors beside one, and two programs of one reactor each, which share nothing but the machine: what those do not reach together, no program does (on virtual machines two
 * processors may be the two threads of one core).
 */
async function twoReactors(core: number, two: readonly number[]): Promise<Row[]> {
  const { ours, peer } = await alternate<'together' | 'apart'>(
    async () => {
      const { iops } = await perf(two, 'null:1G', '-w', 'randread', '-C');
      const each = await Promise.all(two.map((core) => perf([core], 'null:1G', '-w', 'randread')));
      return { together: iops, apart: each.reduce((sum, { iops }) => sum + iops, 0) };
    },
    async () => {
      const { iops } = await perf([core], 'null:1G', '-w', 'randread');
      return { together: iops, apart: iops };
    },
    pairRuns,
  );
  return [
    row({
      name: `null disk, depth ${depth}, 2 reactors`,
      value: ours.together,
      unit: 'IOPS',
      better: 'higher',
      peer: { name: '1 reactor', value: peer.together },
      target: 1.9,
    }),
    row({
      name: 'the same in 2 programs of 1 reactor each: what the machine allows',
      value: ours.apart,
      unit: 'IOPS',
      better: 'higher',
      peer: { name: '1 reactor', value: peer.apart },
    }),
  ];
}

export const bdev: Benchmark = {
  name: 'bdev',
  about: 'the block layer under tspdk perf: a null, a memory and a file disk',
  async run(say): Promise<readonly Row[]> {
    const dir = mkdtempSync(join(tmpdir(), 'tspdk-bench-'));
    const two = cores(2);
    const [core] = two;
    try {
      say('null disk');
      const ns: number[] = [];
      for (let i = 0; i < runs; i++) ns.push(1e9 / (await perf([core], 'null:1G', '-w', 'randread')).iops);
      say('memory disk');
      const memory = await alternate<'iops'>(
        async () => ({ iops: await mallocReads(core, dir) }),
        async () => ({ iops: await copies(core) }),
        runs,
      );
      say('two reactors');
      const pair = await twoReactors(core, two);
      say('allocation');
      const heap = await allocation(core);
      return [
        row({
          name: `null disk, 4k, depth ${depth}`,
          value: median(ns),
          unit: 'ns each',
          better: 'lower',
          target: 100,
        }),
        row({
          name: `memory disk, 4k randread, depth ${depth}`,
          value: memory.ours.iops,
          unit: 'IOPS',
          better: 'higher',
          peer: { name: 'TypedArray.set of 4k', value: memory.peer.iops },
          target: 0.8,
        }),
        ...pair,
        ...(await files(dir, core, say)),
        row({
          name: `JS heap for each I/O, everything counted (null disk, depth ${depth})`,
          value: heap.whole,
          unit: 'bytes',
          better: 'lower',
        }),
        row({
          // No object is smaller than 12 bytes: less than half a byte is not the I/O's.
          name: `the same at depth 1,024, in whole bytes (${heap.ios.toLocaleString('en')} I/Os)`,
          value: Math.round(heap.own),
          unit: 'bytes',
          better: 'lower',
          target: 0,
        }),
      ];
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  },
};
