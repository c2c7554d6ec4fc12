/**
 * broken.ts once more, over a ring that orders nothing: what SPDK's users saw in issue 3630, where ThreadSanitizer did not know the ring.
 *
 * The block travels from core 0 to core 1 in two plain words. Nothing tells core 1, or the compiler, that what core 0 did with the block is over when
 * core 1 frees it: besides being done on the wrong core, the free is a data race with core 0's read. Only a sanitizer shows it:
 * `npm run example -- call-reactor/broken-unordered --tsan`. Without one the program prints the same as broken.ts.
 */
import { isMainThread } from 'node:worker_threads';
import { AllocSite, App, currentReactor, defineEvent, type Ptr, type Reactor, struct } from 'tspdk';
import { say } from './_say.ts';

const CallReactor = struct('call_reactor', { origin: 'i32', next: 'i32' });
const site = new AllocSite('call_reactor');

/** A ring of one place, as wrong as can be: `full` ought to be stored and loaded by Atomics. */
const Ring = struct('plain_ring', { full: 'i32', ptr: 'ptr' });
const ringSite = new AllocSite('plain_ring');

/** Core 1 looks into the ring from now on, and says so. */
const listen = defineEvent('example.listen', (word, call) => {
  const ring = word as Ptr;
  const reactor = currentReactor();
  const pollable = {
    name: 'plain_ring',
    nextPollUs: () => 0,
    poll: () => {
      if (Ring.full.get(reactor.heap, ring) === 0) return 0;
      reactor.removePollable(pollable);
      onLastReactor(reactor, Ring.ptr.get(reactor.heap, ring) as Ptr);
      return 1;
    },
  };
  reactor.addPollable(pollable);
  reactor.send(0, onFirstReactor, ring, call, 0);
});

const onFirstReactor = defineEvent('example.on_first_reactor', (word, call) => {
  const ring = word as Ptr;
  const { heap } = currentReactor();
  say(`core ${CallReactor.origin.get(heap, call as Ptr)}: here I do my part`);
  Ring.ptr.set(heap, ring, call);
  Ring.full.set(heap, ring, 1);
});

function onLastReactor({ core, heap }: Reactor, ptr: Ptr): void {
  say(`core ${core}: here I do my part`);
  heap.free(ptr); // The bug: this core did not allocate it, and who did may still be at it.
}

if (isMainThread) {
  process.exitCode = await App.start({ cores: [0, 1], pin: false, modules: [import.meta.url] }, ({ reactor }) => {
    const ring = Ring.allocIn(reactor.heap, ringSite);
    const call = CallReactor.allocIn(reactor.heap, site);
    reactor.send(1, listen, ring, call, 0);
  });
  say(`exit code ${process.exitCode}`);
}
