/**
 * Brings up the reactors of the other cores: real worker threads here; the simulator has a launcher of its own behind the same port.
 */
import { allocSiteTable } from '../env/alloc-site.ts';
import type { DoorbellTarget } from '../env/doorbell.ts';
import { SpdkError } from '../env/errors.ts';
import { functionTable } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import { log } from '../log/index.ts';
import { ControlLink, type ControlMessage } from './control.ts';
import { takeWorker } from './early-workers.ts';
import type { Fabric } from './fabric.ts';
import type { Reactor } from './reactor.ts';
import type { LoopOptions } from './reactor-loop.ts';
import type { WorkerBoot } from './worker.ts';

const appLog = log.register('app');

/** A reactor on another core, seen from the app core. */
export interface RemoteReactor {
  readonly core: number;
  readonly link: ControlLink;
  readonly doorbell: DoorbellTarget | null;
  /** Lets the thread end; resolves when it has. */
  end(): Promise<void>;
}

/** What a remote reactor is started with. */
export interface LaunchOptions {
  readonly fabric: Fabric;
  readonly core: number;
  readonly modules: readonly string[];
  readonly loop: LoopOptions;
  readonly pin: boolean;
  /** The app core's reactor, on which calls from the remote one run. */
  readonly local: Reactor;
  /** The thread ended though nobody asked it to. */
  readonly onDeath: (core: number, error: unknown) => void;
}

type FromWorker =
  | { readonly kind: 'ready'; readonly doorbell: DoorbellTarget | null }
  | { readonly kind: 'failed'; readonly message: string; readonly stack?: string }
  | ControlMessage;

/**
 * Starts a worker thread with a reactor and waits until it is ready.
 * @throws {SpdkError} with what the worker said when it could not load its modules or make its reactor.
 */
export function launchWorker(options: LaunchOptions): Promise<RemoteReactor> {
  const boot: WorkerBoot = {
    fabric: options.fabric,
    core: options.core,
    tables: { functions: functionTable(), sites: allocSiteTable() },
    modules: options.modules,
    loop: options.loop,
    pin: options.pin,
  };
  const worker = takeWorker(options.core);
  worker.postMessage(boot);
  const link = new ControlLink(options.local, { postMessage: (message) => worker.postMessage(message) });
  let ending = false;
  let cause: unknown = null;
  worker.on('error', (error) => {
    cause = error;
  });
  return new Promise((resolve, reject) => {
    const exited = new Promise<void>((done) => {
      worker.once('exit', (code) => {
        link.close(new SpdkError('ESHUTDOWN', `the reactor of core ${options.core} has ended`));
        const reason = cause ?? new Error(`its thread ended with exit code ${code}`);
        // Does nothing once the worker was ready.
        reject(reason);
        if (!ending) options.onDeath(options.core, reason);
        done();
      });
    });
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'failed') {
        ending = true;
        const error = new SpdkError('EINVAL', message.message);
        if (message.stack !== undefined) error.stack = message.stack;
        cause = error;
        void worker.terminate();
      } else if (message.kind === 'ready') {
        const end = async () => {
          ending = true;
          worker.postMessage({ kind: 'bye' });
          // A user's module may have left what keeps the thread.
          const timer = setTimeout(() => {
            appLog.warn(
              `core ${options.core}: its thread is kept by what a module left, a timer or a socket; it is ended`,
            );
            void worker.terminate();
          }, limits.leftovers_grace_ms);
          await exited;
          clearTimeout(timer);
        };
        resolve({ core: options.core, link, doorbell: message.doorbell, end });
      } else link.receive(message);
    });
  });
}
