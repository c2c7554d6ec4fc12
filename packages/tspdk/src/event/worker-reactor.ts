/**
 * A reactor that is not the app core's, with its stand-in for the application and its link to it. worker.ts makes one in a
 * thread of its own, the simulator many in one isolate.
 */
import { log } from '../log/index.ts';
import { ControlLink, type ControlPort } from './control.ts';
import type { Fabric } from './fabric.ts';
import type { Platform } from './platform.ts';
import { ReactorHost } from './reactor-host.ts';
import type { LoopOptions } from './reactor-loop.ts';
import { WorkerApp } from './worker-app.ts';

const reactorLog = log.register('reactor');

/** What such a reactor is made of. */
export interface WorkerReactorOptions {
  readonly fabric: Fabric;
  readonly core: number;
  readonly loop: LoopOptions;
  readonly platform: Platform;
  /** To the app core. */
  readonly port: ControlPort;
}

/** Makes the reactor on the calling thread. Messages that come from the app core go to `link.receive`. */
export function makeWorkerReactor(options: WorkerReactorOptions): { host: ReactorHost; link: ControlLink } {
  const { fabric, platform } = options;
  const app = new WorkerApp(fabric.mainCore);
  const host = new ReactorHost({
    fabric,
    core: options.core,
    app,
    clock: platform.clock(),
    makeLoop: (reactor) => platform.makeLoop(reactor, options.loop),
    onFault: (error, what) => {
      reactorLog.error(`${what}: ${error instanceof Error ? error.stack : String(error)}`);
      app.stop(1);
    },
    onStall: (text, kind) => (kind === 'machine' ? reactorLog.info(text) : reactorLog.warn(text)),
  });
  const link = new ControlLink(host.reactor, options.port);
  app.attach(host.reactor, link);
  return { host, link };
}
