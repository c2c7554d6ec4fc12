/**
 * Protection information interleaved with the data: generate, verify, insert and strip (SPDK: spdk_dif_generate, spdk_dif_verify,
 * spdk_dif_generate_copy, spdk_dif_verify_copy, spdk_dif_remap_ref_tag). Data path.
 *
 * Lists of pieces may cut blocks and tuples anywhere. A list that is longer than `blocks` is fine, its rest is left alone.
 */
import type { IoVecs } from '../../env/iovecs.ts';
import { EINVAL } from '../status.ts';
import {
  DIF_DISABLE,
  DIF_FLAGS_GUARD_CHECK,
  DIF_FLAGS_REFTAG_CHECK,
  DIF_TUPLE_BYTES,
  DIF_TYPE3,
  type DifContext,
} from './dif-context.ts';
import type { DifError } from './dif-error.ts';
import {
  checkRefTag,
  copyOver,
  generateTuple,
  guardOver,
  isIgnored,
  loadTuple,
  storeTuple,
  verifyTuple,
} from './dif-tuple.ts';

/** Whether the list holds `blocks` extended blocks. */
function holds(iovs: IoVecs, blocks: number, ctx: DifContext): boolean {
  return ctx.mdInterleave && blocks >= 0 && blocks * ctx.blockSizeBytes <= iovs.totalBytes;
}

/**
 * Writes the tuples of `blocks` extended blocks.
 * @returns 0, or -EINVAL when the list is too short or the context is not interleaved.
 */
export function difGenerate(iovs: IoVecs, blocks: number, ctx: DifContext): number {
  if (!holds(iovs, blocks, ctx)) return EINVAL;
  if (ctx.difType === DIF_DISABLE) return 0;
  const { cursor } = ctx;
  const covered = ctx.dataSizeBytes + ctx.mdBeforeTupleBytes;
  const withGuard = (ctx.difFlags & DIF_FLAGS_GUARD_CHECK) !== 0;
  cursor.start(iovs);
  for (let block = 0; block < blocks; block++) {
    let guard = 0;
    if (withGuard) guard = guardOver(cursor, ctx.guardSeed, covered);
    else cursor.advance(covered);
    generateTuple(ctx, cursor, block, guard);
    cursor.advance(ctx.mdAfterTupleBytes);
  }
  cursor.end();
  return 0;
}

/**
 * Checks the tuples of `blocks` extended blocks, up to the first that is wrong.
 * @returns 0; -EIO with `error` filled in; -EINVAL as `difGenerate`.
 */
export function difVerify(iovs: IoVecs, blocks: number, ctx: DifContext, error: DifError | null): number {
  if (!holds(iovs, blocks, ctx)) return EINVAL;
  if (ctx.difType === DIF_DISABLE) return 0;
  const { cursor } = ctx;
  const covered = ctx.dataSizeBytes + ctx.mdBeforeTupleBytes;
  const withGuard = (ctx.difFlags & DIF_FLAGS_GUARD_CHECK) !== 0;
  let rc = 0;
  cursor.start(iovs);
  for (let block = 0; block < blocks && rc === 0; block++) {
    let guard = 0;
    if (withGuard) guard = guardOver(cursor, ctx.guardSeed, covered);
    else cursor.advance(covered);
    rc = verifyTuple(ctx, cursor, block, guard, error);
    cursor.advance(ctx.mdAfterTupleBytes);
  }
  cursor.end();
  return rc;
}

/** Whether `iovs` holds the data and `bounce` the extended blocks. */
function bothHold(iovs: IoVecs, bounce: IoVecs, blocks: number, ctx: DifContext): boolean {
  return holds(bounce, blocks, ctx) && blocks * ctx.dataSizeBytes <= iovs.totalBytes;
}

/**
 * Insert: copies the bare data of `iovs` to the extended blocks of `bounce` and writes their tuples. Other metadata of `bounce` stays as it is, and counts
 * for the guard where it lies before the tuple. With DIF_DISABLE it copies only.
 * @returns 0, or -EINVAL when a list is too short or the context is not interleaved.
 */
export function difGenerateCopy(iovs: IoVecs, bounce: IoVecs, blocks: number, ctx: DifContext): number {
  if (!bothHold(iovs, bounce, blocks, ctx)) return EINVAL;
  const { cursor, otherCursor } = ctx;
  const enabled = ctx.difType !== DIF_DISABLE;
  const withGuard = enabled && (ctx.difFlags & DIF_FLAGS_GUARD_CHECK) !== 0;
  cursor.start(bounce);
  otherCursor.start(iovs);
  for (let block = 0; block < blocks; block++) {
    let guard = copyOver(cursor, otherCursor, ctx.dataSizeBytes, ctx.guardSeed, withGuard);
    if (!enabled) {
      cursor.advance(ctx.mdSizeBytes);
      continue;
    }
    if (withGuard) guard = guardOver(cursor, guard, ctx.mdBeforeTupleBytes);
    else cursor.advance(ctx.mdBeforeTupleBytes);
    generateTuple(ctx, cursor, block, guard);
    cursor.advance(ctx.mdAfterTupleBytes);
  }
  cursor.end();
  otherCursor.end();
  return 0;
}

/**
 * Strip: copies the data of the extended blocks of `bounce` to `iovs` and checks the copy against the tuples, up to the first that is wrong; that block has
 * then been copied too, and the caller drops it all.
 * @returns 0; -EIO with `error` filled in; -EINVAL as `difGenerateCopy`.
 */
export function difVerifyCopy(
  iovs: IoVecs,
  bounce: IoVecs,
  blocks: number,
  ctx: DifContext,
  error: DifError | null,
): number {
  if (!bothHold(iovs, bounce, blocks, ctx)) return EINVAL;
  const { cursor, otherCursor } = ctx;
  const enabled = ctx.difType !== DIF_DISABLE;
  const withGuard = enabled && (ctx.difFlags & DIF_FLAGS_GUARD_CHECK) !== 0;
  let rc = 0;
  cursor.start(bounce);
  otherCursor.start(iovs);
  for (let block = 0; block < blocks && rc === 0; block++) {
    let guard = copyOver(otherCursor, cursor, ctx.dataSizeBytes, ctx.guardSeed, withGuard);
    if (!enabled) {
      cursor.advance(ctx.mdSizeBytes);
      continue;
    }
    if (withGuard) guard = guardOver(cursor, guard, ctx.mdBeforeTupleBytes);
    else cursor.advance(ctx.mdBeforeTupleBytes);
    rc = verifyTuple(ctx, cursor, block, guard, error);
    cursor.advance(ctx.mdAfterTupleBytes);
  }
  cursor.end();
  otherCursor.end();
  return rc;
}

/**
 * Gives extended blocks that move to another LBA (a partition's to its disk) the reference tags of there, counted from `setRemappedInitRefTag`; with
 * `checkRefTags` only after a look at the ones they have. Blocks whose checks are off keep theirs, and so do all without
 * DIF_FLAGS_REFTAG_CHECK or of type 3.
 * @returns 0; -EIO with `error` filled in, blocks before it are changed; -EINVAL as `difGenerate`.
 */
export function difRemapRefTag(
  iovs: IoVecs,
  blocks: number,
  ctx: DifContext,
  error: DifError | null,
  checkRefTags = true,
): number {
  if (!holds(iovs, blocks, ctx)) return EINVAL;
  const before = ctx.dataSizeBytes + ctx.mdBeforeTupleBytes;
  return remapTuples(iovs, before, ctx.mdAfterTupleBytes, blocks, ctx, error, checkRefTags);
}

/** The same for tuples that lie `before` bytes into each of `blocks` stretches and have `after` bytes behind them. */
export function remapTuples(
  iovs: IoVecs,
  before: number,
  after: number,
  blocks: number,
  ctx: DifContext,
  error: DifError | null,
  checkRefTags: boolean,
): number {
  if (ctx.difType === DIF_DISABLE || ctx.difType === DIF_TYPE3) return 0;
  if ((ctx.difFlags & DIF_FLAGS_REFTAG_CHECK) === 0) return 0;
  // One cursor reads a tuple, the other follows to write it.
  const { cursor, otherCursor } = ctx;
  let rc = 0;
  cursor.start(iovs);
  otherCursor.start(iovs);
  for (let block = 0; block < blocks; block++) {
    cursor.advance(before);
    otherCursor.advance(before);
    loadTuple(ctx, cursor);
    if (isIgnored(ctx)) {
      otherCursor.advance(DIF_TUPLE_BYTES);
    } else {
      if (checkRefTags) rc = checkRefTag(ctx, block, error);
      if (rc !== 0) break;
      const refTagBits = ctx.refTagOf(ctx.remappedRefTagBits, block);
      storeTuple(ctx, otherCursor, ctx.guard, ctx.tupleAppTag, refTagBits);
    }
    cursor.advance(after);
    otherCursor.advance(after);
  }
  cursor.end();
  otherCursor.end();
  return rc;
}
