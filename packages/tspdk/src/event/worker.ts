/**
 * Entry of a worker thread: one reactor. Loads the modules the application names, joins the fabric, and answers the app core.
 *
 * The order matters: tables first (so that numbers agree), then modules (so that functions exist), then the reactor. A thread that was begun
 * early (early-workers.ts) has loaded modules before: adopting the tables numbers their functions anew.
 */
import { once } from 'node:events';
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

/** What the app core gives a worker, as its first message. */
export interface WorkerBoot {
  readonly fabric: Fabric;
  readonly core: number;
  readonly tables: ProcessTables;
  readonly modules: readonly string[];
  readonly loop: LoopOptions;
  /** Pin the thread to its core. */
  readonly pin: boolean;
}

async function main(early: readonly string[], port: MessagePort): Promise<void> {
  const loading = Promise.all(early.map((url) => import(url)));
  // What fails is told when somebody listens: below.
  loading.catch(() => {});
  const [boot] = (await once(port, 'message')) as [WorkerBoot];
  const { fabric, core } = boot;
  adoptTables(boot.tables);
  if (boot.pin) pinThread([core]);
  await loading;
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

main(workerData as readonly string[], parentPort as MessagePort).catch((thrown) => {
  const error = toSpdkError(thrown, 'the thread of a reactor');
  (parentPort as MessagePort).postMessage({ kind: 'failed', message: error.message, stack: (thrown as Error)?.stack });
});
