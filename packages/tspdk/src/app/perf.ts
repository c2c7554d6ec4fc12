/**
 * `tspdk perf [DISK]`: how fast disks are, and whether they keep what is written (SPDK: bdevperf). The tests themselves are perf/.
 */
import { SpdkError } from '../env/errors.ts';
import { parseSize } from '../env/size.ts';
import { APP_FLAGS, type AppArgs, flagHelp, integer, parseAppArgs } from '../event/app-args.ts';
import { App, type AppOptions, type AppService } from '../event/index.ts';
import {
  changesDisk,
  checkMix,
  checkPerfOptions,
  checkZipf,
  PERF_DEFAULTS,
  type PerfOptions,
  type PerfResult,
  type PerfRun,
  perfErrors,
  perfSubsystem,
  perfTable,
  perfTester,
  WORKLOADS,
  workloadNamed,
} from '../perf/index.ts';
import { RPC_DEFAULT_PATH } from '../rpc/index.ts';
import { addFaults, createDisk, diskWords, refuseDiskWords } from './create-disk.ts';
import { parseDiskArgument } from './disk-argument.ts';
import { PERF_FLAGS } from './perf-flags.ts';
import { targetOptions, targetSubsystems } from './target.ts';
import { VERSION } from './version.ts';

const US_PER_S = 1_000_000;
const MIB = 1024 * 1024;
const PROGRESS_MS = 1000;

const USAGE = `usage: tspdk perf [DISK] [flags]

DISK is a size (1G: memory), null:SIZE (keeps nothing), a file or block device, a module that defines a disk, an NBD export
(nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH) or an RBD image (rbd:POOL/IMAGE). Without it the disks are those of
--json CONFIG. A workload that writes overwrites what is on the disk.

  tspdk perf 1G -w randread -q 32 -o 4096 -t 5
  tspdk perf disk.img -w randrw -M 70 --direct -l
  tspdk perf ./my-disk.ts -w verify -o 64k
  tspdk perf nbd://127.0.0.1:10809/disk -w randread
  tspdk perf --json config.json -m 0x3 -C -w read -o 1M

Workloads:

${Object.entries(WORKLOADS)
  .map(([name, { summary }]) => `  ${name.padEnd(14)}${summary}`)
  .join('\n')}

Exit code 1: an I/O has failed, or verify has found other data than was written. Ctrl-C ends a test early, with the results so far.
`;

/** Of a number of seconds; `otherwise` when none is given. @throws {SpdkError} EINVAL naming flag and value. */
function microseconds(flag: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const us = Math.round(Number(text) * US_PER_S);
  if (text.trim() === '' || !Number.isSafeInteger(us) || us < 0) {
    throw new SpdkError('EINVAL', `--${flag} ${text}: not a number of seconds`);
  }
  return us;
}

/** @throws {SpdkError} EINVAL naming flag, value and limit. */
function perfOptions(args: AppArgs): PerfOptions {
  const one = (name: string): string | undefined => args.extra.get(name)?.[0];
  const size = one('io-size');
  const ioBytes = size === undefined ? PERF_DEFAULTS.ioBytes : parseSize(size);
  if (ioBytes === null) throw new SpdkError('EINVAL', `--io-size ${size}: not a size like 4096, 4k or 1M`);
  const theta = one('zipf');
  if (theta !== undefined && (theta.trim() === '' || Number.isNaN(Number(theta)))) {
    throw new SpdkError('EINVAL', `--zipf ${theta}: not a number`);
  }
  const workload = workloadNamed(one('workload') ?? PERF_DEFAULTS.workload);
  const mix = one('rwmixread');
  // What is waited for may have another workload.
  if (!args.extra.has('wait-for-tests')) {
    if (mix !== undefined) checkMix(workload, `--rwmixread ${mix}`);
    if (theta !== undefined) checkZipf(workload, `--zipf ${theta}`);
  }
  const options: PerfOptions = {
    workload,
    ioBytes,
    queueDepth: integer('queue-depth', one('queue-depth'), 1) ?? PERF_DEFAULTS.queueDepth,
    timeUs: microseconds('time', one('time'), PERF_DEFAULTS.timeUs),
    ios: integer('ios', one('ios'), 1) ?? PERF_DEFAULTS.ios,
    readPercent: integer('rwmixread', mix, 0) ?? PERF_DEFAULTS.readPercent,
    bdevName: one('bdev') ?? null,
    everyCore: args.extra.has('every-core'),
    timeoutUs: microseconds('timeout', one('timeout'), PERF_DEFAULTS.timeoutUs),
    abortOnTimeout: args.extra.has('abort'),
    continueOnFailure: args.extra.has('continue-on-failure'),
    zipfTheta: theta === undefined ? PERF_DEFAULTS.zipfTheta : Number(theta),
    histogram: args.extra.has('latency'),
    seed: integer('seed', one('seed'), 0) ?? PERF_DEFAULTS.seed,
  };
  checkPerfOptions(options);
  return options;
}

/** A line on the terminal that is written again each second while a test runs. Returns what ends it. */
function showProgress(run: PerfRun): () => void {
  if (!process.stderr.isTTY) return () => {};
  const { ioBytes } = run.options;
  let seconds = 0;
  let before = 0;
  let ended = false;
  const show = (completed: number): void => {
    if (ended) return;
    const iops = completed - before;
    before = completed;
    const rate = `${Math.round(iops).toLocaleString('en')} IOPS, ${((iops * ioBytes) / MIB).toFixed(1)} MiB/s`;
    process.stderr.write(`\r\x1b[K${++seconds} s: ${rate}`);
  };
  // A core that cannot be asked any more ends the application by itself.
  const timer = setInterval(() => void run.completed().then(show, () => {}), PROGRESS_MS).unref();
  return () => {
    ended = true;
    clearInterval(timer);
    process.stderr.write('\r\x1b[K');
  };
}

function print(result: PerfResult, json: boolean): void {
  console.log(json ? JSON.stringify(result) : perfTable(result));
  for (const error of perfErrors(result)) console.error(`tspdk perf: ${error}`);
}

/** Runs one test, or those that are asked for by RPC until a signal. Resolves with the exit code. */
export async function perf(argv: readonly string[]): Promise<number> {
  const args = parseAppArgs(argv, PERF_FLAGS);
  if (args.help) {
    console.log(`${USAGE}\n${flagHelp(PERF_FLAGS)}\n\nand those of every program:\n\n${flagHelp(APP_FLAGS)}`);
    return 0;
  }
  if (args.version) {
    console.log(`tspdk v${VERSION}`);
    return 0;
  }
  const options = perfOptions(args);
  const [word, ...more] = args.rest;
  if (more.length > 0) throw new SpdkError('EINVAL', `one DISK at a time; "${more[0]}" is one too many`);
  const disk = word === undefined ? null : parseDiskArgument(word);
  const waits = args.extra.has('wait-for-tests');
  if (disk === null && args.configFile === undefined && !waits) {
    throw new SpdkError(
      'EINVAL',
      `there is no disk to test: name one, or load a configuration with --json\n\n${USAGE}`,
    );
  }
  const words = diskWords(args.extra);
  if (disk === null) refuseDiskWords(args.extra, options.bdevName);
  const json = args.extra.has('json-output');
  const blockBytes = integer('block-size', args.extra.get('block-size')?.[0], 512);
  // An RPC server only when asked for, or needed: several of these may run at once.
  const rpcAddress = args.rpcAddress ?? (waits && args.rpcAddress !== null ? RPC_DEFAULT_PATH : null);
  let failed = false;
  let markReady = (): void => {};
  // What is called meanwhile waits for the disk, or for the end.
  const readiness: AppService = {
    name: 'perf',
    start(app) {
      perfTester(app.reactor).ready = new Promise((resolve) => {
        markReady = resolve;
      });
    },
    stop: () => markReady(),
  };
  const target = targetOptions({ ...args, rest: [], rpcAddress });
  const appOptions: AppOptions = {
    ...target,
    services: [...(target.services ?? []), readiness],
    name: 'tspdk_perf',
    subsystems: [...targetSubsystems, perfSubsystem],
    throwOnStartFailure: true,
    shutdownFn: (app: App) => perfTester(app.reactor).stop(),
  };
  const rc = await App.start(appOptions, async (app) => {
    const tester = perfTester(app.reactor);
    let endProgress = (): void => {};
    tester.options = options;
    tester.onStart = (run) => {
      endProgress = showProgress(run);
    };
    tester.onResult = (result) => {
      endProgress();
      failed ||= perfErrors(result).length > 0;
      print(result, json);
    };
    if (disk !== null) {
      const readOnly = !waits && !changesDisk(WORKLOADS[options.workload]);
      await createDisk(app, { ...words, disk, readOnly, blockBytes, direct: args.extra.has('direct') });
    } else if (options.bdevName !== null) await addFaults(app, options.bdevName, words.faults ?? []);
    markReady();
    if (waits) {
      if (!json) console.log(`waiting for perform_tests on ${rpcAddress}`);
      return;
    }
    const { result } = await tester.start(options);
    void result.then(
      () => app.stop(0),
      (error: unknown) => app.fault(error, 'perf'),
    );
  });
  return failed ? 1 : rc;
}
