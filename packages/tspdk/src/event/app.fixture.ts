/** Events for app.test.ts, in a module of their own: every reactor loads it, and a test file must not be loaded twice. */
import { AllocSite } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import { defineControl } from './control.ts';
import { currentReactor, localKey } from './reactor.ts';

/** What the workers load. */
export const fixtureUrl = import.meta.url;

const visits = localKey('test.visits', () => ({ count: 0 }));
export const visit = defineEvent('test.app.visit', () => {
  currentReactor().local(visits).count++;
});
export const stopFromHere = defineEvent('test.app.stop', (rc) => currentReactor().app.stop(rc));
export const throwHere = defineEvent('test.app.throw', () => {
  throw new SpdkError('EIO', 'thrown on purpose');
});
/** Ends the thread it runs on, as a crash would. */
export const dieHere = defineEvent('test.app.die', () => process.exit(7));
const leakSite = new AllocSite('test.leaky');
export const leakHere = defineEvent('test.app.leak', () => {
  currentReactor().heap.alloc(64, leakSite);
});
export const visitsOf = defineControl('test.app.visits', (_: null, reactor) => reactor.local(visits).count);
/** What a module that the thread loaded before it had a reactor has left there. */
export const earlyMark = defineControl(
  'test.app.early',
  () => (globalThis as { earlyMark?: string }).earlyMark ?? 'none',
);
