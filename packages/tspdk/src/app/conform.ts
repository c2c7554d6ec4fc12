/**
 * `tspdk conform [DISK]`: whether a disk does what every disk must. The checks themselves are conform/.
 */

import { bdevRegistry } from '../bdev/index.ts';
import { CHECKS, type CheckResult, CONFORM_TIMEOUT_MS, conform as check, conformSubsystem } from '../conform/index.ts';
import { SpdkError } from '../env/errors.ts';
import { exitNow } from '../env/exit-now.ts';
import { APP_FLAGS, flagHelp, integer, parseAppArgs } from '../event/app-args.ts';
import { App, type AppOptions } from '../event/index.ts';
import { CONFORM_FLAGS } from './conform-flags.ts';
import { addFaults, createDisk, diskWords, refuseDiskWords } from './create-disk.ts';
import { parseDiskArgument } from './disk-argument.ts';
import { targetOptions, targetSubsystems } from './target.ts';

const USAGE = `usage: tspdk conform [DISK] [flags]

DISK is a size (64M: memory), null:SIZE, a file or block device, a module that defines a disk, an NBD export
(nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH) or an RBD image (rbd:POOL/IMAGE). Without it the disk is the one of
--json CONFIG that -T names. WHAT IS ON IT IS OVERWRITTEN: its first 4 MiB and its last blocks.

  tspdk conform ./my-disk.ts
  tspdk conform ./my-disk.ts --cpumask 0x3 --only unmap --only every-core
  tspdk conform disk.img --direct --json-output
  tspdk conform --json raid.json -T Raid0

Exit code 0: every check has passed, or does not apply; 1: one has failed. Ctrl-C ends the checks, and fails the one that runs.
`;

const NAME_WIDTH = 18;

function line({ name, summary, status, message }: CheckResult): string {
  const head = `${(status === 'failed' ? 'FAILED' : status).padEnd(9)}${name.padEnd(NAME_WIDTH)}`;
  if (status === 'ok') return `${head}${summary}`;
  if (status === 'skipped') return `${head}${message}`;
  return `${head}${summary}\n${(message ?? '').replaceAll(/^/gm, ' '.repeat(9))}`;
}

/** Ends the process when `made` takes too long: what never answers would not let the application end either. */
async function inTime<T>(what: string, timeoutMs: number, made: Promise<T>): Promise<T> {
  const timer = setTimeout(() => {
    console.error(`tspdk: ${what} has not been made within ${timeoutMs} ms (--io-timeout)`);
    exitNow(1);
  }, timeoutMs);
  try {
    return await made;
  } finally {
    clearTimeout(timer);
  }
}

/** Runs the checks. Resolves with the exit code. */
export async function conform(argv: readonly string[]): Promise<number> {
  let ended = false;
  // A disk's module can end the process, with any code; that is no disk that has passed.
  const onExit = (code: number): void => {
    if (ended || code !== 0) return;
    console.error('tspdk: the process ended before the checks did: something has called process.exit()');
    process.exitCode = 1;
  };
  process.once('exit', onExit);
  try {
    return await run(argv);
  } finally {
    ended = true;
    process.off('exit', onExit);
  }
}

async function run(argv: readonly string[]): Promise<number> {
  const args = parseAppArgs(argv, CONFORM_FLAGS);
  if (args.help) {
    console.log(`${USAGE}\n${flagHelp(CONFORM_FLAGS)}\n\nand those of every program:\n\n${flagHelp(APP_FLAGS)}`);
    return 0;
  }
  if (args.extra.has('list')) {
    for (const { name, summary } of CHECKS) console.log(`${name.padEnd(NAME_WIDTH)}${summary}`);
    return 0;
  }
  const one = (name: string): string | undefined => args.extra.get(name)?.[0];
  const [word, ...more] = args.rest;
  if (more.length > 0) throw new SpdkError('EINVAL', `one DISK at a time; "${more[0]}" is one too many`);
  const named = one('bdev');
  if (word === undefined && (named === undefined || args.configFile === undefined)) {
    throw new SpdkError('EINVAL', `there is no DISK to check: name one, or one of --json CONFIG with -T\n\n${USAGE}`);
  }
  if (word !== undefined && named !== undefined) {
    throw new SpdkError('EINVAL', `one disk at a time: either "${word}" or --bdev ${named}`);
  }
  const disk = word === undefined ? null : parseDiskArgument(word);
  const words = diskWords(args.extra);
  if (disk === null) refuseDiskWords(args.extra, named ?? null);
  const blockBytes = integer('block-size', one('block-size'), 512);
  const timeoutS = integer('io-timeout', one('io-timeout'), 1);
  const timeoutMs = timeoutS === undefined ? CONFORM_TIMEOUT_MS : timeoutS * 1000;
  const seed = integer('seed', one('seed'), 1);
  const json = args.extra.has('json-output');
  const stopped = new AbortController();
  let checked: Promise<void> = Promise.resolve();
  let failure: unknown = null;
  const target = targetOptions({ ...args, rest: [], rpcAddress: args.rpcAddress ?? null });
  const options: AppOptions = {
    ...target,
    name: 'tspdk_conform',
    throwOnStartFailure: true,
    subsystems: [...targetSubsystems, conformSubsystem],
    shutdownFn: () => {
      stopped.abort();
      return checked;
    },
  };
  let failed = 0;
  let cutShort = false;
  const rc = await App.start(options, async (app) => {
    const { extra } = args;
    let bdevName = named ?? '';
    if (disk === null) {
      // Partitions and RAID disks are found, not made by a call.
      await bdevRegistry(app.reactor).waitForExamine();
      await addFaults(app, bdevName, words.faults ?? []);
    } else {
      const place = { disk, readOnly: extra.has('read-only'), blockBytes, direct: extra.has('direct') };
      ({ bdevName } = await inTime(`disk "${word}"`, timeoutMs, createDisk(app, { ...words, ...place })));
    }
    const checks = async (): Promise<void> => {
      const { results, stuck } = await check(app.reactor, bdevName, {
        ...(extra.has('no-data') ? { keepsData: false } : {}),
        timeoutMs,
        signal: stopped.signal,
        ...(seed === undefined ? {} : { seed }),
        ...(extra.has('only') ? { only: extra.get('only') ?? [] } : {}),
        onResult: (result) => {
          if (!json) console.log(line(result));
        },
      });
      const of = (status: CheckResult['status']) => results.filter((result) => result.status === status).length;
      failed = of('failed');
      cutShort = stopped.signal.aborted;
      if (json)
        console.log(
          JSON.stringify({ disk: word ?? bdevName, passed: of('ok'), failed, skipped: of('skipped'), checks: results }),
        );
      else console.log(`${of('ok')} passed, ${failed} failed, ${of('skipped')} do not apply`);
      // An I/O that never ends would not let the application end either.
      if (stuck) exitNow(1);
    };
    // Not awaited: a signal is to end them.
    checked = checks()
      .catch((error: unknown) => {
        failure = error;
      })
      .finally(() => app.stop(0));
  });
  if (failure !== null) throw failure;
  return failed > 0 || cutShort ? 1 : rc;
}
