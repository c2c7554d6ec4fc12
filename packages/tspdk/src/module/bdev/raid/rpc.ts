/** bdev_raid_* (SPDK: module/bdev/raid/bdev_raid_rpc.c). Names, parameters and answers are SPDK's. */
import { SpdkError } from '../../../env/errors.ts';
import { RPC_RUNTIME, RPC_STARTUP, type RpcRegistry } from '../../../rpc/index.ts';
import { describeRaid } from './raid-info.ts';
import { raidLevelOf } from './raid-level.ts';
import type { RaidRegistry } from './raid-registry.ts';

const LEVELS = ['raid0', '0', 'raid1', '1', 'raid5f', '5f', 'concat'] as const;
const STATES = ['online', 'configuring', 'offline', 'all'] as const;

export function registerRaidRpc(rpc: RpcRegistry, deps: { raids: () => RaidRegistry }): void {
  rpc.register({
    name: 'bdev_raid_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name' },
      { name: 'strip_size_kb', type: 'uint32', default: 0, description: 'Strip, KiB, a power of two; not for raid1' },
      {
        name: 'raid_level',
        type: 'enum',
        class: 'bdev_raid_level',
        values: LEVELS,
        required: true,
        description: 'Level',
      },
      {
        name: 'base_bdevs',
        type: 'array',
        class: 'raid_base_bdevs',
        items: { type: 'string' },
        required: true,
        description: 'Base bdevs in order; "" leaves a place free, where the level works without',
      },
      { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
      { name: 'superblock', type: 'boolean', default: false, description: 'Keep the configuration on the base bdevs' },
    ],
    summary: 'Makes a RAID disk; when base bdevs are not there yet, as soon as they are.',
    handler: async ({ name, strip_size_kb, raid_level, base_bdevs, uuid, superblock }) => {
      await deps.raids().create({
        name,
        level: raidLevelOf(raid_level),
        stripSizeKb: strip_size_kb,
        baseBdevs: base_bdevs,
        uuid,
        superblock,
      });
      return true;
    },
  });
  rpc.register({
    name: 'bdev_raid_delete',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'A RAID disk' },
      { name: 'clear_sb', type: 'boolean', default: false, description: 'Wipe the superblocks of its base bdevs' },
    ],
    summary: 'Removes a RAID disk and lets its base bdevs go.',
    handler: async ({ name, clear_sb }) => {
      await deps.raids().delete(name, clear_sb);
      return true;
    },
  });
  rpc.register({
    name: 'bdev_raid_get_bdevs',
    states: RPC_RUNTIME,
    params: [
      {
        name: 'category',
        type: 'enum',
        class: 'bdev_raid_state',
        values: STATES,
        required: true,
        description: 'In this state',
      },
    ],
    summary: 'Lists RAID disks, also those that wait for base bdevs.',
    handler: ({ category }) =>
      deps
        .raids()
        .list(category)
        .map((disk) => ({ name: disk.params.name, ...describeRaid(disk) })),
  });
  rpc.register({
    name: 'bdev_raid_set_options',
    states: RPC_STARTUP | RPC_RUNTIME,
    params: [
      { name: 'process_window_size_kb', type: 'uint32', description: 'KiB of a base bdev rebuilt at once' },
      { name: 'process_max_bandwidth_mb_sec', type: 'uint32', description: 'MiB rebuilt a second; 0: no limit' },
    ],
    summary: 'Sets how RAID disks are rebuilt.',
    handler: ({ process_window_size_kb, process_max_bandwidth_mb_sec }) => {
      const { options } = deps.raids();
      if (process_window_size_kb !== undefined) {
        const most = 64 * 1024;
        if (process_window_size_kb < 1 || process_window_size_kb > most) {
          throw new SpdkError('EINVAL', `process_window_size_kb is ${process_window_size_kb}, limit 1 to ${most}`);
        }
        options.process_window_size_kb = process_window_size_kb;
      }
      if (process_max_bandwidth_mb_sec !== undefined)
        options.process_max_bandwidth_mb_sec = process_max_bandwidth_mb_sec;
      return true;
    },
  });
  rpc.register({
    name: 'bdev_raid_add_base_bdev',
    states: RPC_RUNTIME,
    params: [
      { name: 'raid_bdev', type: 'string', required: true, description: 'A RAID disk that lacks a base bdev' },
      { name: 'base_bdev', type: 'string', required: true, description: 'The bdev to add' },
    ],
    summary: 'Adds a base bdev to a RAID disk; it is rebuilt from then on.',
    handler: async ({ raid_bdev, base_bdev }) => {
      await deps.raids().addBaseBdev(raid_bdev, base_bdev);
      return true;
    },
  });
  rpc.register({
    name: 'bdev_raid_remove_base_bdev',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'A base bdev' }],
    summary: 'Takes a base bdev out of its RAID disk, which goes when it does not work without.',
    handler: async ({ name }) => {
      await deps.raids().removeBaseBdev(name);
      return true;
    },
  });
}
