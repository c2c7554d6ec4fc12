// Driver: an application of two reactors. Blocks cross and go home, threads send messages, also critical ones, iterations go round, cores fall asleep and are
// rung for, and it stops.
import assert from 'node:assert/strict';
import { isMainThread } from 'node:worker_threads';

const kit = (path) => import(new URL(path, process.env.MUTANT_KIT).href);
const { App, currentReactor, forEachReactorAsync } = await kit('event/index.js');
const { sendCriticalMsg, sendMsg, Thread } = await kit('thread/index.js');
const { defineEvent } = await kit('env/event-fn.js');
const { AllocSite } = await kit('env/alloc-site.js');
const { Cpuset } = await kit('env/cpuset.js');

const site = new AllocSite('driver');
let home;

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
const onMsg = defineEvent('driver.msg', (from, n) => sendMsg(from, onAnswer, n, 0));
const onAnswer = defineEvent('driver.answer', () => home());

if (isMainThread) {
  const start = async (app) => {
    const { reactor } = app;
    const answered = (ask) =>
      new Promise((resolve) => {
        home = resolve;
        ask();
      });
    const mine = Thread.create(reactor, { name: 'mine', cpumask: new Cpuset([0]) });
    const other = Thread.create(reactor, { name: 'other', cpumask: new Cpuset([1]) });
    for (let n = 0; n < 8; n++) {
      const ptr = reactor.heap.alloc(8, site);
      reactor.heap.i32[ptr >>> 2] = n;
      await answered(() => reactor.send(1, ping, ptr, n, 0));
      await answered(() => sendMsg(other.id, onMsg, mine.id, n));
      sendCriticalMsg(other.id, onCritical);
      // Both fall asleep now and then.
      if (n % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert(reactor.allocIoDeviceId() > 0 && reactor.allocSegmentId() > 0);
    await forEachReactorAsync(reactor, visit);
    app.stop(0);
  };
  const options = { cores: [0, 1], pin: false, heapBytes: 2 ** 20, modules: [import.meta.url] };
  process.exitCode = await App.start(options, start);
}
