/**
 * Entry of a worker thread: one reactor. Loads the modules the application names, joins the fabric, and answers the app core.
 *
 * The order matters: tables first (so that numbers agree), then modules (so that functions exist), then the reactor.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { pinThread } from '../env/affinity.ts';
import { current } from '../env/current.ts';
import { toSpdkError } from '../env/errors.ts';
import type { ControlMessage } from './control.ts';
import type { Fabric } from './fabric.ts';
import { realPlatform } from './platform.ts';
import { adoptTables, type ProcessTables } from './reactor-host.ts';
import type { LoopOptions } from './reactor-loop.ts';
import { makeWorkerReactor } from './worker-reactor.ts';

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

async function main(boot: WorkerBoot, port: MessagePort): Promise<void> {
  const { fabric, core } = boot;
  adoptTables(boot.tables);
  if (boot.pin) pinThread([core]);
  for (const url of boot.modules) await import(url);
  const { host, link } = makeWorkerReactor({
    fabric,
    core,
    loop: boot.loop,
    platform: realPlatform,
    port: { postMessage: (message) => port.postMessage(message) },
  });
  current.reactor = host.reactor;
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
