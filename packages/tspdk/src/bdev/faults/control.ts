/** What the app core has every reactor do about faults. Control path, by control calls. */
import { defineControl } from '../../event/control.ts';
import type { Reactor } from '../../event/reactor.ts';
import { bdevManager } from '../manager.ts';
import { ENODEV } from '../status.ts';
import type { FaultIo } from './fault-io.ts';
import type { ActiveFault } from './watch.ts';

/** A disk's rules from now on. */
export const setFaults = defineControl(
  'bdev.faults.set',
  (payload: { id: number; rules: readonly ActiveFault[]; state: SharedArrayBuffer }, reactor): void => {
    reactor.local(bdevManager).byId.get(payload.id)?.setFaults(payload.rules, payload.state);
  },
);

function stuckHere(id: number, reactor: Reactor): FaultIo[] {
  return [...(reactor.local(bdevManager).byId.get(id)?.faultSet?.held ?? [])].filter((io) => io.stuck);
}

/** Lets go what is stuck. Returns how many that were. */
export const resumeStuck = defineControl('bdev.faults.resume', (id: number, reactor): number => {
  const stuck = stuckHere(id, reactor);
  for (const io of stuck) io.resume();
  return stuck.length;
});

/** Nothing goes wrong any more with any disk; what is held back ends. */
export const endFaults = defineControl('bdev.faults.end', (_: null, reactor): void => {
  for (const bdev of reactor.local(bdevManager).byId.values()) {
    bdev.faults = null;
    bdev.faultSet?.endHeld(ENODEV);
  }
});

/** How many are stuck. */
export const countStuck = defineControl(
  'bdev.faults.stuck',
  (id: number, reactor): number => stuckHere(id, reactor).length,
);
