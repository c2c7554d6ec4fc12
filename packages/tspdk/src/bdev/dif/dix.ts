/**
 * Protection information in a metadata buffer of its own (SPDK: spdk_dix_generate, spdk_dix_verify, spdk_dix_remap_ref_tag). Data path.
 *
 * `iovs` holds the data of the blocks, `mdIovs` their metadata one after the other. Both may be cut anywhere, and be longer than needed.
 */
import type { IoVecs } from '../../env/iovecs.ts';
import { EINVAL } from '../status.ts';
import { remapTuples } from './dif.ts';
import { DIF_DISABLE, DIF_FLAGS_GUARD_CHECK, type DifContext } from './dif-context.ts';
import type { DifError } from './dif-error.ts';
import { generateTuple, guardOver, verifyTuple } from './dif-tuple.ts';

function holds(iovs: IoVecs | null, mdIovs: IoVecs, blocks: number, ctx: DifContext): boolean {
  if (ctx.mdInterleave || !(blocks >= 0)) return false;
  if (iovs !== null && blocks * ctx.blockSizeBytes > iovs.totalBytes) return false;
  return blocks * ctx.mdSizeBytes <= mdIovs.totalBytes;
}

/**
 * Writes the tuples of `blocks` blocks into their metadata.
 * @returns 0, or -EINVAL when a list is too short or the context is interleaved.
 */
export function dixGenerate(iovs: IoVecs, mdIovs: IoVecs, blocks: number, ctx: DifContext): number {
  if (!holds(iovs, mdIovs, blocks, ctx)) return EINVAL;
  if (ctx.difType === DIF_DISABLE) return 0;
  const { cursor, otherCursor: md } = ctx;
  const withGuard = (ctx.difFlags & DIF_FLAGS_GUARD_CHECK) !== 0;
  cursor.start(iovs);
  md.start(mdIovs);
  for (let block = 0; block < blocks; block++) {
    let guard = 0;
    if (withGuard) {
      guard = guardOver(cursor, ctx.guardSeed, ctx.dataSizeBytes);
      guard = guardOver(md, guard, ctx.mdBeforeTupleBytes);
    } else {
      md.advance(ctx.mdBeforeTupleBytes);
    }
    generateTuple(ctx, md, block, guard);
    md.advance(ctx.mdAfterTupleBytes);
  }
  cursor.end();
  md.end();
  return 0;
}

/**
 * Checks `blocks` blocks against the tuples in their metadata, up to the first that is wrong.
 * @returns 0; -EIO with `error` filled in; -EINVAL as `dixGenerate`.
 */
export function dixVerify(
  iovs: IoVecs,
  mdIovs: IoVecs,
  blocks: number,
  ctx: DifContext,
  error: DifError | null,
): number {
  if (!holds(iovs, mdIovs, blocks, ctx)) return EINVAL;
  if (ctx.difType === DIF_DISABLE) return 0;
  const { cursor, otherCursor: md } = ctx;
  const withGuard = (ctx.difFlags & DIF_FLAGS_GUARD_CHECK) !== 0;
  let rc = 0;
  cursor.start(iovs);
  md.start(mdIovs);
  for (let block = 0; block < blocks && rc === 0; block++) {
    let guard = 0;
    if (withGuard) {
      guard = guardOver(cursor, ctx.guardSeed, ctx.dataSizeBytes);
      guard = guardOver(md, guard, ctx.mdBeforeTupleBytes);
    } else {
      md.advance(ctx.mdBeforeTupleBytes);
    }
    rc = verifyTuple(ctx, md, block, guard, error);
    md.advance(ctx.mdAfterTupleBytes);
  }
  cursor.end();
  md.end();
  return rc;
}

/** As `difRemapRefTag`, for tuples in a metadata buffer. */
export function dixRemapRefTag(
  mdIovs: IoVecs,
  blocks: number,
  ctx: DifContext,
  error: DifError | null,
  checkRefTags = true,
): number {
  if (!holds(null, mdIovs, blocks, ctx)) return EINVAL;
  return remapTuples(mdIovs, ctx.mdBeforeTupleBytes, ctx.mdAfterTupleBytes, blocks, ctx, error, checkRefTags);
}
