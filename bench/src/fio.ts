// One run of fio's NBD engine, and the figures of it.

import { runClient } from './processes.ts';

/** What fio is to do. */
export interface FioJob {
  readonly rw: 'randread' | 'randwrite' | 'read' | 'write';
  readonly blockBytes: number;
  readonly depth: number;
  readonly seconds: number;
}

/** What the client saw. Latencies in microseconds. */
export interface FioResult {
  readonly ios: number;
  readonly iops: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** The client's own CPU use, percent of a core. */
  readonly clientCpu: number;
}

interface FioSide {
  readonly total_ios: number;
  readonly iops: number;
  readonly clat_ns: { readonly percentile: Record<string, number> };
}

/** Runs `job` against `uri` on `core`. */
export async function fio(uri: string, job: FioJob, core: number): Promise<FioResult> {
  const out = await runClient(
    [
      'fio',
      '--name=bench',
      '--ioengine=nbd',
      `--uri=${uri}`,
      `--rw=${job.rw}`,
      `--bs=${job.blockBytes}`,
      `--iodepth=${job.depth}`,
      '--time_based',
      `--runtime=${job.seconds}`,
      '--randrepeat=1',
      '--norandommap',
      '--percentile_list=50:99:99.9',
      '--output-format=json',
    ],
    core,
  );
  // fio prints warnings before its JSON.
  const [{ read, write, usr_cpu, sys_cpu }] = JSON.parse(out.slice(out.indexOf('{'))).jobs as {
    read: FioSide;
    write: FioSide;
    usr_cpu: number;
    sys_cpu: number;
  }[];
  const side = job.rw.endsWith('read') ? read : write;
  const { percentile } = side.clat_ns;
  return {
    ios: side.total_ios,
    iops: side.iops,
    p50: percentile['50.000000'] / 1000,
    p99: percentile['99.000000'] / 1000,
    p999: percentile['99.900000'] / 1000,
    clientCpu: usr_cpu + sys_cpu,
  };
}
