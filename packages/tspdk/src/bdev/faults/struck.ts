/**
 * How the app core hears that a rule has struck, wherever that was: an event for the first strike, and then none until the app core has asked for the
 * next (the rule's word TOLD), which it does a second later (registry.ts). Strikes by the million so cost an exchange each.
 */
import { defineEvent } from '../../env/event-fn.ts';
import { currentReactor, localKey } from '../../event/reactor.ts';

interface StruckListener {
  /** A rule of the disk has struck. */
  onStruck: (bdevId: number, id: number) => void;
}

/** Who listens, on the app core. */
export const struckListener = localKey('bdev_fault_struck', (): StruckListener => ({ onStruck: () => {} }));

export const ruleStruck = defineEvent('bdev.faults.struck', (bdevId, id) =>
  currentReactor().local(struckListener).onStruck(bdevId, id),
);
