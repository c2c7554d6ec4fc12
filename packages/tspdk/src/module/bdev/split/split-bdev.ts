/** Disks of equal size out of one (SPDK: module/bdev/split). */
import { type BdevModule, type BdevSpec, bdevRegistry, type NewBdev, registerBdevModule } from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import { limits } from '../../../env/limits.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { attachPart, newPart, type PartData } from '../part/part-bdev.ts';

const MIB = 1024 * 1024;

/** How a disk is split. */
export interface Split {
  readonly base_bdev: string;
  readonly split_count: number;
  /** MiB of each; 0: as large as they can be alike. */
  readonly split_size_mb?: number | undefined;
}

export interface SplitBdevParams extends Split {
  readonly name: string;
  /** Which of them it is, from 0. */
  readonly index: number;
  /** Default: one that follows from the base's. */
  readonly uuid?: string | undefined;
}

interface SplitData extends PartData {
  readonly index: number;
  readonly count: number;
  readonly sizeMb: number;
}

/** Blocks of each. @throws {SpdkError} EINVAL when they do not fit, or are no whole blocks */
function partBlocks(reactor: Reactor, { base_bdev, split_count, split_size_mb = 0 }: Split): number {
  const { blocks, blockSizeBytes, name } = bdevRegistry(reactor).get(base_bdev);
  if (split_size_mb === 0) {
    const each = Math.floor(blocks / split_count);
    if (each === 0) throw new SpdkError('EINVAL', `split_count ${split_count}: bdev "${name}" has ${blocks} blocks`);
    return each;
  }
  const each = (split_size_mb * MIB) / blockSizeBytes;
  if (!Number.isInteger(each)) {
    throw new SpdkError('EINVAL', `split_size_mb ${split_size_mb} are no whole blocks of ${blockSizeBytes} bytes`);
  }
  if (each * split_count > blocks) {
    const room = Math.floor(blocks / each);
    throw new SpdkError(
      'EINVAL',
      `split_count ${split_count}: bdev "${name}" has room for ${room} of ${split_size_mb} MiB`,
    );
  }
  return each;
}

function partName(base: string, index: number): string {
  return `${base}p${index}`;
}

/**
 * Splits a disk, now or when it comes, and whenever it comes back; what fails then goes to the log. All of them or none.
 * @returns their names
 * @throws {SpdkError} EINVAL, EEXIST, EPERM
 */
export async function createSplit(reactor: Reactor, split: Split): Promise<string[]> {
  const { split_count, base_bdev } = split;
  const registry = bdevRegistry(reactor);
  const most = limits.bdev_split_max;
  if (!(split_count > 0 && split_count <= most)) {
    throw new SpdkError('EINVAL', `split_count ${split_count}, limit 1 to ${most}`);
  }
  if (registry.isThere(base_bdev)) partBlocks(reactor, split);
  const names: string[] = [];
  try {
    for (let index = 0; index < split_count; index++) {
      const params: SplitBdevParams = { ...split, index, name: partName(base_bdev, index) };
      const call = index > 0 ? null : { method: 'bdev_split_create', params: { ...split } };
      names.push(await registry.createOn(base_bdev, 'split', params, call));
    }
  } catch (error) {
    for (const name of names) await registry.delete(name, 'split').catch(() => {});
    throw error;
  }
  return names;
}

export const splitModule: BdevModule<SplitBdevParams> = registerBdevModule<SplitBdevParams>({
  name: 'split',

  create(params: SplitBdevParams, reactor: Reactor): NewBdev {
    const { name, base_bdev, index, split_count, split_size_mb = 0, uuid } = params;
    const num_blocks = partBlocks(reactor, params);
    const part = { name, base_bdev, num_blocks, offset_blocks: index * num_blocks, uuid };
    const more = { index, count: split_count, sizeMb: split_size_mb };
    return newPart('split', 'Split Disk', part, reactor, more);
  },

  attach: attachPart,
  destroy: () => {},
  dumpInfo: (spec: BdevSpec) => {
    const { base, offsetBlocks } = spec.data as SplitData;
    return { split: { base_bdev: base.name, offset_blocks: offsetBlocks } };
  },

  // One call makes all of them; of the base as it was named, perhaps by its uuid, as they are to have the same names again.
  configCalls: (spec: BdevSpec) => {
    const { index, count, sizeMb } = spec.data as SplitData;
    if (index > 0) return [];
    const base_bdev = spec.name.slice(0, -partName('', 0).length);
    return [{ method: 'bdev_split_create', params: { base_bdev, split_count: count, split_size_mb: sizeMb } }];
  },
});
