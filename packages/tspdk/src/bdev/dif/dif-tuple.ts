/**
 * One block's tuple and guard, wherever the pieces cut them: what all calls of this folder are made of. Data path.
 */
import type { IovCursor } from '../../env/iov-cursor.ts';
import { copyBytes } from '../../env/segment.ts';
import { EIO } from '../status.ts';
import { crc16T10dif } from './crc16-t10dif.ts';
import {
  DIF_APPTAG_IGNORE,
  DIF_FLAGS_APPTAG_CHECK,
  DIF_FLAGS_GUARD_CHECK,
  DIF_FLAGS_REFTAG_CHECK,
  DIF_TUPLE_BYTES,
  DIF_TYPE3,
  type DifContext,
} from './dif-context.ts';
import { DIF_APPTAG_ERROR, DIF_GUARD_ERROR, DIF_REFTAG_ERROR, type DifError } from './dif-error.ts';

/** Continues `crc` over the next `bytes` at the cursor, which moves past them. */
export function guardOver(cursor: IovCursor, crc: number, bytes: number): number {
  while (bytes > 0) {
    const piece = Math.min(bytes, cursor.bytes);
    crc = crc16T10dif(crc, cursor.segment.view, cursor.offset, piece);
    cursor.advance(piece);
    bytes -= piece;
  }
  return crc;
}

/**
 * Copies the next `bytes` from one list to the other; both cursors move. With `withGuard` it continues `crc` over them. It reads the copy for
 * that, not the source: whoever changes the source meanwhile cannot make a guard that does not fit what was copied.
 */
export function copyOver(to: IovCursor, from: IovCursor, bytes: number, crc: number, withGuard: boolean): number {
  while (bytes > 0) {
    const piece = Math.min(bytes, from.bytes, to.bytes);
    copyBytes(to.segment, to.offset, from.segment, from.offset, piece);
    if (withGuard) crc = crc16T10dif(crc, to.segment.view, to.offset, piece);
    from.advance(piece);
    to.advance(piece);
    bytes -= piece;
  }
  return crc;
}

/** Writes a tuple at the cursor, which moves past it. */
export function storeTuple(
  ctx: DifContext,
  cursor: IovCursor,
  guard: number,
  appTag: number,
  refTagBits: number,
): void {
  const whole = cursor.bytes >= DIF_TUPLE_BYTES;
  const view = whole ? cursor.segment.view : ctx.tuple;
  const at = whole ? cursor.offset : 0;
  view.setUint16(at, guard);
  view.setUint16(at + 2, appTag);
  view.setInt32(at + 4, refTagBits);
  if (whole) {
    cursor.advance(DIF_TUPLE_BYTES);
    return;
  }
  for (let i = 0; i < DIF_TUPLE_BYTES; i++) {
    cursor.segment.u8[cursor.offset] = view.getUint8(i);
    cursor.advance(1);
  }
}

/** Reads the tuple at the cursor into the context; the cursor moves past it. */
export function loadTuple(ctx: DifContext, cursor: IovCursor): void {
  const whole = cursor.bytes >= DIF_TUPLE_BYTES;
  let view: DataView = ctx.tuple;
  let at = 0;
  if (whole) {
    view = cursor.segment.view;
    at = cursor.offset;
  } else {
    for (let i = 0; i < DIF_TUPLE_BYTES; i++) {
      view.setUint8(i, cursor.segment.u8[cursor.offset]);
      cursor.advance(1);
    }
  }
  ctx.guard = view.getUint16(at);
  ctx.tupleAppTag = view.getUint16(at + 2);
  ctx.tupleRefTagBits = view.getInt32(at + 4);
  if (whole) cursor.advance(DIF_TUPLE_BYTES);
}

/** Writes the tuple of block `block` of the call, whose guard is `guard`. */
export function generateTuple(ctx: DifContext, cursor: IovCursor, block: number, guard: number): void {
  const flags = ctx.difFlags;
  storeTuple(
    ctx,
    cursor,
    (flags & DIF_FLAGS_GUARD_CHECK) !== 0 ? guard : 0,
    (flags & DIF_FLAGS_APPTAG_CHECK) !== 0 ? ctx.appTag : 0,
    (flags & DIF_FLAGS_REFTAG_CHECK) !== 0 ? ctx.refTagOf(ctx.refTagBits, block) : 0,
  );
}

/** Whether the tuple that was read last says that its block is not to be checked. */
export function isIgnored(ctx: DifContext): boolean {
  return ctx.tupleAppTag === DIF_APPTAG_IGNORE && (ctx.difType !== DIF_TYPE3 || ctx.tupleRefTagBits === -1);
}

/** Checks the reference tag that was read last, of block `block` of the call: 0 or -EIO. */
export function checkRefTag(ctx: DifContext, block: number, error: DifError | null): number {
  if ((ctx.difFlags & DIF_FLAGS_REFTAG_CHECK) === 0 || ctx.difType === DIF_TYPE3) return 0;
  const refTagBits = ctx.refTagOf(ctx.refTagBits, block);
  if (ctx.tupleRefTagBits === refTagBits) return 0;
  error?.set(DIF_REFTAG_ERROR, refTagBits >>> 0, ctx.tupleRefTagBits >>> 0, block);
  return EIO;
}

/** Reads the tuple at the cursor and checks it against `guard`, the guard of what was read: 0 or -EIO. */
export function verifyTuple(
  ctx: DifContext,
  cursor: IovCursor,
  block: number,
  guard: number,
  error: DifError | null,
): number {
  loadTuple(ctx, cursor);
  if (isIgnored(ctx)) return 0;
  const flags = ctx.difFlags;
  if ((flags & DIF_FLAGS_GUARD_CHECK) !== 0 && ctx.guard !== guard) {
    error?.set(DIF_GUARD_ERROR, guard, ctx.guard, block);
    return EIO;
  }
  const expected = ctx.appTag & ctx.appTagMask;
  const actual = ctx.tupleAppTag & ctx.appTagMask;
  if ((flags & DIF_FLAGS_APPTAG_CHECK) !== 0 && actual !== expected) {
    error?.set(DIF_APPTAG_ERROR, expected, actual, block);
    return EIO;
  }
  return checkRefTag(ctx, block, error);
}
