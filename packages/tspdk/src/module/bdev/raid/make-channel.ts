/** The channel of a RAID disk's level. */
import type { RaidBackend } from './raid-backend.ts';
import type { RaidChannel } from './raid-channel.ts';
import { CONCAT, RAID1, RAID5F } from './raid-level.ts';
import { ConcatMap, Raid0Map, Raid5fMap } from './raid-map.ts';
import { Raid1Channel } from './raid1-channel.ts';
import { Raid5fChannel } from './raid5f-channel.ts';
import { StripedChannel } from './striped-channel.ts';

export function makeRaidChannel(backend: RaidBackend): RaidChannel {
  const { level, dataBlocks, stripBlocks } = backend.data;
  if (level === RAID1) return new Raid1Channel(backend);
  if (level === RAID5F) return new Raid5fChannel(backend, new Raid5fMap(dataBlocks, stripBlocks));
  if (level === CONCAT) return new StripedChannel(backend, new ConcatMap(dataBlocks, stripBlocks));
  return new StripedChannel(backend, new Raid0Map(dataBlocks, stripBlocks));
}
