/**
 * When a RAID disk has enough members to start. Control path, app core.
 *
 * All that the newest superblock calls configured must be there: one that is missing may be the only one that knows better (SPDK: num_base_bdevs_discovered == num_base_bdevs_operational). A member
 * whose superblock is damaged, by a power cut while it was written, is there, but does not say what it knows. It counts as the others call it, when there are so few of its kind that nobody can know better:
 *
 * Let S be the newest superblock that is read now, and U the first one after it on which anything ever relied. U was whole on every member that it calls good (`#commit`), at least as many as the level
 * needs. None of those is read now, or it would say so. Nor has one of them come after S: a member is called good by all who were before it is (`#commit(last)`), and those would say so, too.
 * So they are among the places of S whose disks are not read now, and when these are fewer than the level needs, there is no U, and S is right. And a member has its superblock written only while it has all that was
 * acknowledged, so one that S calls configured has it, torn or not. In a raid1, which works with any one, it could always be the only one that is up to date: there somebody must say so (RaidRegistry.addBaseBdev).
 */
import type { RaidSlot } from './raid-slot.ts';
import { RAID_SB_CONFIGURED } from './raid-superblock.ts';

/** `least`: how many members the level needs. */
export function raidMayStart(slots: readonly RaidSlot[], least: number): boolean {
  const wanted = slots.filter(({ sbState }) => sbState === RAID_SB_CONFIGURED);
  if (wanted.length < least || wanted.some(({ base }) => base === null)) return false;
  if (wanted.every(({ damage }) => damage === null)) return true;
  return slots.filter(({ base, damage }) => base === null || damage !== null).length < least;
}
