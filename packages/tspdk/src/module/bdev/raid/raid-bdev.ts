/**
 * RAID disks as a bdev module (SPDK: module/bdev/raid). The disk itself is made by its RaidDisk (raid-disk.ts), which owns the members; here is what the block
 * layer asks for.
 */
import { type BdevModule, type BdevSpec, registerBdevModule, WAIT_FOR_EXAMINE } from '../../../bdev/index.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { RaidBackend } from './raid-backend.ts';
import type { RaidData } from './raid-data.ts';
import type { RaidDisk } from './raid-disk.ts';
import { describeRaid, raidConfigCalls } from './raid-info.ts';
import { raidRegistry } from './raid-registry.ts';

export interface RaidBdevParams {
  readonly disk: RaidDisk;
}

const diskOf = (spec: Pick<BdevSpec, 'data'>, reactor: Reactor): RaidDisk | undefined =>
  raidRegistry(reactor).byKey((spec.data as RaidData).key);

export const raidModule: BdevModule<RaidBdevParams> = registerBdevModule<RaidBdevParams>({
  name: 'raid',

  create: ({ disk }: RaidBdevParams) => disk.newBdev(),
  attach: (spec: BdevSpec, reactor: Reactor) => new RaidBackend(spec, reactor),

  async destroy(spec: Pick<BdevSpec, 'name' | 'data'>, reactor: Reactor): Promise<void> {
    const disk = diskOf(spec, reactor);
    // One that never came to be is closed by whoever started it.
    if (disk !== undefined && disk.bdev !== null) await disk.close();
  },

  dumpInfo(spec: BdevSpec, reactor: Reactor) {
    const disk = diskOf(spec, reactor);
    return { raid: disk === undefined ? {} : describeRaid(disk) };
  },

  configCalls(spec: BdevSpec, reactor: Reactor) {
    const disk = diskOf(spec, reactor);
    if (disk === undefined) return [];
    const calls = raidConfigCalls(disk);
    return calls.length > 0 ? calls : [WAIT_FOR_EXAMINE];
  },

  bases(spec: BdevSpec, reactor: Reactor) {
    return (diskOf(spec, reactor)?.slots ?? []).flatMap(({ base }) => base?.bdev ?? []);
  },
});
