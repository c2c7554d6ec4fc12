/**
 * SPDK issue 3630, mended as SPDK mended it: the memory goes home.
 *
 * The block is allocated on the core that asks and handed from core to core by events. The last core only sends it back; the completion runs where the
 * block was allocated, and frees it there. Exit code 0, nothing leaked. `diff broken.ts mended.ts` is the fix.
 */
import { isMainThread } from 'node:worker_threads';
import { AllocSite, App, currentReactor, defineEvent, type Ptr, struct } from 'tspdk';
import { say } from './_say.ts';

/** What travels: who asked, and whose turn is next. Lives in the shared heap; `Ptr` is a 32-bit offset that fits an event. */
const CallReactor = struct('call_reactor', { origin: 'i32', next: 'i32' });
const site = new AllocSite('call_reactor');

/** Runs on each core in turn. */
const onReactor = defineEvent('example.on_reactor', (word) => {
  const ptr = word as Ptr;
  const reactor = currentReactor();
  say(`core ${reactor.core}: here I do my part`);

  const next = CallReactor.next.get(reactor.heap, ptr) + 1;
  CallReactor.next.set(reactor.heap, ptr, next);
  if (next < reactor.cores.length) {
    reactor.send(reactor.cores[next], onReactor, ptr, 0, 0);
  } else {
    const origin = CallReactor.origin.get(reactor.heap, ptr);
    reactor.send(origin, completed, ptr, 0, 0);
  }
});

/** Runs on the core that asked, when all have had their turn. */
const completed = defineEvent('example.completed', (word) => {
  currentReactor().heap.free(word as Ptr); // Home: this core allocated it.
  say(`core ${currentReactor().core}: everyone has done it`);
  currentReactor().app.stop(0);
});

// Every core's thread loads this module, for the events above; the main thread starts the application.
if (isMainThread) {
  // Two reactors, also on a machine with one core: not pinned.
  process.exitCode = await App.start({ cores: [0, 1], pin: false, modules: [import.meta.url] }, ({ reactor }) => {
    const ptr = CallReactor.allocIn(reactor.heap, site);
    CallReactor.origin.set(reactor.heap, ptr, reactor.core);
    reactor.send(reactor.cores[0], onReactor, ptr, 0, 0);
  });
  say(`exit code ${process.exitCode}`);
}
