/**
 * One test, from the app core: which job runs on which core, their beginning and their end. Control path.
 */
import { type Bdev, bdevRegistry, dropSegment, shareSegment } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { localKey, type Reactor } from '../event/index.ts';
import { closeJob, type JobSpec, openJob, runJob, sampleJob, segmentBytes, stopJob } from './job-control.ts';
import { checkPerfOptions, type PerfOptions } from './options.ts';
import { type PerfResult, perfResult } from './result.ts';
import { WORKLOADS } from './workload.ts';

const ids = localKey('perf.job_ids', () => ({ last: 0 }));

/** A job before it has memory. */
type Plan = Omit<JobSpec, 'id' | 'segmentId'>;

/** The part of a disk that one of its `jobs` jobs has. @throws {SpdkError} EINVAL, ENOTSUP: why the disk is none for this test. */
function partOf(bdev: Bdev, options: PerfOptions, index: number, jobs: number): { first: number; places: number } {
  const { name, dataSizeBytes: sizeBytes } = bdev;
  const blockSizeBytes = bdev.metadata?.dataBytes ?? bdev.blockSizeBytes;
  const { ioBytes, queueDepth } = options;
  const workload = WORKLOADS[options.workload];
  if (ioBytes % blockSizeBytes !== 0) {
    throw new SpdkError('EINVAL', `I/O size ${ioBytes}: bdev "${name}" has blocks of ${blockSizeBytes} bytes`);
  }
  if (ioBytes > sizeBytes) throw new SpdkError('EINVAL', `I/O size ${ioBytes}: bdev "${name}" has ${sizeBytes} bytes`);
  if (!bdev.ioTypeSupported(workload.type)) {
    throw new SpdkError('ENOTSUP', `workload "${options.workload}": bdev "${name}" cannot do that`);
  }
  const all = Math.floor(sizeBytes / ioBytes);
  if (!workload.verify) return { first: 0, places: Math.min(all, limits.perf_places_max) };
  // Nobody else may write where a job verifies.
  const places = Math.min(Math.floor(all / jobs), limits.perf_verify_places_max);
  if (places < queueDepth) {
    throw new SpdkError(
      'EINVAL',
      `queue depth ${queueDepth}: bdev "${name}" has room for ${places} I/Os of ${ioBytes} bytes in each of ${jobs} job(s), and each needs its own place`,
    );
  }
  return { first: index * places, places };
}

/** Who does what where. @throws {SpdkError} ENODEV when there is no disk; as partOf. */
function plan(reactor: Reactor, options: PerfOptions): Plan[] {
  const registry = bdevRegistry(reactor);
  const bdevs = options.bdevName === null ? registry.list() : [registry.get(options.bdevName)];
  if (bdevs.length === 0) throw new SpdkError('ENODEV', 'there is no bdev to test');
  const { cores } = reactor;
  return bdevs.flatMap((bdev, nth) => {
    const on = options.everyCore ? cores : [cores[nth % cores.length]];
    return on.map((core, index): Plan => {
      const { first, places } = partOf(bdev, options, index, on.length);
      const seed = (options.seed + Math.imul(nth * cores.length + index, 0x9e3779b1)) | 0;
      return { bdevName: bdev.name, core, options, seed, firstPlace: first, places };
    });
  });
}

/** One test, prepared and run once. App core only. */
export class PerfRun {
  readonly options: PerfOptions;
  readonly #reactor: Reactor;
  readonly #specs: JobSpec[] = [];
  #stopped = false;

  private constructor(reactor: Reactor, options: PerfOptions) {
    this.#reactor = reactor;
    this.options = options;
  }

  /**
   * Makes the jobs of a test, ready to run. App core only. The caller runs it, or closes it.
   * @throws {SpdkError} EINVAL, ENODEV, ENOTSUP, EROFS, EPERM, ENOMEM: what is wrong with which option or disk. Nothing is left behind then.
   */
  static async prepare(reactor: Reactor, options: PerfOptions): Promise<PerfRun> {
    checkPerfOptions(options);
    const plans = plan(reactor, options);
    const run = new PerfRun(reactor, options);
    try {
      for (const each of plans) {
        const id = ++reactor.local(ids).last;
        const spec: JobSpec = { ...each, id, segmentId: await shareSegment(reactor, segmentBytes(options)) };
        run.#specs.push(spec);
        await reactor.app.call(spec.core, openJob, spec);
      }
    } catch (error) {
      await run.close();
      throw error;
    }
    return run;
  }

  /** What runs where, for people. */
  get jobs(): readonly { readonly bdevName: string; readonly core: number }[] {
    return this.#specs;
  }

  /**
   * Runs all jobs to their end, or until they are stopped, and gives everything back.
   * @throws {SpdkError} ESHUTDOWN when a core has died; the jobs of the others have ended then.
   */
  async run(): Promise<PerfResult> {
    const { app } = this.#reactor;
    const specs = [...this.#specs];
    const settled = await Promise.allSettled(
      specs.map(async ({ core, id }) => {
        try {
          return await app.call(core, runJob, id);
        } catch (error) {
          void this.stop();
          throw error;
        }
      }),
    );
    await this.close();
    return perfResult(
      specs,
      settled.map((each) => {
        if (each.status === 'rejected') throw each.reason;
        return each.value;
      }),
    );
  }

  /** Ends all jobs before their time; `run` resolves when their last I/Os are back. Any number of times. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    const { app } = this.#reactor;
    // A core that cannot be asked has no job any more.
    await Promise.allSettled(this.#specs.map(({ core, id }) => app.call(core, stopJob, id)));
  }

  /** I/Os completed so far by all jobs. */
  async completed(): Promise<number> {
    const { app } = this.#reactor;
    const each = await Promise.all(this.#specs.map(({ core, id }) => app.call(core, sampleJob, id)));
    return each.reduce((all, one) => all + one, 0);
  }

  /** Gives everything back; nothing runs. */
  async close(): Promise<void> {
    const { app } = this.#reactor;
    const specs = this.#specs.splice(0);
    await Promise.allSettled(specs.map(({ core, id }) => app.call(core, closeJob, id)));
    await Promise.allSettled(specs.map(({ segmentId }) => dropSegment(this.#reactor, segmentId)));
  }
}
