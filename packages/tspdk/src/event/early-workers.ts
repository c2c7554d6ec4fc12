/**
 * Threads of reactors, made before the application is: to load the kit takes longer than all the rest of a start, and threads can do it side by side.
 *
 * A command names the cores as soon as it has read its arguments; their threads load what the command is going to load itself, and wait. The
 * launcher takes them over, or makes threads where there are none yet. One that nobody takes keeps no process alive.
 */
import { Worker } from 'node:worker_threads';

const early = new Map<number, Worker>();

/** Begins a thread for the reactor of `core`, which loads `modules` (file URLs) before it is told what application it is part of. Main thread. */
export function startEarlyWorker(core: number, modules: readonly string[]): void {
  const worker = makeWorker(core, modules);
  worker.unref();
  early.set(core, worker);
}

/** The thread of `core`: the one that was begun, or a new one. It waits for its WorkerBoot. Main thread. */
export function takeWorker(core: number): Worker {
  const worker = early.get(core);
  if (worker === undefined) return makeWorker(core, []);
  early.delete(core);
  worker.ref();
  return worker;
}

function makeWorker(core: number, modules: readonly string[]): Worker {
  return new Worker(new URL('./worker.js', import.meta.url), { workerData: modules, name: `reactor_${core}` });
}
