// Events a second: to oneself, and between two cores in the pattern of SPDK's event_perf (each event is sent on to the next core).

import { spawnSync } from 'node:child_process';
import { countBounces, eventLoadUrl, startBounce, stopBounce } from './event-load.ts';
import { withFloor } from './floor.ts';
import { alternate, type Benchmark, median, type Row, row } from './harness.ts';
import { hopNs } from './hop.ts';
import { PostMessagePeer } from './post-message.ts';
import { cores, measureIn, pause } from './run-app.ts';

const runs = 7;
const runMs = 250;
const warmUpMs = 200;

/** Events a second of all cores together, `inFlight` on each core. */
function bounces(coreCount: number, inFlight: number): Promise<number> {
  const on = cores(coreCount);
  const to = on.map((_, i) => on[(i + 1) % on.length]);
  return measureIn({ cores: on, mode: 'poll', modules: [eventLoadUrl] }, async (app) => {
    await app.callAll(startBounce, { inFlight, to });
    await pause(warmUpMs);
    const before = await app.callAll(countBounces, undefined);
    await pause(runMs);
    const after = await app.callAll(countBounces, undefined);
    await app.callAll(stopBounce, undefined);
    return after.reduce(
      (sum, { count, atMs }, i) => sum + ((count - before[i].count) * 1000) / (atMs - before[i].atMs),
      0,
    );
  });
}

async function withPeer(measure: (peer: PostMessagePeer) => Promise<number>): Promise<number> {
  const peer = await PostMessagePeer.start(cores(2));
  try {
    return await measure(peer);
  } finally {
    await peer.stop();
  }
}

async function compare(name: string, coreCount: number, inFlight: number, target: number): Promise<Row> {
  const { ours, peer } = await alternate<'rate'>(
    async () => ({ rate: await bounces(coreCount, inFlight) }),
    async () => ({ rate: await withPeer((each) => each.flood(warmUpMs, runMs)) }),
    runs,
  );
  return row({
    name,
    value: ours.rate,
    unit: 'events/s',
    better: 'higher',
    peer: { name: 'postMessage, both directions at once', value: peer.rate },
    target,
  });
}

/** What the same pattern as ours gives with postMessage; no target, for those who wonder. */
async function bouncing(inFlight: number): Promise<Row> {
  const rates: number[] = [];
  for (let i = 0; i < runs; i++) rates.push(await withPeer((peer) => peer.bounce(inFlight, warmUpMs, runMs)));
  return row({
    name: `(postMessage bouncing ${inFlight} messages)`,
    value: median(rates),
    unit: 'messages/s',
    better: 'higher',
  });
}

/** What the same ring reaches in C; no target. */
function floorOf(inFlight: number): Promise<Row[]> {
  return withFloor('events', async (program) => {
    if (program === undefined) return [];
    const args = [...cores(2), inFlight].map(String);
    const rates = Array.from({ length: runs }, () => Number(spawnSync(program, args, { encoding: 'utf8' }).stdout));
    return [
      row({
        name: `(the same ring in C, ${inFlight} in flight)`,
        value: median(rates),
        unit: 'events/s',
        better: 'higher',
      }),
    ];
  });
}

/** The floor under what goes between cores; no target. */
async function hop(): Promise<Row> {
  const ns: number[] = [];
  for (let i = 0; i < runs; i++) ns.push(await hopNs(cores(2)));
  return row({ name: '(a word from core to core, Atomics alone)', value: median(ns), unit: 'ns', better: 'lower' });
}

export const events: Benchmark = {
  name: 'events',
  about: 'events a second, to oneself and between two cores, beside postMessage',
  async run(): Promise<readonly Row[]> {
    return [
      await compare('events to oneself, 512 in flight', 1, 512, 150),
      await compare('events between 2 cores, 8 in flight', 2, 4, 40),
      ...(await floorOf(8)),
      await compare('events between 2 cores, 512 in flight', 2, 256, 200),
      ...(await floorOf(512)),
      await hop(),
      await bouncing(8),
      await bouncing(512),
    ];
  },
};
