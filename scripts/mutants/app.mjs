// Driver: an application of three reactors. Blocks cross and go home, threads send messages, also critical ones, iterations go round, cores fall asleep and are
// rung for. Reactors send to each other while they start; one thread is closed at the very moment in which it is sent something critical; and at the end
// core 2 dies, while core 1 goes on sending to it, which stops the application.
import assert from 'node:assert/strict';
import { isMainThread } from 'node:worker_threads';

// Without native calls: koffi aborts the process now and then when a thread that watches a descriptor with it ends itself.
process.env.TSPDK_NO_FFI = '1';

const kit = (path) => import(new URL(path, process.env.MUTANT_KIT).href);
const { App, currentReactor, forEachReactorAsync } = await kit('event/index.js');
const { currentThread, sendCriticalMsg, sendMsg, Thread } = await kit('thread/index.js');
const { SLOT_CLOSED, SLOT_FREE } = await kit('thread/shared-thread-table.js');
const { current } = await kit('env/current.js');
const { defineEvent } = await kit('env/event-fn.js');
const { AllocSite } = await kit('env/alloc-site.js');
const { Cpuset } = await kit('env/cpuset.js');

const site = new AllocSite('driver');
const turns = () => new Promise((resolve) => setImmediate(resolve));
let home;
let watched;

const visit = defineEvent('driver.visit', () => {});
const ping = defineEvent('driver.ping', (ptr, n) => {
  const { heap } = currentReactor();
  assert.equal(heap.i32[ptr >>> 2], n);
  heap.i32[(ptr >>> 2) + 1] = n;
  heap.release(ptr);
  currentReactor().send(0, pong, n, 0, 0);
});
const pong = defineEvent('driver.pong', () => home());
const onCritical = defineEvent('driver.critical', () => {});
const onMsg = defineEvent('driver.msg', (from, n) => {
  watched = currentThread();
  sendMsg(from, onAnswer, n, 0);
});
const onAnswer = defineEvent('driver.answer', () => home());
const takeIds = defineEvent('driver.ids', () => {
  const reactor = currentReactor();
  for (let n = 0; n < 5; n++) assert(reactor.allocIoDeviceId() > 0 && reactor.allocSegmentId() > 0);
});
const die = defineEvent('driver.die', () => process.exit(7));

/** From now on core 1 is busy: it looks at its thread and whether the application stops, and sends to core 2 for as long as that is alive. */
const beBusy = defineEvent('driver.busy', () => {
  const reactor = currentReactor();
  let polls = 0;
  const busy = {
    name: 'busy',
    nextPollUs: () => 0,
    poll: () => {
      assert(!watched.criticalWaits || watched.isRunning);
      if (reactor.stopping) {
        reactor.removePollable(busy);
        return 0;
      }
      if (polls++ % 8 === 0) {
        try {
          reactor.send(2, visit, 0, 0, 0);
        } catch (error) {
          assert.equal(error.code, 'ESHUTDOWN');
        }
      }
      return 1;
    },
  };
  reactor.addPollable(busy);
  reactor.send(0, pong, 0, 0, 0);
});

const onEnd = defineEvent('driver.end', (word) => {
  const { shared, heap } = currentReactor();
  const { id } = currentThread();
  const { setState } = shared;
  shared.setState = (of, state) => {
    if (of === id && state === SLOT_CLOSED) {
      // Its last message has come, so it is closed: not before core 0 is in the middle of sending to it.
      shared.setState = setState;
      Atomics.store(heap.i32, word, 1);
      while (Atomics.load(shared.words, shared.criticalWord(id)) === 0);
    }
    setState.call(shared, of, state);
  };
  currentThread().exit();
});

/** Core 0's part of it: looks at the thread, puts its message in, and does not look again before the thread is closed. */
async function sendWhileClosing(reactor, thread) {
  const { shared, heap } = reactor;
  const ptr = heap.alloc(8, site);
  sendMsg(thread, onEnd, ptr >>> 2, 0);
  while (Atomics.load(heap.i32, ptr >>> 2) === 0) await turns();
  const { state } = shared;
  let looks = 0;
  shared.state = (id) => {
    let seen = state.call(shared, id);
    if (++looks === 2) for (; seen !== SLOT_CLOSED && seen !== SLOT_FREE; ) seen = state.call(shared, id);
    return seen;
  };
  try {
    assert([0, -5].includes(sendCriticalMsg(thread, onCritical)));
  } finally {
    shared.state = state;
  }
  assert.equal(looks, 2);
  heap.free(ptr);
}

if (isMainThread) {
  const faults = [];
  const start = async (app) => {
    const { reactor } = app;
    const { fault } = app;
    app.fault = (error, what) => {
      faults.push(what);
      fault.call(app, error, what);
    };
    const answered = (ask) =>
      new Promise((resolve) => {
        home = resolve;
        ask();
      });
    const mine = Thread.create(reactor, { name: 'mine', cpumask: new Cpuset([0]) });
    const other = Thread.create(reactor, { name: 'other', cpumask: new Cpuset([1]) });
    const brief = Thread.create(reactor, { name: 'brief', cpumask: new Cpuset([1]) });
    for (const core of [1, 2]) reactor.send(core, takeIds, 0, 0, 0);
    for (let n = 0; n < 5; n++) {
      assert(reactor.allocIoDeviceId() > 0 && reactor.allocSegmentId() > 0);
      await turns();
    }
    for (let n = 0; n < 8; n++) {
      const ptr = reactor.heap.alloc(8, site);
      reactor.heap.i32[ptr >>> 2] = n;
      await answered(() => reactor.send(1, ping, ptr, n, 0));
      await answered(() => sendMsg(other.id, onMsg, mine.id, n));
      sendCriticalMsg(other.id, onCritical);
      // All fall asleep now and then.
      if (n % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await sendWhileClosing(reactor, brief.id);
    await forEachReactorAsync(reactor, visit);
    await answered(() => reactor.send(1, beBusy, 0, 0, 0));
    for (let n = 0; n < 8; n++) {
      sendCriticalMsg(other.id, onCritical);
      await turns();
    }
    reactor.send(2, die, 0, 0, 0);
  };
  const options = { cores: [0, 1, 2], pin: false, heapBytes: 2 ** 20, modules: [import.meta.url] };
  assert.equal(await App.start(options, start), 1);
  // That code stands for any fault.
  assert.deepEqual(faults, ['reactor 2']);
} else {
  // While the other may not be there yet.
  let greetings = 20;
  const greet = () => {
    const reactor = current.reactor;
    if (reactor !== null) for (const core of [1, 2]) if (core !== reactor.core) reactor.send(core, visit, 0, 0, 0);
    if (reactor === null || --greetings > 0) setImmediate(greet);
  };
  greet();
}
