/** Rate limits: what is kept for what waits, and for whom it is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BdevIo } from './bdev-io.ts';
import { TestClock } from './cluster.sim.ts';
import { IO_READ, IO_WRITE } from './io-type.ts';
import { createQosState, NO_QOS, Qos, type QosLimits, writeLimits } from './qos.ts';
import { timed } from './stub-setup.sim.ts';

const KIB = 1024;
const MINUTES = 60_000;

/** A disk of two cores with limits, at the beginning of a slice. */
async function limited(limits: Partial<QosLimits>) {
  const parts = await timed(2);
  const { clock, cluster, bdev, cores, buf, cb } = parts;
  const pass = (ms: number): void => {
    clock.nowUs += ms * 1000;
  };
  await cluster.until(cluster.bdevs.setRates('S', limits));
  pass(1);
  const counted = new Qos(bdev.spec.qos, clock);
  const read = (core: number, count: number, bytes = 512): void => {
    for (let i = 0; i < count; i++) assert.equal(cores[core].channel.read(buf, 0, 0, bytes, cb, `r${i}`), 0);
  };
  const write = (core: number, count: number, bytes = 512): void => {
    for (let i = 0; i < count; i++) assert.equal(cores[core].channel.write(buf, 0, 0, bytes, cb, `w${i}`), 0);
  };
  /** One core looks, the other does not. @returns what it did */
  const serveOn = (core: number): number => {
    const { stub } = cores[core];
    cluster.reactors[core].turn();
    const count = stub.outstanding.length;
    stub.complete(count);
    cluster.reactors[core].turn();
    return count;
  };
  /** Lets all go that waits. */
  const close = async (): Promise<void> => {
    await cluster.until(cluster.bdevs.setRates('S', { ...NO_QOS }));
    parts.serve();
    await parts.close();
  };
  return { ...parts, pass, counted, read, write, serveOn, close };
}

for (const way of ['aborted', 'reset'] as const) {
  test(`nothing is kept for what was refused and then ${way}`, async () => {
    const { clock, cluster, cores, cb, done, read, serve, pass, close } = await limited({ rw_ios_per_sec: 1000 });
    const [{ channel, stub }] = cores;
    read(0, 2);
    assert.equal(stub.outstanding.length, 1);
    if (way === 'aborted') assert.equal(channel.abort('r1'), 1);
    else assert.equal(channel.reset(cb, 'reset'), 0);
    await cluster.untilTrue(() => {
      clock.nowUs += way === 'reset' ? 20 : 0;
      stub.complete(1);
      return done.length === (way === 'reset' ? 3 : 2);
    });
    pass(10 * MINUTES);
    read(0, 1500);
    assert.equal(serve(), 1);
    await close();
  });
}

test('what waits on a late core has what another core, which is in time and never waits, leaves of each slice', async () => {
  for (const late of [1, 5, 10, 50]) {
    const { read, serveOn, pass, close } = await limited({ rw_ios_per_sec: 10_000 });
    read(0, 10_000);
    const counts = [serveOn(0), 0];
    for (let ms = 1; ms <= 1000; ms++) {
      pass(1);
      read(1, 1);
      counts[1] += serveOn(1);
      if (ms % late === 0) counts[0] += serveOn(0);
    }
    assert.deepEqual(counts, [10 + 9 * 1000, 1000], `late by ${late} ms`);
    await close();
  }
});

test('a wait for one limit keeps nothing of another, which somebody else then had at once', async () => {
  const { read, write, serve, pass, close } = await limited({ rw_ios_per_sec: 10_000, w_mbytes_per_sec: 1 });
  write(0, 4 * KIB);
  for (let ms = 0; ms < 500; ms++) {
    pass(1);
    serve();
  }
  pass(1);
  read(1, 1000);
  const atOnce = serve();
  assert.ok(atOnce <= 21, `${atOnce} at once, of 10 a slice`);
  await close();
});

test('two limits of which now one and now the other refuses: a late core has both', async () => {
  // 10 of 4 KiB a slice, and 10.24.
  const { read, serveOn, pass, close } = await limited({ rw_ios_per_sec: 10_000, r_mbytes_per_sec: 40 });
  read(0, 6000, 4 * KIB);
  serveOn(0);
  for (let look = 0; look < 10; look++) {
    pass(50);
    assert.equal(serveOn(0), 500);
  }
  await close();
});

test('two cores that wait for a limit each: one that looks at each slice takes nothing from the late one', async () => {
  // 1048 bytes a slice of writes, 10 times 1048 of reads.
  const { read, write, serveOn, pass, close } = await limited({ w_mbytes_per_sec: 1, r_mbytes_per_sec: 10 });
  write(0, 2000, KIB);
  read(1, 6000, KIB);
  const counts = [serveOn(0), serveOn(1)];
  for (let ms = 1; ms <= 500; ms++) {
    pass(1);
    counts[0] += serveOn(0);
    if (ms % 50 === 0) counts[1] += serveOn(1);
  }
  const slices = 1 + 500;
  assert.deepEqual(counts, [Math.ceil((slices * 1048) / KIB), Math.ceil((slices * 10485) / KIB)]);
  await close();
});

test('what the last that waited leaves is not there for others', async () => {
  const { read, serveOn, pass, close } = await limited({ rw_ios_per_sec: 10_000 });
  read(0, 10 + 3);
  assert.equal(serveOn(0), 10);
  pass(50);
  assert.equal(serveOn(0), 3, 'of 500');
  read(1, 1000);
  assert.equal(serveOn(1), 10, 'a slice');
  await close();
});

test('a debt is paid by the slices that pass on a late core', async () => {
  // 1048 bytes a slice.
  const { read, write, serveOn, pass, close } = await limited({ w_mbytes_per_sec: 1 });
  write(0, 4, 100 * KIB);
  assert.equal(serveOn(0), 1);
  const counts: number[] = [];
  for (let look = 0; look < 6; look++) {
    for (let ms = 0; ms < 49; ms++) {
      pass(1);
      read(1, 1);
      serveOn(1);
    }
    counts.push(serveOn(0));
  }
  assert.deepEqual(counts, [0, 1, 0, 1, 0, 1], '102400 bytes are 97.7 slices');
  await close();
});

type Limited = Awaited<ReturnType<typeof limited>>;
const WAYS: Record<string, (parts: Limited) => Promise<void>> = {
  'they have all had their turn': async ({ serve, pass }) => {
    for (let ms = 0; ms < 4; ms++) {
      pass(1);
      serve();
    }
  },
  'each is aborted': async ({ cores }) => {
    for (const { channel } of cores) for (const name of ['r0', 'r1', 'r2', 'r3']) channel.abort(name);
  },
  'a reset': async ({ cluster, clock, cores, cb, done }) => {
    assert.equal(cores[0].channel.reset(cb, 'reset'), 0);
    await cluster.untilTrue(() => {
      clock.nowUs += 20;
      return done.includes('reset 0');
    });
  },
  'the limits are taken away': async ({ cluster }) => {
    await cluster.until(cluster.bdevs.setRates('S', { ...NO_QOS }));
  },
  'the limit that refuses is taken away, and another stays': async ({ cluster }) => {
    await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: 0, rw_mbytes_per_sec: 100 }));
  },
  'the disk is removed': async ({ cluster, serve }) => {
    const removal = cluster.bdevs.delete('S');
    let gone = false;
    removal.then(() => {
      gone = true;
    });
    await cluster.untilTrue(() => {
      serve();
      return gone;
    });
  },
  'the channels are closed': async ({ cores, serve, pass }) => {
    const bdevs = cores.map(({ desc }) => desc.bdev);
    for (const { desc } of cores) desc.close();
    while (bdevs.some(({ channels }) => channels.size > 0)) {
      pass(1);
      serve();
    }
  },
};
for (const [name, go] of Object.entries(WAYS)) {
  test(`nothing is counted as waiting: ${name}`, async () => {
    const parts = await limited({ rw_ios_per_sec: 2000, rw_mbytes_per_sec: 100 });
    const { counted, read, cluster } = parts;
    for (const core of [0, 1]) read(core, 4);
    assert.equal(counted.waiting, 2, 'one gate a core');
    await go(parts);
    assert.equal(counted.waiting, 0);
    if (cluster.bdevs.has('S')) await parts.close();
    else await cluster.close();
  });
}

test('as many gates are counted as something waits in, whatever happens', async () => {
  const step = fc.oneof(
    fc.record({ what: fc.constant('read' as const), core: fc.nat(1), count: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ what: fc.constant('abort' as const), core: fc.nat(1), count: fc.nat(5) }),
    fc.record({ what: fc.constant('pass' as const), core: fc.nat(1), count: fc.nat(3) }),
    fc.record({ what: fc.constantFrom('reset' as const, 'rates' as const), core: fc.nat(1), count: fc.nat(2) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
      const parts = await limited({ rw_ios_per_sec: 2000 });
      const { cluster, cores, cb, counted, read, serve, serveOn, pass, close } = parts;
      for (const { what, core, count } of steps) {
        const { channel } = cores[core];
        if (what === 'read') read(core, count);
        else if (what === 'abort') channel.abort(`r${count}`);
        else if (what === 'reset') channel.reset(cb, 'reset');
        else if (what === 'rates') await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: count * 1000 }));
        else {
          pass(count);
          serveOn(core);
        }
        let gates = 0;
        for (const each of cores) if ((each.channel.shared.gates?.count ?? 0) > 0) gates++;
        assert.equal(counted.waiting, gates, `after ${what}`);
      }
      // Resets look again only when time passes.
      for (let ms = 0; ms < 100; ms++) {
        pass(1);
        serve();
      }
      await close();
      assert.equal(counted.waiting, 0);
    }),
    { numRuns: 25 },
  );
});

/** What cores do at the words alone. */
function words(limits: Partial<QosLimits>) {
  const state = createQosState();
  writeLimits(state, { ...NO_QOS, ...limits });
  const core = () => {
    const clock = new TestClock();
    clock.nowUs = 5_000_000;
    return { clock, qos: new Qos(state, clock) };
  };
  const io = { type: IO_READ, bytes: 512 } as BdevIo;
  /** How many it takes. */
  const takeAll = (qos: Qos): number => {
    let count = 0;
    while (qos.take(io) === 0) count++;
    return count;
  };
  return { a: core(), b: core(), io, takeAll };
}

/** Has `other` happen at the first exchange, before or after it, that `run` makes. */
function during<T>(when: 'before' | 'after', other: () => void, run: () => T): T {
  const { compareExchange } = Atomics;
  let done = false;
  const once = (): void => {
    if (done) return;
    done = true;
    other();
  };
  Atomics.compareExchange = ((words: Int32Array, index: number, expected: number, value: number): number => {
    if (when === 'before') once();
    const found = compareExchange(words, index, expected, value);
    once();
    return found;
  }) as typeof compareExchange;
  try {
    return run();
  } finally {
    Atomics.compareExchange = compareExchange;
  }
}

test('what begins to wait while another core fills up has not waited before', () => {
  for (const when of ['before', 'after'] as const) {
    const { a, b, io, takeAll } = words({ rw_ios_per_sec: 1000 });
    assert.equal(takeAll(a.qos), 1);
    a.clock.nowUs += 600_000_000;
    b.clock.nowUs += 600_000_000;
    let byB = 0;
    const waits = (): void => {
      byB += takeAll(b.qos);
      b.qos.looked(0, b.qos.take(io));
    };
    const byA = during(when, waits, () => takeAll(a.qos));
    assert.equal(byA + byB, 1, when);
  }
});

test('a core whose clock is behind fills up first: what passed before is not given to what waits then', () => {
  const { a, b, io, takeAll } = words({ rw_ios_per_sec: 1000 });
  assert.equal(takeAll(a.qos), 1);
  a.clock.nowUs += 50_000;
  b.clock.nowUs += 1000;
  const taken = during(
    'before',
    () => void takeAll(b.qos),
    () => takeAll(a.qos),
  );
  assert.equal(taken, 1, 'one slice more');
  a.qos.looked(0, a.qos.take(io));
  a.clock.nowUs += 1000;
  assert.equal(takeAll(a.qos), 1);
});

test('who takes while another core fills up has paid', () => {
  const { a, b, io, takeAll } = words({ rw_ios_per_sec: 5000, w_mbytes_per_sec: 1 });
  const write = { type: IO_WRITE, bytes: 100 * KIB } as BdevIo;
  assert.equal(a.qos.take(write), 0);
  a.qos.looked(0, a.qos.take(write));
  // The other kind has five of a slice.
  a.clock.nowUs += 1000;
  b.clock.nowUs += 1000;
  let exchanges = 0;
  const { compareExchange } = Atomics;
  Atomics.compareExchange = ((...args: Parameters<typeof compareExchange>) => {
    // Before that of what is left of I/Os.
    if (++exchanges === 2) for (let i = 0; i < 3; i++) assert.equal(b.qos.take(io), 0);
    return compareExchange(...args);
  }) as typeof compareExchange;
  try {
    assert.notEqual(a.qos.take(write), 0);
  } finally {
    Atomics.compareExchange = compareExchange;
  }
  assert.equal(takeAll(b.qos), 4 - 3 + 5, 'of two slices that were kept');
});
