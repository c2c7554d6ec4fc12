/**
 * The partitions of a disk with a GUID partition table as disks (SPDK: module/bdev/gpt).
 *
 * Every disk is looked at when it is made. As with SPDK, partitions of SPDK's own type appear by themselves, and only those: a disk of somebody else's is not to be claimed because
 * it has partitions. `bdev_gpt_create` makes disks of all of a disk's partitions, whatever their type, but for those that are there: a saved configuration has it behind the disk, which is
 * being looked at, or has been, when it is loaded. It makes none when one that is there lies elsewhere than the table, which others may have written since, has it: they could overlap.
 */
import {
  type Bdev,
  BdevDesc,
  type BdevModule,
  type BdevRegistry,
  type BdevSpec,
  bdevRegistry,
  CLAIM_NAMES,
  CLAIM_NONE,
  type NewBdev,
  registerBdevModule,
  WAIT_FOR_EXAMINE,
} from '../../../bdev/index.ts';
import { readBytes } from '../../../bdev/read-bytes.ts';
import { explain, isGone, SpdkError } from '../../../env/errors.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { log } from '../../../log/index.ts';
import { attachPart, deleteParts, newPart, type Part, type PartData, partsOf } from '../part/part-bdev.ts';
import {
  type GptPartition,
  type GptTable,
  gptBytes,
  hasProtectiveMbr,
  parseGpt,
  SPDK_GPT_PART_TYPE_GUID,
  SPDK_GPT_PART_TYPE_GUID_OLD,
} from './gpt-table.ts';

const gptLog = log.register('vbdev_gpt');

export interface GptBdevParams {
  readonly base_bdev: string;
  readonly partition: GptPartition;
  /** Asked for, and not found when the disk was looked at. */
  readonly explicit: boolean;
}

interface GptData extends PartData {
  readonly partition: GptPartition;
  readonly explicit: boolean;
}

/** A disk's table; null when it has none. @throws {SpdkError} EINVAL when it is broken; EIO, ENODEV */
async function readTable(bdev: Bdev): Promise<GptTable | null> {
  const desc = BdevDesc.open(bdev.name, { write: false, reactor: bdev.manager.reactor, onEvent: () => {} });
  try {
    // Most disks have none, and their first block says so.
    if (!hasProtectiveMbr(await readBytes(desc, 0, bdev.blockSizeBytes))) return null;
    const bytes = gptBytes(bdev);
    const head = await readBytes(desc, 0, bytes);
    return parseGpt(head, await readBytes(desc, bdev.sizeBytes - bytes, bytes), bdev);
  } finally {
    desc.close();
  }
}

/** Disks of some partitions: all or none. */
async function makeDisks(
  registry: BdevRegistry,
  base: string,
  partitions: readonly GptPartition[],
  explicit: boolean,
): Promise<void> {
  const names: string[] = [];
  try {
    for (const partition of partitions) {
      names.push((await registry.create('gpt', { base_bdev: base, partition, explicit })).name);
    }
  } catch (error) {
    for (const name of names) if (registry.has(name)) await registry.delete(name, 'gpt');
    throw error;
  }
}

/** Of each disk whose partitions are being made or removed, the last of those who do. */
const makers = localKey('bdev_gpt_makers', () => new WeakMap<Bdev, Promise<unknown>>());

/** One after the other: who looks at a disk by himself, who is asked to, and who removes what they have made. Who has his turn takes no other of the same disk. */
function inTurn<T>(bdev: Bdev, work: () => Promise<T>): Promise<T> {
  const last = bdev.manager.reactor.local(makers);
  const mine = (last.get(bdev) ?? Promise.resolve()).then(work, work);
  last.set(bdev, mine);
  return mine;
}

/** Looks at a disk that has been made. What is wrong goes to the log. */
export function examineGpt(bdev: Bdev): Promise<void> {
  return inTurn(bdev, () => examine(bdev));
}

async function examine(bdev: Bdev): Promise<void> {
  if (bdev.moduleName === 'gpt' || bdev.metadata !== null) return;
  // Nor has one any whose blocks no buffer holds.
  if (bdev.blockSizeBytes > bdev.manager.reactor.iobuf.largeBytes) return;
  try {
    if (bdev.shared.claim !== CLAIM_NONE) return;
    const table = await readTable(bdev);
    const ours = table?.partitions.filter(({ typeGuid }) => OWN_TYPES.has(typeGuid)) ?? [];
    for (const problem of table?.problems ?? []) gptLog.warn(`bdev "${bdev.name}": ${problem}`);
    await makeDisks(bdevRegistry(bdev.manager.reactor), bdev.name, ours, false);
  } catch (error) {
    // It, or what it stands on, may have gone, or it has been claimed meanwhile.
    if (!bdev.ready || isGone(error) || bdev.shared.claim !== CLAIM_NONE) return;
    gptLog.error(`bdev "${bdev.name}": its partitions: ${explain(error)}`);
  }
}

const OWN_TYPES = new Set([SPDK_GPT_PART_TYPE_GUID, SPDK_GPT_PART_TYPE_GUID_OLD]);

/**
 * Disks of all partitions of a disk; those that are there stay.
 * @returns their names
 * @throws {SpdkError} ENODEV, also when one of those that are there is going; EPERM when it is claimed by others; EINVAL when it has no table, no partitions, or a broken table; EEXIST when one
 *   that is there is not as the table has it, and nothing is made; EIO
 */
export function createGpt(reactor: Reactor, base: string): Promise<string[]> {
  const bdev = bdevRegistry(reactor).get(base);
  return inTurn(bdev, () => createMissing(reactor, bdev));
}

async function createMissing(reactor: Reactor, bdev: Bdev): Promise<string[]> {
  if (partsOf(reactor, 'gpt', bdev.name).length === 0 && bdev.shared.claim !== CLAIM_NONE) {
    throw new SpdkError('EPERM', `bdev "${bdev.name}" is claimed: ${CLAIM_NAMES[bdev.shared.claim]}`);
  }
  const table = await readTable(bdev);
  if (table === null) throw new SpdkError('EINVAL', `bdev "${bdev.name}" has no GUID partition table`);
  if (table.partitions.length === 0) throw new SpdkError('EINVAL', `bdev "${bdev.name}" has no partitions`);
  const there = new Set<string>();
  for (const part of partsOf(reactor, 'gpt', bdev.name)) {
    checkPart(part, table);
    there.add(part.name);
  }
  const missing = table.partitions.filter((partition) => !there.has(nameOf(bdev.name, partition)));
  await makeDisks(bdevRegistry(reactor), bdev.name, missing, true);
  return table.partitions.map((partition) => nameOf(bdev.name, partition));
}

/** @throws {SpdkError} ENODEV when it is going; EEXIST when the table has it elsewhere, or another one in its place */
function checkPart(part: Bdev, table: GptTable): void {
  if (!part.ready) throw new SpdkError('ENODEV', `bdev "${part.name}" is being removed`);
  const { base, offsetBlocks, partition } = part.spec.data as GptData;
  const listed = table.partitions.find(({ index }) => index === partition.index);
  const now = listed && partOf(base.name, listed);
  if (now?.offset_blocks === offsetBlocks && now.num_blocks === part.blocks && now.uuid === partition.uniqueGuid)
    return;
  const is = placeText(offsetBlocks, part.blocks, partition.uniqueGuid);
  const has =
    now === undefined ? 'no such partition' : `it in ${placeText(now.offset_blocks, now.num_blocks, now.uuid)}`;
  throw new SpdkError(
    'EEXIST',
    `bdev "${part.name}" lies in ${is}, and the table of "${base.name}" now has ${has}: bdev_gpt_delete comes first`,
  );
}

function placeText(offsetBlocks: number, blocks: number, uuid: string): string {
  return `blocks ${offsetBlocks} to ${offsetBlocks + blocks - 1} (${uuid})`;
}

/**
 * Removes the disks of a disk's partitions.
 * @throws {SpdkError} ENODEV; ENOENT when there are none
 */
export function deleteGpt(reactor: Reactor, base: string): Promise<void> {
  const bdev = bdevRegistry(reactor).get(base);
  return inTurn(bdev, () => deleteParts(reactor, 'gpt', bdev.name));
}

function nameOf(base: string, { index }: GptPartition): string {
  return `${base}p${index + 1}`;
}

function partOf(base: string, partition: GptPartition): Part & { readonly uuid: string } {
  const { firstLba, lastLba, typeGuid, uniqueGuid } = partition;
  return {
    name: nameOf(base, partition),
    base_bdev: base,
    offset_blocks: firstLba,
    num_blocks: lastLba - firstLba + (typeGuid === SPDK_GPT_PART_TYPE_GUID_OLD ? 0 : 1),
    uuid: uniqueGuid,
  };
}

export const gptModule: BdevModule<GptBdevParams> = registerBdevModule<GptBdevParams>({
  name: 'gpt',

  create({ base_bdev, partition, explicit }: GptBdevParams, reactor: Reactor): NewBdev {
    return newPart('gpt', 'GPT Disk', partOf(base_bdev, partition), reactor, { partition, explicit });
  },

  attach: attachPart,
  destroy: () => {},
  dumpInfo: (spec: BdevSpec) => {
    const { base, offsetBlocks, partition } = spec.data as GptData;
    return {
      gpt: {
        base_bdev: base.name,
        offset_blocks: offsetBlocks,
        partition_type_guid: partition.typeGuid,
        unique_partition_guid: partition.uniqueGuid,
        partition_name: partition.name,
      },
    };
  },

  // What was found comes by itself again; what was asked for is one call for all of them, with the first.
  configCalls: (spec: BdevSpec, reactor: Reactor) => {
    const { base, explicit } = spec.data as GptData;
    if (!explicit) return [WAIT_FOR_EXAMINE];
    const first = partsOf(reactor, 'gpt', base.name).find((part) => (part.spec.data as GptData).explicit);
    if (first?.name !== spec.name) return [];
    return [{ method: 'bdev_gpt_create', params: { base_bdev: base.name } }];
  },
});
