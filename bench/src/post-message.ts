// The peer of the event benchmarks: what Node has for two threads. The fairest form of it: a number as the message, nothing to clone.

import { isMainThread, parentPort, Worker } from 'node:worker_threads';

/** A worker to exchange messages with. */
export class PostMessagePeer {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  static async start(): Promise<PostMessagePeer> {
    const worker = new Worker(new URL(import.meta.url));
    await new Promise((resolve) => worker.once('message', resolve));
    return new PostMessagePeer(worker);
  }

  /** Messages a second, both directions counted, with `inFlight` messages bouncing for `ms`. */
  async throughput(inFlight: number, ms: number): Promise<number> {
    const worker = this.#worker;
    let count = 0;
    let running = true;
    let returned = 0;
    const drained = new Promise<void>((resolve) => {
      worker.on('message', (message: number) => {
        count++;
        if (running) worker.postMessage(message);
        else if (++returned === inFlight) resolve();
      });
    });
    for (let i = 0; i < inFlight; i++) worker.postMessage(i);
    await new Promise((resolve) => setTimeout(resolve, ms / 10));
    const before = count;
    const started = performance.now();
    await new Promise((resolve) => setTimeout(resolve, ms));
    const perSecond = ((count - before) * 2000) / (performance.now() - started);
    running = false;
    await drained;
    worker.removeAllListeners('message');
    return perSecond;
  }

  /** One round trip. */
  trip(): Promise<void> {
    return new Promise((resolve) => {
      this.#worker.once('message', () => resolve());
      this.#worker.postMessage(0);
    });
  }

  /** Microseconds of a round trip, `trips` one after the other. */
  roundTrips(trips: number): Promise<number> {
    const worker = this.#worker;
    let left = trips;
    const started = performance.now();
    return new Promise((resolve) => {
      const onMessage = () => {
        if (--left > 0) worker.postMessage(left);
        else {
          worker.off('message', onMessage);
          resolve(((performance.now() - started) * 1000) / trips);
        }
      };
      worker.on('message', onMessage);
      worker.postMessage(left);
    });
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  port.on('message', (message: number) => port.postMessage(message));
  port.postMessage(-1);
}
