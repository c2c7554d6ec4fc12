/**
 * The conformance suite (in the spirit of SPDK's bdevio): what every disk must do, whoever wrote it, as a list of checks that are run one after the other. They overwrite the disk's
 * first 4 MiB and its last blocks, and the last check removes it.
 */
import { bdevRegistry, dropSegment, shareSegment } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import type { Reactor } from '../event/reactor.ts';
import type { Check, CheckResult } from './check.ts';
import { dataChecks } from './checks-data.ts';
import { loadChecks, removalCheck } from './checks-load.ts';
import { typeChecks } from './checks-types.ts';
import { AREA_BYTES_MAX, ConformError, DiskUnderTest, NotForThisDisk } from './disk-under-test.ts';

/** All checks, in the order in which they run. */
export const CHECKS: readonly Check[] = [...dataChecks, ...typeChecks, ...loadChecks, removalCheck];

/** What an I/O may take where nothing is said; more than disks of one's own have. */
export const CONFORM_TIMEOUT_MS = 60_000;
const MEMORY_BYTES = 2 * AREA_BYTES_MAX + 1024 * 1024;

/** What is checked, and how long it may take. */
export interface ConformOptions {
  /** Whether the disk keeps what is written. Default: all but null disks do. */
  readonly keepsData?: boolean;
  /** What an I/O may take, and the disk to go, ms. Default CONFORM_TIMEOUT_MS. */
  readonly timeoutMs?: number;
  readonly seed?: number;
  /** Names of checks. Default: all. */
  readonly only?: readonly string[];
  /** Ends the checks early: the one that runs fails, and none follows. */
  readonly signal?: AbortSignal;
  /** Of each check, as soon as it is known. */
  readonly onResult?: (result: CheckResult) => void;
}

/** What came of all checks. */
export interface ConformReport {
  readonly results: readonly CheckResult[];
  /** An I/O has not ended: nor will an application that waits for it. */
  readonly stuck: boolean;
}

/**
 * Checks the disk `name`. App core only.
 * @throws {SpdkError} ENODEV; EINVAL for a check that does not exist; what opening the disk throws, and its module's `createChannel`
 */
export async function conform(reactor: Reactor, name: string, options: ConformOptions = {}): Promise<ConformReport> {
  const { only } = options;
  const unknown = only?.find((each) => !CHECKS.some((check) => check.name === each));
  if (unknown !== undefined) {
    throw new SpdkError('EINVAL', `no check "${unknown}"; there are ${CHECKS.map((check) => check.name).join(', ')}`);
  }
  const bdev = bdevRegistry(reactor).get(name);
  const segment = await shareSegment(reactor, MEMORY_BYTES);
  let disk: DiskUnderTest;
  try {
    disk = new DiskUnderTest(reactor, name, reactor.segments.get(segment), {
      keepsData: options.keepsData ?? bdev.moduleName !== 'null',
      timeoutMs: options.timeoutMs ?? CONFORM_TIMEOUT_MS,
      seed: options.seed ?? 1,
      signal: options.signal ?? null,
    });
  } catch (error) {
    await dropSegment(reactor, segment);
    throw error;
  }
  const results: CheckResult[] = [];
  for (const check of CHECKS) {
    if (only !== undefined && !only.includes(check.name)) continue;
    if (options.signal?.aborted === true) break;
    const result = await runCheck(check, disk);
    results.push(result);
    options.onResult?.(result);
  }
  disk.close();
  // What is stuck may still write to that memory.
  if (!disk.stuck) await dropSegment(reactor, segment);
  return { results, stuck: disk.stuck };
}

async function runCheck(check: Check, disk: DiskUnderTest): Promise<CheckResult> {
  const { name, summary } = check;
  const startedMs = performance.now();
  const end = (status: CheckResult['status'], message?: string): CheckResult => ({
    name,
    summary,
    status,
    ...(message === undefined ? {} : { message }),
    ms: Math.round(performance.now() - startedMs),
  });
  if (disk.stuck) return end('failed', 'an I/O of an earlier check has never ended');
  disk.begin();
  try {
    await check.run(disk);
    await disk.quiet();
    return end('ok');
  } catch (error) {
    if (error instanceof NotForThisDisk) return end('skipped', error.message);
    if (!disk.stuck) await disk.quiet().catch(() => {});
    if (error instanceof ConformError) return end('failed', error.message);
    return end('failed', error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}
