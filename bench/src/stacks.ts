// Disks on disks: what a filter adds to an I/O, what RAID costs. And many disks: what a thousand of them cost a target that starts, and one that rests.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { alternate, type Benchmark, median, type Row, row } from './harness.ts';
import { depth, perf } from './perf.ts';
import { cli, Server } from './processes.ts';
import { cores } from './run-app.ts';

const runs = 5;
const many = 1000;
const restSeconds = 3;

type Call = { readonly method: string; readonly params: object };

function configFile(dir: string, name: string, config: readonly Call[]): string {
  const path = join(dir, `${name}.json`);
  writeFileSync(path, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config }] }));
  return path;
}

const nullDisk = (name: string): Call => ({
  method: 'bdev_null_create',
  params: { name, num_blocks: 2 ** 21, block_size: 512 },
});

/** Filters on a disk that does nothing, and the name that they get. */
const filters: readonly (readonly [what: string, top: string, call: Call])[] = [
  ['passthru', 'P', { method: 'bdev_passthru_create', params: { name: 'P', base_bdev_name: 'Null0' } }],
  ['error with no rule', 'EE_Null0', { method: 'bdev_error_create', params: { base_name: 'Null0' } }],
  [
    'delay 0',
    'D',
    {
      method: 'bdev_delay_create',
      params: {
        name: 'D',
        base_bdev_name: 'Null0',
        avg_read_latency: 0,
        p99_read_latency: 0,
        avg_write_latency: 0,
        p99_write_latency: 0,
      },
    },
  ],
  ['split', 'Null0p0', { method: 'bdev_split_create', params: { base_bdev: 'Null0', split_count: 2 } }],
];

/** What each adds to an I/O: with it and without it in turns. */
async function filterRows(dir: string, core: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [what, top, call] of filters) {
    const config = configFile(dir, what, [nullDisk('Null0'), call]);
    const socket = join(dir, 'filter.sock');
    const ns = async (disk: string) => {
      const { iops } = await perf([core], '--json', config, '-T', disk, '-w', 'randread', '-r', socket);
      return { ns: 1e9 / iops };
    };
    const { ours, peer } = await alternate<'ns'>(
      () => ns(top),
      () => ns('Null0'),
      runs,
    );
    rows.push(
      row({
        name: `${what}, added to each I/O of a null disk (${Math.round(peer.ns)} ns), depth ${depth}`,
        value: ours.ns - peer.ns,
        unit: 'ns each',
        better: 'lower',
        target: 40,
      }),
    );
  }
  return rows;
}

/** A configuration of two disks that do nothing, and a RAID disk on them. */
function raidConfig(dir: string, level: string): string {
  const disks = ['Null0', 'Null1'];
  const strip_size_kb = level === 'raid1' ? 0 : 64;
  const raid = {
    method: 'bdev_raid_create',
    params: { name: 'Raid', raid_level: level, strip_size_kb, base_bdevs: disks },
  };
  return configFile(dir, level, [...disks.map(nullDisk), raid]);
}

/** What a RAID disk costs: its own and that of the I/Os of its members. */
async function raids(dir: string, core: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const level of ['raid0', 'raid1']) {
    const config = raidConfig(dir, level);
    const socket = join(dir, `${level}.sock`);
    for (const workload of ['randread', 'randwrite']) {
      const ns: number[] = [];
      for (let i = 0; i < runs; i++) {
        ns.push(1e9 / (await perf([core], '--json', config, '-T', 'Raid', '-w', workload, '-r', socket)).iops);
      }
      rows.push(
        row({
          name: `${level} of 2 null disks, 4k ${workload}, depth ${depth}`,
          value: median(ns),
          unit: 'ns each',
          better: 'lower',
        }),
      );
    }
  }
  return rows;
}

/** Starts a target with these disks; how long it takes to answer, and what it then does while nobody asks. */
async function target(dir: string, config: string): Promise<{ startMs: number; restMs: number }> {
  const socket = join(dir, 'many.sock');
  const began = performance.now();
  const server = new Server([process.execPath, cli, 'tgt', '-c', config, '-r', socket]);
  try {
    await server.said(/reactors on cores/);
    const startMs = performance.now() - began;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const before = server.restingCpuSeconds();
    await new Promise((resolve) => setTimeout(resolve, restSeconds * 1000));
    return { startMs, restMs: ((server.restingCpuSeconds() - before) * 1000) / restSeconds };
  } finally {
    await server.stop();
  }
}

async function manyRows(dir: string): Promise<Row[]> {
  const none = configFile(dir, 'none', []);
  const all = configFile(
    dir,
    'all',
    Array.from({ length: many }, (_, i) => nullDisk(`Null${i}`)),
  );
  const { ours, peer } = await alternate<'startMs' | 'restMs'>(
    () => target(dir, all),
    () => target(dir, none),
    runs,
  );
  return [
    row({
      name: `start of a target with ${many} disks, until it serves (${Math.round(peer.startMs)} ms without)`,
      value: ours.startMs,
      unit: 'ms',
      better: 'lower',
      target: 2000,
    }),
    row({
      // An idle target may take nothing that can be measured: no ratio.
      name: `CPU of a target at rest with ${many} disks (${peer.restMs.toFixed(2)} ms/s without)`,
      value: ours.restMs,
      unit: 'ms/s',
      better: 'lower',
      target: Math.max(1, 1.2 * peer.restMs),
    }),
  ];
}

export const stacks: Benchmark = {
  name: 'stacks',
  about: 'disks on disks under tspdk perf (filters, RAID), and a target with 1,000 disks',
  async run(say): Promise<readonly Row[]> {
    const dir = mkdtempSync(join(tmpdir(), 'tspdk-bench-'));
    const [core] = cores(2);
    try {
      say('filters');
      const filtered = await filterRows(dir, core);
      say('RAID disks');
      const raid = await raids(dir, core);
      say(`${many} disks`);
      return [...filtered, ...raid, ...(await manyRows(dir))];
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  },
};
