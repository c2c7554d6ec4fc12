/**
 * Entry of a worker thread: one reactor. Loads the modules the application names, joins the fabric, and answers the app core.
 *
 * The order matters: tables first (so that numbers agree), then modules (so that functions exist), then the reactor.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { pinThread } from '../env/affinity.ts';
import { current } from '../env/current.ts';
import { toSpdkError } from '../env/errors.ts';
import { log } from '../log/index.ts';
import { ControlLink, type ControlMessage } from './control.ts';
import type { Fabric } from './fabric.ts';
import { realPlatform } from './platform.ts';
import { adoptTables, type ProcessTables, ReactorHost } from './reactor-host.ts';
import type { LoopOptions } from './reactor-loop.ts';
import { WorkerApp } from './worker-app.ts';

/** What the app core gives a worker. */
export interface WorkerBoot {
  readonly fabric: Fabric;
  readonly core: number;
  readonly tables: ProcessTables;
  readonly modules: readonly string[];
  readonly loop: LoopOptions;
  /** Pin the thread to its core. */
  readonly pin: boolean;
}

const reactorLog = log.register('reactor');

async function main(boot: WorkerBoot, port: MessagePort): Promise<void> {
  const { fabric, core } = boot;
  adoptTables(boot.tables);
  if (boot.pin) pinThread([core]);
  for (const url of boot.modules) await import(url);
  const app = new WorkerApp(fabric.mainCore);
  const host = new ReactorHost({
    fabric,
    core,
    app,
    clock: realPlatform.clock(),
    makeLoop: (reactor) => realPlatform.makeLoop(reactor, boot.loop),
    onFault: (error, what) => {
      reactorLog.error(`${what}: ${error instanceof Error ? error.stack : String(error)}`);
      app.stop(1);
    },
    onStall: (what, ms) => reactorLog.warn(`${what} did not come back for ${Math.round(ms)} ms`),
  });
  current.reactor = host.reactor;
  const link = new ControlLink(host.reactor, { postMessage: (message) => port.postMessage(message) });
  app.attach(host.reactor, link);
  port.on('message', (message: ControlMessage | { kind: 'bye' }) => {
    if (message.kind === 'bye') port.close();
    else link.receive(message);
  });
  port.postMessage({ kind: 'ready', doorbell: host.loop.target });
}

main(workerData as WorkerBoot, parentPort as MessagePort).catch((thrown) => {
  const error = toSpdkError(thrown, `reactor ${(workerData as WorkerBoot).core}`);
  (parentPort as MessagePort).postMessage({ kind: 'failed', message: error.message, stack: (thrown as Error)?.stack });
});
