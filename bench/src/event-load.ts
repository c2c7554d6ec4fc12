// What the reactors run in the event benchmarks. A module of its own, as every reactor loads it.

import { currentReactor, defineControl, defineEvent } from 'tspdk';

export const eventLoadUrl = import.meta.url;

// One reactor in an isolate here, so plain variables are its state.
let count = 0;
let running = false;
let next = 0;

/** SPDK's event_perf: count, and send the same to the next core. */
const bounce = defineEvent('bench.bounce', (a, b, c) => {
  count++;
  if (running) currentReactor().send(next, bounce, a, b, c);
});

/** Begins to bounce `inFlight` events from this core to `to`. */
export const startBounce = defineControl('bench.bounce.start', (load: { inFlight: number; to: number[] }, reactor) => {
  next = load.to[reactor.index];
  running = true;
  for (let i = 0; i < load.inFlight; i++) reactor.send(next, bounce, i, 1, 2);
});

export const stopBounce = defineControl('bench.bounce.stop', () => {
  running = false;
});

/** Events this core has run so far, and when that was. */
export const countBounces = defineControl('bench.bounce.count', () => ({ count, atMs: performance.now() }));

// Round trips: core `from` sends, the other answers, `from` sends again.
let left = 0;
let done: () => void = () => {};

const pong = defineEvent('bench.pong', () => {
  if (--left > 0) currentReactor().send(next, ping, currentReactor().core, 0, 0);
  else done();
});
const ping = defineEvent('bench.ping', (from) => currentReactor().send(from, pong, 0, 0, 0));

/** Makes `trips` round trips from this core to `to`, one after the other. Resolves to the microseconds of one. */
export function roundTrips(to: number, trips: number): Promise<number> {
  const reactor = currentReactor();
  next = to;
  left = trips;
  const started = performance.now();
  return new Promise((resolve) => {
    done = () => resolve(((performance.now() - started) * 1000) / trips);
    reactor.send(to, ping, reactor.core, 0, 0);
  });
}

/** Does nothing: what forEachReactor visits the cores with. */
export const nothing = defineEvent('bench.nothing', () => {});
