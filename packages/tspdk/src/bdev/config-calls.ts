/**
 * The calls that would make an application's disks again (save_config). Two things are seen to: a disk stands behind what it stands on, though a RAID disk may have a member that is younger than
 * what stands on the RAID disk; and what comes by itself, when it is found, is found, and has come before it is named.
 */
import type { Reactor } from '../event/reactor.ts';
import type { Bdev } from './bdev.ts';
import { type BdevConfigCall, bdevModule, WAIT_FOR_EXAMINE } from './module.ts';

/** `bdevs` from the oldest on, each behind its bases. */
function basesFirst(bdevs: readonly Bdev[], basesOf: (bdev: Bdev) => readonly Bdev[]): Set<Bdev> {
  const listed = new Set(bdevs);
  const ordered = new Set<Bdev>();
  const add = (bdev: Bdev): void => {
    if (ordered.has(bdev) || !listed.has(bdev)) return;
    for (const base of basesOf(bdev)) add(base);
    ordered.add(bdev);
  };
  for (const bdev of bdevs) add(bdev);
  return ordered;
}

/** Of disks that are there. `keptBases`: of a disk whose module does not keep them itself. `isExamined`: a disk is looked at when it comes. */
export function disksCalls(
  bdevs: readonly Bdev[],
  keptBases: (bdev: Bdev) => readonly Bdev[],
  isExamined: (bdev: Bdev) => boolean,
  reactor: Reactor,
): BdevConfigCall[] {
  const calls: BdevConfigCall[] = [];
  // Nothing has been made since that could be found.
  let waited = true;
  const add = (call: BdevConfigCall): void => {
    const waits = call.method === WAIT_FOR_EXAMINE.method;
    if (!waits || !waited) calls.push(call);
    waited = waits;
  };
  const basesOf = (bdev: Bdev) => bdevModule(bdev.moduleName).bases?.(bdev.spec, reactor) ?? keptBases(bdev);
  // A RAID disk that a call has made comes by its superblocks the next time.
  const toExamine = new Set<Bdev>();
  const examine = (bdev: Bdev): void => {
    if (isExamined(bdev) || toExamine.has(bdev)) return;
    toExamine.add(bdev);
    add({ method: 'bdev_examine', params: { name: bdev.name } });
  };
  for (const bdev of basesFirst(bdevs, basesOf)) {
    const made = bdevModule(bdev.moduleName).configCalls({ ...bdev.spec, blocks: bdev.blocks }, reactor);
    if (made.includes(WAIT_FOR_EXAMINE)) basesOf(bdev).forEach(examine);
    made.forEach(add);
    if (bdev.qos !== null) calls.push({ method: 'bdev_set_qos_limit', params: { name: bdev.name, ...bdev.rates } });
  }
  return calls;
}
