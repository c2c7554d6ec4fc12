/** What a RAID disk's reactors tell the app core. */
import { defineEvent } from '../../../env/event-fn.ts';
import { currentReactor, localKey } from '../../../event/reactor.ts';

/** Hears of it. Set by the app core's registry of RAID disks. */
export const raidListener = localKey('bdev_raid_listener', () => ({
  memberFailed: (_key: number, _slot: number, _generation: number): void => {},
}));

/** I/O failed on the member of a slot. */
export const failedEvent = defineEvent('raid.member.failed', (key, slot, generation) =>
  currentReactor().local(raidListener).memberFailed(key, slot, generation),
);
