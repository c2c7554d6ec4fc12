// What a turn of a thread with 1,000 active pollers costs, for each poller, in nanoseconds.

import { localThreads, type Poller, Thread } from 'tspdk';
import { type Benchmark, median, type Row, row } from './harness.ts';
import { cores, measureIn, pause } from './run-app.ts';

const runs = 7;
const pollerCount = 1000;

interface Counter {
  calls: number;
}

/** As SPDK's poller_perf: each counts, and has found nothing to do. */
function count(counter: Counter): number {
  counter.calls++;
  return 0;
}

function nsPerPoller(): Promise<number> {
  return measureIn({ cores: cores(1), mode: 'poll' }, async (app) => {
    const { id } = Thread.create(app.reactor, { name: 'bench' });
    const thread = localThreads(app.reactor).find((each) => each.id === id) as Thread;
    const counters = Array.from({ length: pollerCount }, (): Counter => ({ calls: 0 }));
    const pollers = thread.run(() =>
      counters.map((ctx, i): Poller => thread.registerPoller({ name: `p${i}`, fn: count, ctx })),
    );
    await pause(200);
    const [before, started] = [counters[0].calls, performance.now()];
    await pause(200);
    const turns = counters[0].calls - before;
    const ns = ((performance.now() - started) * 1e6) / (turns * pollerCount);
    thread.run(() => {
      for (const poller of pollers) poller.unregister();
      thread.exit();
    });
    return ns;
  });
}

export const pollers: Benchmark = {
  name: 'pollers',
  about: 'a thread with 1,000 active pollers',
  async run(): Promise<readonly Row[]> {
    const values: number[] = [];
    for (let i = 0; i < runs; i++) values.push(await nsPerPoller());
    return [
      row({
        name: 'poller turn, 1,000 active pollers',
        value: median(values),
        unit: 'ns each',
        better: 'lower',
        target: 15,
      }),
    ];
  },
};
