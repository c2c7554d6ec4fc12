/** What a RAID disk's reactors tell the app core, and that tells others. */
import { defineEvent } from '../../../env/event-fn.ts';
import { currentReactor, localKey, type Reactor } from '../../../event/reactor.ts';
import { notifyOf } from '../../../notify/index.ts';

/** Hears of it. Set by the app core's registry of RAID disks. */
export const raidListener = localKey('bdev_raid_listener', () => ({
  memberFailed: (_key: number, _slot: number, _generation: number): void => {},
}));

/** I/O failed on the member of a slot. */
export const failedEvent = defineEvent('raid.member.failed', (key, slot, generation) =>
  currentReactor().local(raidListener).memberFailed(key, slot, generation),
);

/** A member less is up to date; one more is, again; the disk does not work any more. */
export const RAID_DEGRADED_EVENT = 'bdev_raid_degraded';
export const RAID_REBUILT_EVENT = 'bdev_raid_rebuilt';
export const RAID_OFFLINE_EVENT = 'bdev_raid_offline';

/** Makes the notifications known. App core. */
export function registerRaidEvents(reactor: Reactor): void {
  for (const type of [RAID_DEGRADED_EVENT, RAID_REBUILT_EVENT, RAID_OFFLINE_EVENT])
    notifyOf(reactor).registerType(type);
}

/** Notifies of what has become of a RAID disk. App core. */
export function tellRaid(
  raid: { readonly reactor: Reactor; readonly params: { readonly name: string } },
  type: string,
): void {
  notifyOf(raid.reactor).send(type, raid.params.name);
}
