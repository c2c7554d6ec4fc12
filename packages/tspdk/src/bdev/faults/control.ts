/** What the app core has every reactor do about faults. Control path, by control calls. */
import { defineControl } from '../../event/control.ts';
import { bdevManager } from '../manager.ts';
import type { ActiveFault } from './fault-set.ts';

/** A disk's rules from now on. */
export const setFaults = defineControl(
  'bdev.faults.set',
  (payload: { id: number; rules: readonly ActiveFault[]; state: SharedArrayBuffer }, reactor): void => {
    reactor.local(bdevManager).byId.get(payload.id)?.setFaults(payload.rules, payload.state);
  },
);

/** Lets go what is stuck. Returns how many that were. */
export const resumeStuck = defineControl('bdev.faults.resume', (id: number, reactor): number => {
  const stuck = [...(reactor.local(bdevManager).byId.get(id)?.faults?.stuck ?? [])];
  for (const io of stuck) io.resume();
  return stuck.length;
});

/** How many are stuck. */
export const countStuck = defineControl(
  'bdev.faults.stuck',
  (id: number, reactor): number => reactor.local(bdevManager).byId.get(id)?.faults?.stuck.size ?? 0,
);
