// The time of one event to another core and back, and of forEachReactor, in microseconds.

import { type App, currentReactor, forEachReactor } from 'tspdk';
import { eventLoadUrl, nothing, roundTrips } from './event-load.ts';
import { alternate, type Benchmark, median, type Row, row } from './harness.ts';
import { PostMessagePeer } from './post-message.ts';
import { cores, measureIn, pause } from './run-app.ts';

const runs = 7;
const trips = 20_000;
const pacedTrips = 150;

/** Microseconds of a round trip and of forEachReactor, both cores polling. */
function polling(): Promise<{ trip: number; forEach: number }> {
  const on = cores(2);
  return measureIn({ cores: on, mode: 'poll', modules: [eventLoadUrl] }, async () => {
    await roundTrips(on[1], trips);
    const trip = await roundTrips(on[1], trips);
    await forEachTrips(trips / 4);
    return { trip, forEach: await forEachTrips(trips / 2) };
  });
}

function forEachTrips(count: number): Promise<number> {
  let left = count;
  const started = performance.now();
  return new Promise((resolve) => {
    const again = () => {
      if (left-- > 0) forEachReactor(currentReactor(), nothing, 0, 0, again);
      else resolve(((performance.now() - started) * 1000) / count);
    };
    again();
  });
}

/** Median microseconds of a round trip to a core that has slept for a millisecond. */
async function paced(trip: () => Promise<unknown>): Promise<number> {
  const took: number[] = [];
  for (let i = 0; i < pacedTrips; i++) {
    await pause(1);
    const started = performance.now();
    await trip();
    took.push((performance.now() - started) * 1000);
  }
  return median(took);
}

function asleep(): Promise<number> {
  const on = cores(2);
  return measureIn({ cores: on, mode: 'adaptive', modules: [eventLoadUrl] }, (_: App) =>
    paced(() => roundTrips(on[1], 1)),
  );
}

async function withPeer<T>(body: (peer: PostMessagePeer) => Promise<T>, on = cores(2)): Promise<T> {
  const peer = await PostMessagePeer.start(on);
  try {
    return await body(peer);
  } finally {
    await peer.stop();
  }
}

export const roundTrip: Benchmark = {
  name: 'round-trip',
  about: 'an event to another core and back: both polling, the other asleep; forEachReactor',
  async run(): Promise<readonly Row[]> {
    const busy = await alternate<'trip' | 'forEach'>(
      polling,
      () => withPeer(async (peer) => ({ trip: await peer.roundTrips(trips / 4), forEach: 0 })),
      runs,
    );
    const sleepy = await alternate<'trip'>(
      async () => ({ trip: await asleep() }),
      () => withPeer(async (peer) => ({ trip: await paced(() => peer.trip()) })),
      runs,
    );
    const unit = 'µs';
    const better = 'lower';
    const loose: number[] = [];
    for (let i = 0; i < runs; i++) loose.push(await withPeer((peer) => peer.roundTrips(trips / 4), []));
    return [
      row({
        name: 'event round trip, both cores polling',
        value: busy.ours.trip,
        unit,
        better,
        peer: { name: 'postMessage', value: busy.peer.trip },
        target: 8,
      }),
      row({
        name: 'event round trip, other core asleep',
        value: sleepy.ours.trip,
        unit,
        better,
        peer: { name: 'postMessage, other thread asleep', value: sleepy.peer.trip },
        target: 1,
      }),
      row({
        name: 'forEachReactor over 2 cores',
        value: busy.ours.forEach,
        unit,
        better,
        peer: { name: 'event round trip', value: busy.ours.trip },
        target: 1 / 3,
      }),
      row({ name: '(postMessage round trip, threads not pinned)', value: median(loose), unit, better }),
    ];
  },
};
