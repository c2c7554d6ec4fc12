/** A disk's spec, of what its module has made: checked here, once, rather than on each core. */
import { randomUUID } from 'node:crypto';
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { Metadata, type MetadataFormat } from './metadata.ts';
import type { BdevLimits, BdevSpec, NewBdev } from './module.ts';
import { createQosState } from './qos.ts';
import { createSharedState } from './shared-state.ts';

const NO_LIMITS: BdevLimits = {
  physicalBlockSizeBytes: 0,
  optimalIoBoundaryBlocks: 0,
  preferredWriteAlignmentBlocks: 0,
  preferredWriteGranularityBlocks: 0,
  optimalWriteSizeBlocks: 0,
  preferredUnmapAlignmentBlocks: 0,
  preferredUnmapGranularityBlocks: 0,
  splitOnOptimalIoBoundary: false,
  writeUnitBlocks: 0,
  splitOnWriteUnit: false,
  maxRwBlocks: 0,
  maxSegments: 0,
  maxSegmentBytes: 0,
  requiredAlignmentBytes: 0,
  maxUnmapBlocks: 0,
  maxWriteZeroesBlocks: 0,
  maxCopyBlocks: 0,
};

/**
 * @param bufBytes of a large I/O buffer, through which the layer aligns whole blocks and protects them
 * @throws {SpdkError} ENAMETOOLONG; EINVAL for a bad block size, count or format; ENOTSUP for metadata on a disk with a home core
 */
export function newSpec(id: number, moduleName: string, made: NewBdev, bufBytes: number): BdevSpec {
  const { name, blockSizeBytes, blocks } = made;
  const dataBytes = blockSizeBytes - (made.metadata?.interleaved === true ? made.metadata.bytes : 0);
  if (!(Number.isInteger(dataBytes) && dataBytes >= 512 && dataBytes % 512 === 0)) {
    throw new SpdkError('EINVAL', `bdev "${name}": block size ${blockSizeBytes} is not a multiple of 512`);
  }
  if (!(blocks > 0 && Number.isSafeInteger(blocks * blockSizeBytes))) {
    throw new SpdkError('EINVAL', `bdev "${name}": ${blocks} blocks of ${blockSizeBytes} bytes is no size`);
  }
  const protectedBytes = made.metadata?.interleaved === true ? blockSizeBytes : (made.metadata?.bytes ?? 0);
  if (protectedBytes > bufBytes) {
    const what = `${protectedBytes} bytes of a block's metadata, and data where they are one`;
    throw new SpdkError('EINVAL', `bdev "${name}": ${what}, limit ${bufBytes}, a large I/O buffer`);
  }
  checkAlignment(name, blockSizeBytes, bufBytes, made.limits);
  const uuid = (made.uuid ?? randomUUID()).toLowerCase();
  const aliases = [...(made.aliases ?? [])];
  if (uuid !== name && !aliases.includes(uuid)) aliases.push(uuid);
  for (const each of [name, ...aliases]) checkLength(each);
  return {
    id,
    name,
    aliases,
    uuid,
    moduleName,
    productName: made.productName,
    blockSizeBytes,
    blocks,
    writable: made.writable ?? true,
    ioTypes: made.ioTypes,
    volatileCache: made.volatileCache ?? false,
    homeCore: made.homeCore ?? -1,
    level: levelOf(made),
    limits: { ...NO_LIMITS, ...made.limits },
    metadata: metadataOf(made),
    shared: createSharedState(),
    qos: createQosState(),
    data: made.data,
  };
}

/** @throws {SpdkError} ENAMETOOLONG */
export function checkLength(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > 0 && bytes <= limits.name_bytes) return;
  throw new SpdkError('ENAMETOOLONG', `bdev name of ${bytes} bytes, limit 1 to ${limits.name_bytes}`);
}

/** One more than the highest of what it stands on. */
function levelOf({ bases = [], level = 1 + Math.max(-1, ...bases.map(({ bdev }) => bdev.level)) }: NewBdev): number {
  return level;
}

function checkAlignment(
  name: string,
  blockSizeBytes: number,
  bufBytes: number,
  { requiredAlignmentBytes = 0, maxSegmentBytes = 0, writeUnitBlocks = 0 }: Partial<BdevLimits> = {},
): void {
  if (requiredAlignmentBytes === 0) return;
  const most = limits.iobuf_align_bytes;
  if (
    !(
      requiredAlignmentBytes >= 1 &&
      requiredAlignmentBytes <= most &&
      Number.isInteger(Math.log2(requiredAlignmentBytes))
    )
  ) {
    const what = `required alignment of ${requiredAlignmentBytes} bytes`;
    throw new SpdkError('EINVAL', `bdev "${name}": ${what}, limit a power of two up to ${most}`);
  }
  const unitBytes = Math.max(1, writeUnitBlocks) * blockSizeBytes;
  if (requiredAlignmentBytes > 1 && unitBytes > bufBytes) {
    const what = `aligned memory for what is written in units of ${unitBytes} bytes`;
    throw new SpdkError('EINVAL', `bdev "${name}": ${what}, limit ${bufBytes}`);
  }
  // Else what is cut to size would have to be aligned again, and so on.
  if (maxSegmentBytes % requiredAlignmentBytes !== 0) {
    const what = `segments of ${maxSegmentBytes} bytes`;
    throw new SpdkError(
      'EINVAL',
      `bdev "${name}": ${what} are no multiple of its alignment, ${requiredAlignmentBytes}`,
    );
  }
}

function metadataOf({ name, metadata = null, blockSizeBytes, homeCore = -1 }: NewBdev): MetadataFormat | null {
  if (metadata === null) return null;
  if (homeCore >= 0) throw new SpdkError('ENOTSUP', `bdev "${name}": metadata of a disk that lives on one core`);
  try {
    return new Metadata(metadata, blockSizeBytes).format;
  } catch (error) {
    throw new SpdkError((error as SpdkError).code, `bdev "${name}": ${(error as SpdkError).message}`);
  }
}
