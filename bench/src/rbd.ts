// The RBD disk beside fio's rbd engine, on the same image of a Ceph cluster that lives in memory on this machine: both go through librbd, so what is compared is what stands
// above it. Nothing is asked: the cluster takes most of the machine.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Ceph, startCeph } from '../../interop/dist/ceph.js';
import { alternate, type Benchmark, row } from './harness.ts';
import { cli, runClient } from './processes.ts';
import { cores } from './run-app.ts';

const seconds = 3;
const depth = 32;
const blockBytes = 4096;
const programs = ['ceph-mon', 'ceph-osd', 'rbd', 'fio'];

function configOf({ conf }: Ceph): string {
  const path = join(dirname(conf), 'tspdk.json');
  const disk = { name: 'R', pool_name: 'rbd', rbd_name: 'bench', block_size: blockBytes, cluster_name: 'c' };
  const config = [
    { method: 'bdev_rbd_register_cluster', params: { name: 'c', config_file: conf } },
    { method: 'bdev_rbd_create', params: disk },
  ];
  writeFileSync(path, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config }] }));
  return path;
}

async function ours(config: string, core: number): Promise<{ iops: number }> {
  const flags = ['-m', `[${core}]`, '-q', String(depth), '-o', String(blockBytes), '-t', String(seconds)];
  const socket = join(dirname(config), 'rpc.sock');
  const out = await runClient([process.execPath, cli, 'perf', '-c', config, '-r', socket, ...flags, '--json-output']);
  return { iops: (JSON.parse(out) as { total: { iops: number } }).total.iops };
}

async function fio(...args: readonly string[]): Promise<{ iops: number }> {
  const engine = ['--ioengine=rbd', '--clientname=admin', '--pool=rbd', '--rbdname=bench', '--output-format=json'];
  const out = await runClient(['fio', '--name=bench', ...engine, ...args]);
  const [{ read }] = JSON.parse(out.slice(out.indexOf('{'))).jobs as [{ read: { iops: number } }];
  return { iops: read.iops };
}

export const rbd: Benchmark = {
  name: 'rbd',
  about: "A Ceph image, 4 KiB random reads at depth 32, beside fio's rbd engine",

  async run(say) {
    const missing = programs.filter((name) => spawnSync(name, ['--version']).error !== undefined);
    if (missing.length > 0) {
      say(`skipped: no ${missing.join(', ')}`);
      return [];
    }
    const ends: (() => void | Promise<void>)[] = [];
    try {
      const ceph = await startCeph({ after: (fn) => void ends.push(fn) });
      // fio's engine looks there.
      process.env.CEPH_CONF = ceph.conf;
      await ceph.rbd('create', '--size', '64M', 'bench');
      await fio('--rw=write', '--bs=1M', '--size=64M');
      const config = configOf(ceph);
      const timed = ['--time_based', `--runtime=${seconds}`, '--norandommap'];
      const job = ['--rw=randread', `--bs=${blockBytes}`, `--iodepth=${depth}`, ...timed];
      const [core] = cores(1);
      say('reads, in turns with fio');
      const { ours: mine, peer } = await alternate(
        () => ours(config, core!),
        () => fio(...job),
      );
      const value = mine.iops;
      const figure = { name: 'rbd, 4 KiB random read', value, unit: 'IOPS', better: 'higher' } as const;
      return [row({ ...figure, peer: { name: 'fio rbd', value: peer.iops } })];
    } finally {
      for (const end of ends.reverse()) await end();
      delete process.env.CEPH_CONF;
    }
  },
};
