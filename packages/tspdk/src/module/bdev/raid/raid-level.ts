/**
 * The levels of RAID that have arithmetic here, and their names (SPDK: enum raid_level, raid_bdev_str_to_level).
 */
export const RAID0 = 0;
export const RAID1 = 1;
/** RAID 5 that is only written in whole stripes. */
export const RAID5F = 0x5f;
export const CONCAT = 99;

const NAMES: readonly (readonly [string, number])[] = [
  ['raid0', RAID0],
  ['raid1', RAID1],
  ['raid5f', RAID5F],
  ['concat', CONCAT],
];

/** The level called `name`, in any case; "0" is short for "raid0". -1 when there is none. */
export function raidLevelOf(name: string): number {
  const lower = name.toLowerCase();
  return NAMES.find(([long]) => long === lower || long === `raid${lower}`)?.[1] ?? -1;
}

/** The name of a level; "" when there is none. */
export function raidLevelName(level: number): string {
  return NAMES.find(([, number]) => number === level)?.[0] ?? '';
}
