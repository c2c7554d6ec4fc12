/**
 * SPDK issue 3630, written as a program on this kit: run a function on every core, with the bookkeeping freed by the wrong one.
 *
 * The block is allocated on the core that asks and handed from core to core by events. Whoever comes last frees it, on a core that
 * does not own it. The heap refuses with EOWNER and names both places; the application stops with exit code 1. `diff broken.ts mended.ts` is the fix.
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
    reactor.heap.free(ptr); // The bug: this core did not allocate it.
    reactor.send(origin, completed, 0, 0, 0);
  }
});

/** Runs on the core that asked, when all have had their turn. */
const completed = defineEvent('example.completed', () => {
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
