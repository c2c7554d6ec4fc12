/**
 * Control messages between two simulated threads: cloned when sent, delivered in order when the scheduler says so.
 */
import type { SimCore } from './sim-core.ts';

/** One end, whose callbacks run on its thread. */
export class SimPort<M> {
  onMessage: (message: M) => void = () => {};
  /** The other end was closed; after its last message. */
  onClose: () => void = () => {};
  /** What waits for the other end's thread. */
  readonly #out: (() => void)[];
  #peer: SimPort<M> | null = null;

  private constructor(out: (() => void)[]) {
    this.#out = out;
  }

  /** The two ends of a channel between `a` and `b`. */
  static pair<M>(a: SimCore, b: SimCore): [SimPort<M>, SimPort<M>] {
    const endA = new SimPort<M>(b.inbox());
    const endB = new SimPort<M>(a.inbox());
    endA.#peer = endB;
    endB.#peer = endA;
    return [endA, endB];
  }

  /** @throws DataCloneError when the message cannot cross, as a real port does. */
  postMessage(message: M): void {
    const clone = structuredClone(message);
    this.#out.push(() => this.#peer?.onMessage(clone));
  }

  close(): void {
    this.#out.push(() => this.#peer?.onClose());
  }
}
