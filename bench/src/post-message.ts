// The peer of the event benchmarks: what Node has for two threads. A message is an object of an event's four words.
//
// `flood` is "both directions at once": each side sends batches as fast as its event loop turns, and receives meanwhile. `bounce` sends every message back
// where it came from, which is what event_perf does with events; with many in flight it is the faster of the two, so it is shown too.
//
// Both threads are pinned, each to a core of its own, as reactors are. Left alone, the scheduler puts two threads that wait for each other on one core,
// and there a message needs no wake-up of another core: that, too, is shown in rows of its own.

import { isMainThread, type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import { allowedCores, pinThread } from 'tspdk';

interface Words {
  readonly fn: number;
  readonly arg1: number;
  readonly arg2: number;
  readonly arg3: number;
}

type Order = Words | { readonly flood: boolean } | { readonly count: true } | { readonly counted: number };

const batch = 512;
/** What a side may have sent beyond what it has received: neither runs away from the other. */
const ahead = 8 * batch;

/** Sends batches, an event loop's turn each, while `flooding()`. */
function sendBatches(
  port: { postMessage(message: Words): void },
  received: () => number,
  flooding: () => boolean,
): void {
  let sent = received();
  const turn = () => {
    if (!flooding()) return;
    for (let i = 0; i < batch && sent - received() < ahead; i++) {
      port.postMessage({ fn: 7, arg1: i, arg2: 1, arg3: 2 });
      sent++;
    }
    setImmediate(turn);
  };
  turn();
}

/** A worker to exchange messages with. */
export class PostMessagePeer {
  readonly #worker: Worker;
  readonly #allowed = allowedCores();

  private constructor(worker: Worker, core: number | undefined) {
    this.#worker = worker;
    if (core !== undefined) pinThread([core]);
  }

  /** @param cores for this thread and the other one; without them neither is pinned. */
  static async start(cores: readonly number[] = []): Promise<PostMessagePeer> {
    const worker = new Worker(new URL(import.meta.url), { workerData: { core: cores[1] } });
    await new Promise((resolve) => worker.once('message', resolve));
    return new PostMessagePeer(worker, cores[0]);
  }

  /** Messages a second that both sides receive while both send all they can, for `ms` after `warmUpMs`. */
  async flood(warmUpMs: number, ms: number): Promise<number> {
    const worker = this.#worker;
    let received = 0;
    let flooding = true;
    let answer: (count: number) => void = () => {};
    worker.on('message', (message: Order) => {
      if ('fn' in message) received++;
      else if ('counted' in message) answer(message.counted);
    });
    const both = async () => {
      worker.postMessage({ count: true });
      const theirs = await new Promise<number>((resolve) => {
        answer = resolve;
      });
      return { count: received + theirs, atMs: performance.now() };
    };
    worker.postMessage({ flood: true });
    sendBatches(
      worker,
      () => received,
      () => flooding,
    );
    await new Promise((resolve) => setTimeout(resolve, warmUpMs));
    const before = await both();
    await new Promise((resolve) => setTimeout(resolve, ms));
    const after = await both();
    flooding = false;
    return ((after.count - before.count) * 1000) / (after.atMs - before.atMs);
  }

  /** Messages a second, both directions counted, with `inFlight` messages going to and fro, for `ms` after `warmUpMs`. */
  async bounce(inFlight: number, warmUpMs: number, ms: number): Promise<number> {
    const worker = this.#worker;
    let count = 0;
    worker.on('message', (message: Words) => {
      count++;
      worker.postMessage(message);
    });
    for (let i = 0; i < inFlight; i++) worker.postMessage({ fn: 7, arg1: i, arg2: 1, arg3: 2 });
    await new Promise((resolve) => setTimeout(resolve, warmUpMs));
    const before = count;
    const started = performance.now();
    await new Promise((resolve) => setTimeout(resolve, ms));
    return ((count - before) * 2000) / (performance.now() - started);
  }

  /** One round trip. */
  trip(): Promise<void> {
    return new Promise((resolve) => {
      this.#worker.once('message', () => resolve());
      this.#worker.postMessage({ fn: 7, arg1: 0, arg2: 1, arg3: 2 });
    });
  }

  /** Microseconds of a round trip, `trips` one after the other. */
  roundTrips(trips: number): Promise<number> {
    const worker = this.#worker;
    let left = trips;
    const started = performance.now();
    return new Promise((resolve) => {
      const onMessage = (message: Words) => {
        if (--left > 0) worker.postMessage(message);
        else {
          worker.off('message', onMessage);
          resolve(((performance.now() - started) * 1000) / trips);
        }
      };
      worker.on('message', onMessage);
      worker.postMessage({ fn: 7, arg1: 0, arg2: 1, arg3: 2 });
    });
  }

  /** Ends the worker, whatever is under way. */
  async stop(): Promise<void> {
    await this.#worker.terminate();
    pinThread(this.#allowed);
  }
}

/** The other thread: sends back what comes, or counts and floods. */
function answer(port: MessagePort): void {
  let received = 0;
  let flooding = false;
  port.on('message', (message: Order) => {
    if ('fn' in message) {
      if (flooding) received++;
      else port.postMessage(message);
    } else if ('count' in message) port.postMessage({ counted: received });
    else if ('flood' in message) {
      flooding = true;
      sendBatches(
        port,
        () => received,
        () => flooding,
      );
    }
  });
  port.postMessage('ready');
}

if (!isMainThread && parentPort !== null) {
  const { core } = workerData as { core: number | undefined };
  if (core !== undefined) pinThread([core]);
  answer(parentPort);
}
