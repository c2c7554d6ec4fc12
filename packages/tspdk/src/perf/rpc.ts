/**
 * `perform_tests`, the RPC method of `tspdk perf` (SPDK: examples/bdev/bdevperf, which alone has it).
 */
import { SpdkError } from '../env/errors.ts';
import { parseSize } from '../env/size.ts';
import type { App } from '../event/index.ts';
import { RPC_INTERNAL_ERROR, RPC_RUNTIME, RpcError } from '../rpc/index.ts';
import { checkMix, checkPerfOptions, type PerfOptions, workloadNamed } from './options.ts';
import { perfErrors } from './result.ts';
import { perfTester } from './tester.ts';
import { WORKLOAD_NAMES } from './workload.ts';

/** @throws {SpdkError} EINVAL */
function ioBytesOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes === null) throw new SpdkError('EINVAL', `io_size "${text}": not a size like 4096, 4k or 1M`);
  return bytes;
}

export function registerPerfRpc(app: App): void {
  app.rpc.register({
    name: 'perform_tests',
    states: RPC_RUNTIME,
    params: [
      { name: 'queue_depth', type: 'uint32', description: 'I/Os under way at once, of each job' },
      { name: 'io_size', type: 'string', description: 'Bytes of an I/O: 4096, 4k, 1M' },
      { name: 'time_in_sec', type: 'uint32', description: 'Seconds' },
      { name: 'workload_type', type: 'enum', values: WORKLOAD_NAMES, description: 'What the jobs do' },
      { name: 'rw_percentage', type: 'uint8', description: 'Of reads, in 100 I/Os of rw and randrw' },
    ],
    summary:
      'Only of `tspdk perf`: runs a test and answers with its result. What is not given is as in the test before, or as the command line says.',
    handler: async (params) => {
      const tester = perfTester(app.reactor);
      await tester.ready;
      const before = tester.options;
      const workload = params.workload_type === undefined ? before.workload : workloadNamed(params.workload_type);
      if (params.rw_percentage !== undefined) checkMix(workload, `rw_percentage ${params.rw_percentage}`);
      const options: PerfOptions = {
        ...before,
        workload,
        ...(params.queue_depth === undefined ? {} : { queueDepth: params.queue_depth }),
        ...(params.io_size === undefined ? {} : { ioBytes: ioBytesOf(params.io_size) }),
        ...(params.time_in_sec === undefined ? {} : { timeUs: params.time_in_sec * 1_000_000 }),
        ...(params.rw_percentage === undefined ? {} : { readPercent: params.rw_percentage }),
      };
      checkPerfOptions(options);
      const { result } = await tester.start(options);
      tester.options = options;
      const outcome = await result;
      const [error] = perfErrors(outcome);
      if (error !== undefined) throw new RpcError(RPC_INTERNAL_ERROR, `bdevperf failed: ${error}`, outcome);
      return outcome;
    },
  });
}
