/**
 * The reactor's io_uring as one of the things it polls: submitted and reaped once a turn, armed to wake the core before it sleeps.
 */
import { Ring } from '../env/uring.ts';
import type { Pollable } from './pollable.ts';
import type { Reactor } from './reactor.ts';

/** Polls one ring. */
class RingPollable implements Pollable {
  readonly name = 'io_uring';
  readonly #ring: Ring;

  constructor(ring: Ring) {
    this.#ring = ring;
  }

  poll(): number {
    return this.#ring.poll();
  }

  nextPollUs(): number {
    return Number.POSITIVE_INFINITY;
  }

  armWake(): boolean {
    this.#ring.armEventfd();
    return !this.#ring.pending;
  }

  disarmWake(): void {
    this.#ring.disarmEventfd();
  }
}

/**
 * Opens the ring of `reactor`, or notes why there is none. `wakeFd` is the eventfd that completions ring; -1 when the doorbell has none, and then
 * there is no ring either, as nothing could wake a sleeping core. The reactor's own thread. Returns what closes it.
 */
export function openReactorRing(reactor: Reactor, wakeFd: number): () => void {
  if (wakeFd < 0) {
    reactor.ringReason = 'no FFI, so no eventfd that could wake the reactor';
    return () => {};
  }
  const ring = Ring.open();
  if (!(ring instanceof Ring)) {
    reactor.ringReason = ring.reason;
    return () => {};
  }
  ring.registerEventfd(wakeFd);
  ring.onQueued = () => reactor.kick();
  reactor.ring = ring;
  reactor.segments.onDetach = (segment) => ring.fixed.removeSegment(segment);
  const pollable = new RingPollable(ring);
  reactor.addPollable(pollable);
  return () => {
    reactor.removePollable(pollable);
    reactor.segments.onDetach = () => {};
    reactor.ring = null;
    ring.close();
  };
}
