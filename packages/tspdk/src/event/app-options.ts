/**
 * What an application is started with, and the checks that turn it into something definite.
 */
import { allowedCores } from '../env/affinity.ts';
import { SpdkError } from '../env/errors.ts';
import type { IoBufOptions } from '../env/iobuf.ts';
import { limits } from '../env/limits.ts';
import type { App } from './app.ts';
import { type Platform, realPlatform } from './platform.ts';
import type { LoopOptions } from './reactor-loop.ts';
import type { Subsystem } from './subsystem.ts';

/** Something that accompanies the whole life of an application without being a subsystem: the RPC server, a configuration file. */
export interface AppService {
  readonly name: string;
  /** File URLs of modules that every reactor loads. */
  readonly modules?: readonly string[];
  /** Reactors run, no subsystem is initialised. */
  start?(app: App): Promise<void> | void;
  /** Subsystems have registered their RPC methods; resolves when initialisation may begin (`--wait-for-rpc`). */
  beforeInit?(app: App): Promise<void> | void;
  /** All subsystems are initialised; the start function comes next. */
  afterInit?(app: App): Promise<void> | void;
  /** First thing of the shutdown after the application's own function; in reverse order. */
  stop?(app: App): Promise<void> | void;
}

/** Options of `App.start`. */
export interface AppOptions {
  /** Name in messages. Default "tspdk". */
  readonly name?: string;
  /** Core numbers. Default: core 0 of those the process may use. */
  readonly cores?: readonly number[];
  /** The core whose reactor the main thread is. Default: the lowest. */
  readonly mainCore?: number;
  /** Idle behaviour; default adaptive. */
  readonly mode?: LoopOptions['mode'];
  readonly idlePollUs?: number;
  /** Pin threads to their cores. Default true; cores the process may not use are then refused. */
  readonly pin?: boolean;
  readonly subsystems?: readonly Subsystem[];
  readonly services?: readonly AppService[];
  /** File URLs of modules that every reactor loads, beyond those of the subsystems. */
  readonly modules?: readonly string[];
  /** Stop on SIGINT and SIGTERM. Default true. */
  readonly signals?: boolean;
  /** Runs when the application stops and its subsystems have heard of it, before anything is taken down (SPDK: shutdown_cb). */
  readonly shutdownFn?: (app: App) => Promise<void> | void;
  /** Shared heap, bytes. */
  readonly heapBytes?: number;
  /** I/O buffer pools. */
  readonly iobuf?: IoBufOptions;
  /** Events one mailbox holds, a power of two. Default `limits.mailbox_events`, less where there are many cores. */
  readonly mailboxEvents?: number;
  /** Reject instead of resolving with 1 when start-up fails. Default true: the error says more than a number. */
  readonly throwOnStartFailure?: boolean;
  /** Doorbells without FFI, for tests. */
  readonly nativeDoorbell?: boolean;
  readonly platform?: Platform;
}

/** Options with every default filled in. */
export interface ResolvedOptions {
  readonly name: string;
  readonly cores: readonly number[];
  readonly mainCore: number;
  readonly loop: LoopOptions;
  readonly pin: boolean;
  readonly subsystems: readonly Subsystem[];
  readonly services: readonly AppService[];
  readonly modules: readonly string[];
  readonly signals: boolean;
  readonly shutdownFn: ((app: App) => Promise<void> | void) | undefined;
  readonly heapBytes: number | undefined;
  readonly iobuf: IoBufOptions | undefined;
  readonly mailboxEvents: number | undefined;
  readonly throwOnStartFailure: boolean;
  readonly platform: Platform;
}

/** @throws {SpdkError} EINVAL naming the option, its value and the limit. */
export function resolveOptions(options: AppOptions): ResolvedOptions {
  const pin = options.pin ?? true;
  const allowed = allowedCores();
  const cores = [...new Set(options.cores ?? [allowed[0] ?? 0])].sort((a, b) => a - b);
  if (cores.length === 0) throw new SpdkError('EINVAL', 'the application has no cores: the core mask is empty');
  if (cores.length > limits.reactors_max) {
    throw new SpdkError('EINVAL', `${cores.length} cores asked for, limit ${limits.reactors_max}`);
  }
  for (const core of cores) {
    if (!Number.isInteger(core) || core < 0 || core >= limits.cores_max) {
      throw new SpdkError('EINVAL', `core ${core}: not in 0 to ${limits.cores_max - 1}`);
    }
    if (pin && !allowed.includes(core)) {
      throw new SpdkError('EINVAL', `core ${core} is not available: this process may use ${allowed.join(',')}`);
    }
  }
  const mainCore = options.mainCore ?? (cores[0] as number);
  if (!cores.includes(mainCore)) {
    throw new SpdkError('EINVAL', `main core ${mainCore} is not in the core mask (${cores.join(',')})`);
  }
  return {
    name: options.name ?? 'tspdk',
    cores,
    mainCore,
    loop: {
      mode: options.mode ?? 'adaptive',
      ...(options.idlePollUs === undefined ? {} : { idlePollUs: options.idlePollUs }),
      ...(options.nativeDoorbell === undefined ? {} : { nativeDoorbell: options.nativeDoorbell }),
    },
    pin,
    subsystems: options.subsystems ?? [],
    services: options.services ?? [],
    modules: options.modules ?? [],
    signals: options.signals ?? true,
    shutdownFn: options.shutdownFn,
    heapBytes: options.heapBytes,
    iobuf: options.iobuf,
    mailboxEvents: options.mailboxEvents,
    throwOnStartFailure: options.throwOnStartFailure ?? true,
    platform: options.platform ?? realPlatform,
  };
}
