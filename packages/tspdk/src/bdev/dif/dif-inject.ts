/**
 * Breaks protected data on purpose, a bit at a time, so that tests and targets can prove that somebody notices (SPDK:
 * spdk_dif_inject_error, spdk_dix_inject_error). Not a data path.
 */
import { IovCursor } from '../../env/iov-cursor.ts';
import type { IoVecs } from '../../env/iovecs.ts';
import type { Random } from '../../env/random.ts';
import { EINVAL } from '../status.ts';
import type { DifContext } from './dif-context.ts';
import { DIF_APPTAG_ERROR, DIF_DATA_ERROR, DIF_GUARD_ERROR, DIF_REFTAG_ERROR } from './dif-error.ts';

const ALL = DIF_REFTAG_ERROR | DIF_APPTAG_ERROR | DIF_GUARD_ERROR | DIF_DATA_ERROR;

function flipBit(iovs: IoVecs, byte: number, random: Random): void {
  const cursor = new IovCursor();
  cursor.start(iovs);
  cursor.advance(byte);
  cursor.segment.u8[cursor.offset] ^= 1 << random.int(8);
}

/** Flips one bit of each kind, each in a block drawn for it. The last kind's block, or -EINVAL. */
function inject(
  data: IoVecs,
  dataStride: number,
  tuples: IoVecs,
  tupleStart: number,
  tupleStride: number,
  blocks: number,
  ctx: DifContext,
  flags: number,
  random: Random,
): number {
  if ((flags & ALL) === 0 || (flags & ~ALL) !== 0 || !(blocks > 0)) return EINVAL;
  let block = 0;
  const inTuple = (flag: number, from: number, bytes: number): void => {
    if ((flags & flag) === 0) return;
    block = random.int(blocks);
    flipBit(tuples, block * tupleStride + tupleStart + from + random.int(bytes), random);
  };
  inTuple(DIF_REFTAG_ERROR, 4, 4);
  inTuple(DIF_APPTAG_ERROR, 2, 2);
  inTuple(DIF_GUARD_ERROR, 0, 2);
  if ((flags & DIF_DATA_ERROR) !== 0) {
    block = random.int(blocks);
    flipBit(data, block * dataStride + random.int(ctx.dataSizeBytes), random);
  }
  return block;
}

/**
 * Flips a bit of each kind in `flags` (DIF_*_ERROR) somewhere in `blocks` extended blocks.
 * @returns the block of the last one (reference tag, application tag, guard, data, in this order), or -EINVAL.
 */
export function difInjectError(iovs: IoVecs, blocks: number, ctx: DifContext, flags: number, random: Random): number {
  const stride = ctx.blockSizeBytes;
  if (!ctx.mdInterleave || blocks * stride > iovs.totalBytes) return EINVAL;
  const tupleStart = ctx.dataSizeBytes + ctx.mdBeforeTupleBytes;
  return inject(iovs, stride, iovs, tupleStart, stride, blocks, ctx, flags, random);
}

/** The same for blocks with a metadata buffer. */
export function dixInjectError(
  iovs: IoVecs,
  mdIovs: IoVecs,
  blocks: number,
  ctx: DifContext,
  flags: number,
  random: Random,
): number {
  if (ctx.mdInterleave || blocks * ctx.blockSizeBytes > iovs.totalBytes) return EINVAL;
  if (blocks * ctx.mdSizeBytes > mdIovs.totalBytes) return EINVAL;
  const stride = ctx.blockSizeBytes;
  return inject(iovs, stride, mdIovs, ctx.mdBeforeTupleBytes, ctx.mdSizeBytes, blocks, ctx, flags, random);
}
