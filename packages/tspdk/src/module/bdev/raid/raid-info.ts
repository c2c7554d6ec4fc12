/** A RAID disk in words: as bdev_raid_get_bdevs tells it, and as calls that make it again. Control path. */
import type { BdevConfigCall } from '../../../bdev/index.ts';
import type { RaidDisk } from './raid-disk.ts';
import { raidLevelName } from './raid-level.ts';
import type { RaidSlot } from './raid-slot.ts';
import { RAID_SB_CONFIGURED } from './raid-superblock.ts';

const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** What is wrong with the superblock of a member, and what goes on in spite of it; null when nothing is. */
export function damageOf({ slots, seq, least }: RaidDisk, slot: RaidSlot): string | null {
  if (slot.damage === null) return null;
  const said = `it says sequence number ${slot.damage.seqNumber}, the others ${seq}`;
  const what = `damaged superblock: the CRC is wrong; ${said}`;
  const others = slots.filter((each) => each !== slot && each.sbState === RAID_SB_CONFIGURED && each.damage === null);
  return others.length < least ? what : `${what}; bdev_raid_add_base_bdev rebuilds it from the others`;
}

/** Without the name. */
export function describeRaid(disk: RaidDisk): Record<string, unknown> {
  const { params, slots, state, process } = disk;
  return {
    uuid: params.uuid,
    strip_size_kb: params.stripSizeKb,
    state,
    raid_level: raidLevelName(params.level),
    superblock: params.superblock,
    num_base_bdevs: slots.length,
    num_base_bdevs_discovered: slots.filter(({ base, damage }) => base !== null && damage === null).length,
    num_base_bdevs_operational: slots.filter(({ sbState }) => sbState === RAID_SB_CONFIGURED).length,
    ...(process === null ? {} : { process: process.describe() }),
    base_bdevs_list: slots.map((slot) => ({
      name: slot.name === '' || (slot.base === null && state === 'online') ? null : slot.name,
      uuid: slot.uuid ?? NO_UUID,
      is_configured: slot.base !== null && slot.damage === null,
      data_offset: slot.dataOffset,
      data_size: slot.dataBlocks,
      ...(slot.damage === null ? {} : { error: damageOf(disk, slot) }),
    })),
  };
}

/** None when its superblocks make it. A member that is not up to date is left out. */
export function raidConfigCalls({ params, slots, state, seq }: RaidDisk): BdevConfigCall[] {
  const { name, uuid, level, stripSizeKb, superblock } = params;
  if (superblock && seq > 0) return [];
  const base_bdevs = slots.map((slot) => (state === 'configuring' || slot.good ? slot.name : ''));
  const call = { name, uuid, raid_level: raidLevelName(level), strip_size_kb: stripSizeKb, base_bdevs, superblock };
  return [{ method: 'bdev_raid_create', params: call }];
}
