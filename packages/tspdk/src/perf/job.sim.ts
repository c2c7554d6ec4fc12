/**
 * Tests of disks on reactors that turn when a test says so: time passes as the test wants, and stub disks complete when it wants.
 */
import { type Cluster, type ClusterOptions, startCluster } from '../bdev/cluster.sim.ts';
import { PERF_DEFAULTS, type PerfOptions } from './options.ts';
import type { PerfResult } from './result.ts';
import { PerfRun } from './run.ts';
import '../bdev/stub-module.sim.ts';
import { malloc } from '../module/bdev/malloc/malloc-setup.sim.ts';
import '../module/bdev/null/null-bdev.ts';

export interface PerfCluster {
  readonly cluster: Cluster;
  /** Prepares a test. */
  prepare(options: Partial<PerfOptions>): Promise<PerfRun>;
  /** Runs one to its end. */
  perform(options: Partial<PerfOptions>): Promise<PerfResult>;
  close(): Promise<void>;
}

export async function perfCluster(options: ClusterOptions = {}): Promise<PerfCluster> {
  const cluster = await startCluster(options);
  const prepare = (given: Partial<PerfOptions>): Promise<PerfRun> =>
    cluster.until(PerfRun.prepare(cluster.reactors[0], { ...PERF_DEFAULTS, ...given }));
  return {
    cluster,
    prepare,
    perform: async (given) => cluster.until((await prepare(given)).run()),
    close: () => cluster.close(),
  };
}

/** A disk in memory of so many blocks of 512 bytes. */
export async function memoryDisk({ cluster }: PerfCluster, name: string, blocks: number): Promise<void> {
  await malloc(cluster, name, blocks);
}

/** A disk whose I/Os the test completes. */
export async function stubDisk({ cluster }: PerfCluster, name: string, blocks = 1024): Promise<void> {
  await cluster.until(cluster.bdevs.create('stub', { name, blocks }));
}
