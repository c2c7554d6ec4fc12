/**
 * Tests of disks: how fast they are, and whether they keep what is written (SPDK: examples/bdev/bdevperf). What others may use of this folder.
 */
import type { Subsystem } from '../event/index.ts';
import './job-control.ts';
import { registerPerfRpc } from './rpc.ts';
import { perfTester } from './tester.ts';

export { checkMix, checkPerfOptions, checkZipf, PERF_DEFAULTS, type PerfOptions, workloadNamed } from './options.ts';
export { type JobResult, type PerfFigures, type PerfResult, perfErrors } from './result.ts';
export { PerfRun } from './run.ts';
export { perfTable } from './table.ts';
export { PerfTester, perfTester } from './tester.ts';
export { changesDisk, WORKLOAD_NAMES, WORKLOADS, type WorkloadName } from './workload.ts';

/** The tests as a part of an application. */
export const perfSubsystem: Subsystem = {
  name: 'perf',
  dependsOn: ['bdev'],
  modules: [import.meta.url],
  registerRpc: registerPerfRpc,
  fini: (app) => perfTester(app.reactor).stop(),
};
