// Pollers: when they run, and what may be done to them from where. Names in brackets are those of SPDK's thread_ut.
//
// poller_get_period_ticks: a tick is a microsecond here (tick_rate 1,000,000). cache_closest_timed_poller: SPDK caches the
// closest timed poller beside its tree; a heap has it on top, the behaviour is the same and tested.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SpdkError } from '../env/errors.ts';
import type { Poller } from './poller.ts';
import { type Due, PollerHeap } from './poller-heap.ts';
import { TestCluster } from './test-host.ts';
import type { Thread } from './thread.ts';

const code = (expected: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SpdkError, String(error));
  assert.equal(error.code, expected);
  assert.match(error.message, pattern);
  return true;
};

/** One core, one thread, a list of which pollers ran. */
function setUp(): {
  cluster: TestCluster;
  thread: Thread;
  ran: string[];
  poll: () => string[];
  on: (fn: () => void) => void;
} {
  const cluster = new TestCluster(1);
  const thread = cluster.host(0).create('t');
  const ran: string[] = [];
  const poll = () => {
    cluster.host(0).poll();
    return ran.splice(0);
  };
  return { cluster, thread, ran, poll, on: (fn) => thread.run(fn) };
}

test('[thread_poller] an active poller runs every turn, a timed one when its period has passed', () => {
  const { cluster, thread, ran, poll, on } = setUp();
  const active = thread.registerPoller({ fn: () => ran.push('active') && -1 });
  assert.deepEqual(poll(), ['active']);
  on(() => active.unregister());
  assert.equal(active.registered, false);
  const timed = thread.registerPoller({ fn: (list: string[]) => list.push('timed'), ctx: ran, periodUs: 1000 });
  assert.deepEqual(poll(), []);
  for (let i = 0; i < 3; i++) {
    cluster.clock.nowUs += 999;
    assert.deepEqual(poll(), []);
    cluster.clock.nowUs += 1;
    assert.deepEqual(poll(), ['timed']);
    assert.deepEqual(poll(), []);
  }
  cluster.clock.nowUs += 5000;
  assert.deepEqual(poll(), ['timed'], 'periods that were missed are not made up for');
  on(() => timed.unregister());
  on(() => timed.unregister());
  assert.equal(thread.hasPollers, false);
  cluster.close();
});

for (const periodUs of [0, 1000]) {
  test(`[poller_pause] period ${periodUs}: paused, resumed, from a message, from its own call, unregistered while paused`, () => {
    const { cluster, thread, ran, poll, on } = setUp();
    const turn = () => {
      cluster.clock.nowUs += periodUs;
      return poll();
    };
    const poller: Poller = thread.registerPoller({ fn: () => ran.push('p') && 0, periodUs });
    on(() => poller.resume());
    assert.deepEqual(turn(), ['p'], 'resuming one that is not paused changes nothing');
    on(() => poller.pause());
    assert.deepEqual(turn(), []);
    on(() => poller.pause());
    assert.deepEqual(turn(), [], 'pausing twice is pausing once');
    on(() => poller.resume());
    assert.deepEqual(turn(), ['p']);
    on(() => {
      poller.pause();
      poller.resume();
    });
    assert.deepEqual(turn(), ['p'], 'resumed before the pause took effect');
    thread.sendLocalMsg((p: Poller) => p.pause(), poller);
    assert.deepEqual(turn(), []);
    thread.sendLocalMsg((p: Poller) => p.resume(), poller);
    if (periodUs > 0) turn();
    assert.deepEqual(turn(), ['p']);
    on(() => poller.pause());
    turn();
    on(() => poller.unregister());
    assert.deepEqual(turn(), []);
    assert.deepEqual(thread.pollers.all(), []);
    assert.throws(() => on(() => poller.pause()), code('EINVAL', /is unregistered: it cannot be paused/));
    assert.throws(() => on(() => poller.resume()), code('EINVAL', /is unregistered: it cannot be resumed/));

    const self: Poller = thread.registerPoller({
      fn: () => {
        ran.push('self');
        self.pause();
        return 0;
      },
      periodUs,
    });
    assert.deepEqual(turn(), ['self']);
    assert.deepEqual(turn(), []);
    on(() => self.resume());
    assert.deepEqual(turn(), ['self']);
    on(() => self.unregister());
    turn();
    assert.equal(thread.hasActivePollers, false);
    cluster.close();
  });

  test(`period ${periodUs}: unregistered and registered from inside calls, its own and another's`, () => {
    const { cluster, thread, ran, poll } = setUp();
    const turn = () => {
      cluster.clock.nowUs += periodUs;
      return poll();
    };
    const pollers: Record<string, Poller> = {};
    let act: Record<string, () => void> = {};
    const add = (name: string): void => {
      pollers[name] = thread.registerPoller({
        name,
        periodUs,
        fn: () => {
          ran.push(name);
          act[name]?.();
          return 0;
        },
      });
    };
    for (const name of ['a', 'b', 'c', 'd']) add(name);
    act = { b: () => pollers.b?.unregister() };
    assert.deepEqual(turn(), ['a', 'b', 'c', 'd']);
    assert.deepEqual(turn(), ['a', 'c', 'd']);
    act = { a: () => pollers.c?.unregister() };
    assert.deepEqual(turn(), ['a', 'd'], 'one that is unregistered by an earlier call does not run');
    act = { d: () => pollers.a?.unregister(), a: () => add('e') };
    assert.deepEqual(turn(), ['a', 'd'], 'one that is registered inside the loop runs from the next turn on');
    assert.deepEqual(turn().sort(), ['d', 'e']);
    act = {
      d: () => {
        pollers.e?.pause();
        pollers.e?.resume();
      },
      e: () => {
        pollers.e?.pause();
        pollers.e?.resume();
      },
    };
    assert.deepEqual(turn().sort(), ['d', 'e']);
    assert.deepEqual(turn().sort(), ['d', 'e']);
    act = { d: () => pollers.d?.unregister(), e: () => pollers.e?.unregister() };
    turn();
    assert.equal(thread.hasPollers, false);
    assert.deepEqual(turn(), []);
    cluster.close();
  });
}

test('a poller that was paused and is resumed by a later poller of the same turn runs once a turn, not twice', () => {
  const { cluster, thread, ran, poll, on } = setUp();
  const first = thread.registerPoller({ fn: () => ran.push('first') && 0 });
  let resume = false;
  const second = thread.registerPoller({
    fn: () => {
      if (resume) first.resume();
      return 0;
    },
  });
  on(() => first.pause());
  resume = true;
  assert.deepEqual(poll(), []);
  assert.equal(first.stateName, 'waiting');
  assert.deepEqual(poll(), ['first']);
  assert.deepEqual(poll(), ['first']);
  on(() => {
    first.unregister();
    second.unregister();
  });
  cluster.close();
});

test('[multi_timed_pollers_have_same_expiration] they run in order of registration, whichever of them leaves or comes back', () => {
  const { cluster, thread, ran, poll, on } = setUp();
  const pollers = ['a', 'b', 'c', 'd', 'e'].map((name) =>
    thread.registerPoller({ name, periodUs: 500, fn: () => ran.push(name) && 0 }),
  );
  const turn = () => {
    cluster.clock.nowUs += 500;
    return poll();
  };
  assert.deepEqual(turn(), ['a', 'b', 'c', 'd', 'e']);
  on(() => pollers[0]?.unregister());
  on(() => pollers[2]?.pause());
  assert.deepEqual(turn(), ['b', 'd', 'e']);
  on(() => pollers[2]?.resume());
  assert.deepEqual(turn(), ['b', 'd', 'e', 'c']);
  on(() => {
    for (const poller of pollers) poller.unregister();
  });
  cluster.close();
});

test('[cache_closest_timed_poller] the closest expiration is known as pollers come, run and go', () => {
  const { cluster, thread, ran, poll, on } = setUp();
  assert.equal(thread.nextExpirationUs, Number.POSITIVE_INFINITY);
  const add = (name: string, periodUs: number) =>
    thread.registerPoller({ name, periodUs, fn: () => ran.push(name) && 0 });
  const slow = add('1000', 1000);
  const mid = add('700', 700);
  assert.equal(thread.nextExpirationUs, 700);
  cluster.clock.nowUs = 700;
  assert.deepEqual(poll(), ['700']);
  assert.equal(thread.nextExpirationUs, 1000);
  const fast = add('100', 100);
  assert.equal(thread.nextExpirationUs, 800);
  on(() => fast.unregister());
  assert.equal(thread.nextExpirationUs, 1000);
  on(() => slow.unregister());
  assert.equal(thread.nextExpirationUs, 1400);
  on(() => mid.unregister());
  assert.equal(thread.nextExpirationUs, Number.POSITIVE_INFINITY);
  cluster.close();
});

test('the heap of timed pollers agrees with a sorted list', () => {
  const operation = fc.oneof(
    { weight: 4, arbitrary: fc.record({ op: fc.constant('insert' as const), us: fc.oneof(fc.nat(20), fc.nat(1000)) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('pop' as const), us: fc.nat(20) }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('remove' as const), us: fc.nat(1000) }) },
  );
  fc.assert(
    fc.property(fc.array(operation, { minLength: 50, maxLength: 200 }), (operations) => {
      const heap = new PollerHeap<Due>();
      const model: Due[] = [];
      for (const { op, us } of operations) {
        if (op === 'insert') {
          const item = { nextRunUs: us, dueOrder: 0, heapIndex: -1 };
          heap.insert(item);
          const at = model.findIndex((other) => other.nextRunUs > us);
          model.splice(at < 0 ? model.length : at, 0, item);
        } else if (op === 'pop') assert.equal(heap.pop(), model.shift());
        else if (model.length > 0) {
          const [item] = model.splice(us % model.length, 1) as [Due];
          heap.remove(item);
          assert.equal(item.heapIndex, -1);
        }
        assert.equal(heap.size, model.length);
        assert.equal(heap.nextUs, model[0]?.nextRunUs ?? Number.POSITIVE_INFINITY);
        assert.deepEqual(heap.sorted(), model);
      }
    }),
  );
});

test('[poller_get_name] given, or the name of the function; too long and bad periods are refused', () => {
  const { cluster, thread, on } = setUp();
  const pollSocket = () => 0;
  const pollers = [
    thread.registerPoller({ fn: pollSocket }),
    thread.registerPoller({ name: 'nvmf_tcp', fn: pollSocket }),
    thread.registerPoller({ fn: () => 0 }),
  ];
  assert.deepEqual(
    pollers.map(({ name }) => name),
    ['pollSocket', 'nvmf_tcp', 'fn'],
  );
  assert.throws(
    () => thread.registerPoller({ name: 'x'.repeat(253), fn: pollSocket }),
    code('ENAMETOOLONG', /limit 252/),
  );
  for (const periodUs of [-1, 0.5, Number.NaN, 2 ** 53]) {
    assert.throws(() => thread.registerPoller({ fn: pollSocket, periodUs }), code('EINVAL', /not a whole number/));
  }
  assert.equal(thread.pollers.registered, 3, 'a refused poller is not registered');
  on(() => {
    for (const poller of pollers) poller.unregister();
  });
  cluster.close();
});

test('[poller_get_id] ids start at 1 in each thread and are not reused', () => {
  const { cluster, thread, poll, on } = setUp();
  const first = thread.registerPoller({ fn: () => 0 });
  on(() => first.unregister());
  poll();
  const second = thread.registerPoller({ fn: () => 0, periodUs: 5 });
  assert.deepEqual([first.id, second.id], [1, 2]);
  const other = cluster.host(0).create('other');
  const third = other.registerPoller({ fn: () => 0 });
  assert.equal(third.id, 1);
  on(() => second.unregister());
  other.run(() => third.unregister());
  cluster.close();
});

test('[poller_get_state_str] waiting, running, pausing, paused, unregistered', () => {
  for (const periodUs of [0, 1000]) {
    const { cluster, thread, poll, on } = setUp();
    const inside: string[] = [];
    const poller: Poller = thread.registerPoller({ fn: () => inside.push(poller.stateName) && 0, periodUs });
    assert.equal(poller.stateName, 'waiting');
    cluster.clock.nowUs += periodUs;
    poll();
    assert.deepEqual(inside, ['running']);
    assert.equal(poller.stateName, 'waiting');
    on(() => poller.pause());
    assert.equal(poller.stateName, 'pausing');
    cluster.clock.nowUs += periodUs;
    poll();
    assert.equal(poller.stateName, 'paused');
    on(() => poller.resume());
    assert.equal(poller.stateName, 'waiting');
    on(() => poller.unregister());
    assert.equal(poller.stateName, 'unregistered');
    cluster.close();
  }
});

test('[poller_get_period_ticks] ticks are microseconds; 0 for an active poller', () => {
  const { cluster, thread, on } = setUp();
  const pollers = [0, 1, 1000].map((periodUs) => thread.registerPoller({ fn: () => 0, periodUs }));
  assert.deepEqual(
    pollers.map(({ periodTicks }) => periodTicks),
    [0, 1, 1000],
  );
  on(() => {
    for (const poller of pollers) poller.unregister();
  });
  cluster.close();
});

test('[poller_get_stats] counts calls, and those that did something', () => {
  for (const periodUs of [0, 100]) {
    const { cluster, thread, poll, on } = setUp();
    const results = [0, 1, -1, 5];
    const poller = thread.registerPoller({ fn: () => results.shift() ?? 0, periodUs });
    const rcs: number[] = [];
    for (let i = 0; i < 5; i++) {
      cluster.clock.nowUs += periodUs;
      rcs.push(cluster.host(0).turn(() => thread.poll(0)));
    }
    assert.deepEqual([poller.runCount, poller.busyCount], [5, 2]);
    assert.deepEqual(rcs, [0, 1, 0, 5, 0], 'a turn returns the largest value, and a failure counts as idle');
    on(() => poller.unregister());
    poll();
    cluster.close();
  }
});

test('a poller that throws is called again, timed or not', () => {
  for (const periodUs of [0, 100]) {
    const { cluster, thread, ran, poll, on } = setUp();
    let broken = true;
    const poller = thread.registerPoller({
      fn: () => {
        if (broken) throw new Error('on purpose');
        return ran.push('mended');
      },
      periodUs,
    });
    cluster.clock.nowUs += 100;
    assert.throws(poll, /on purpose/);
    assert.equal(poller.stateName, 'waiting');
    broken = false;
    cluster.clock.nowUs += 100;
    assert.deepEqual(poll(), ['mended']);
    on(() => poller.unregister());
    cluster.close();
  }
});

test('pollers belong to their thread: others get EWRONGTHREAD with both names', () => {
  const { cluster, thread, on } = setUp();
  const other = cluster.host(0).create('other');
  const poller = thread.registerPoller({ name: 'mine', fn: () => 0 });
  const wrong = (what: string) =>
    code(
      'EWRONGTHREAD',
      new RegExp(`${what}\\(mine\\) called from thread other:2; it belongs to thread t:1 on core 0`),
    );
  assert.throws(() => other.run(() => poller.unregister()), wrong('Poller.unregister'));
  assert.throws(() => other.run(() => poller.pause()), wrong('Poller.pause'));
  assert.throws(() => other.run(() => poller.resume()), wrong('Poller.resume'));
  assert.throws(
    () => other.run(() => thread.registerPoller({ name: 'mine', fn: () => 0 })),
    wrong('Thread.registerPoller'),
  );
  on(() => poller.unregister());
  cluster.close();
});
