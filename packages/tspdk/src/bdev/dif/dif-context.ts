/**
 * What protection information means for the blocks of one I/O: format, type, checks and tags (SPDK: struct spdk_dif_ctx, spdk_dif_ctx_init).
 *
 * `init` is control: it is told once how a namespace is formatted, checks all of it and derives where things lie. An I/O then only sets its first
 * reference tag. A context belongs to one reactor and holds the cursors of the call under way, which is why the functions of this
 * folder allocate nothing; they never wait, so one context serves any number of I/Os, one call after the other.
 *
 * A block of `blockSizeBytes` is data and `mdSizeBytes` of metadata behind it (interleaved, "extended LBA"), or data alone, the metadata of all blocks
 * lying in a buffer of its own (DIX). Eight bytes of the metadata, the first or the last, are the tuple: guard, application tag, reference
 * tag, big endian. The guard covers the data and what metadata lies before the tuple (NVM Command Set specification, Protection Information and
 * Metadata): nothing of it when the tuple is first, `mdSizeBytes - 8` bytes when it is last.
 */
import { IovCursor } from '../../env/iov-cursor.ts';
import { EINVAL, ENOTSUP } from '../status.ts';

/** Types of protection. 1 and 2 count the reference tag up from block to block, 3 leaves it as it is and does not check it. */
export const DIF_DISABLE = 0;
export const DIF_TYPE1 = 1;
export const DIF_TYPE2 = 2;
export const DIF_TYPE3 = 3;

/** What is written and checked: the PRCHK bits of an NVMe command, where dword 12 has them. */
export const DIF_FLAGS_REFTAG_CHECK = 1 << 26;
export const DIF_FLAGS_APPTAG_CHECK = 1 << 27;
export const DIF_FLAGS_GUARD_CHECK = 1 << 28;

/** Formats of protection information, NVMe's PIF field. Only the first is implemented. */
export const DIF_PI_FORMAT_16 = 0;
export const DIF_PI_FORMAT_32 = 1;
export const DIF_PI_FORMAT_64 = 2;

/** An application tag that switches a block's checks off (types 1 and 2). */
export const DIF_APPTAG_IGNORE = 0xffff;
/** Together with DIF_APPTAG_IGNORE it switches them off for type 3. */
export const DIF_REFTAG_IGNORE = 0xffffffff;

/** Bytes of a tuple with a 16-bit guard. */
export const DIF_TUPLE_BYTES = 8;
/** Data of a protected block comes in multiples of this; the formats with wider guards want 4096. */
const DATA_MULTIPLE_BYTES = 512;

export interface DifOptions {
  /** Data and metadata of a block when interleaved, else its data. */
  readonly blockSizeBytes: number;
  readonly mdSizeBytes: number;
  readonly mdInterleave: boolean;
  /** The tuple is at the start of the metadata, not at its end (SPDK: dif_loc, dif_is_head_of_md). */
  readonly difIsHeadOfMd: boolean;
  /** One of DIF_DISABLE, DIF_TYPE1, ... */
  readonly difType: number;
  /** DIF_FLAGS_*. What is not checked is written as 0. */
  readonly difFlags: number;
  /** The first block's reference tag: any integer, of which 32 bits count; 0 by default. */
  readonly initRefTag?: number;
  /** Bits of the application tag that are compared: 16 bits, all by default. */
  readonly appTagMask?: number;
  /** 16 bits, 0 by default. */
  readonly appTag?: number;
  /** Where the guard's CRC starts: 16 bits, 0 by default. */
  readonly guardSeed?: number;
  /** DIF_PI_FORMAT_16 by default. */
  readonly piFormat?: number;
}

function isU16(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff;
}

export class DifContext {
  blockSizeBytes = 0;
  mdSizeBytes = 0;
  mdInterleave = true;
  difIsHeadOfMd = false;
  difType = DIF_DISABLE;
  difFlags = 0;
  appTagMask = 0xffff;
  appTag = 0;
  guardSeed = 0;
  piFormat = DIF_PI_FORMAT_16;
  /** Data of a block. */
  dataSizeBytes = 0;
  /** Metadata before the tuple, which the guard covers. */
  mdBeforeTupleBytes = 0;
  /** Metadata behind it. */
  mdAfterTupleBytes = 0;
  /** The first reference tag as 32 bits with a sign, a small integer whatever its value. */
  refTagBits = 0;
  /** The same of the tags to come (`difRemapRefTag`). */
  remappedRefTagBits = 0;

  /** The call's own: where it is in the data or extended blocks, and in the other list. */
  readonly cursor = new IovCursor();
  readonly otherCursor = new IovCursor();
  /** The call's own: the last tuple read. */
  guard = 0;
  tupleAppTag = 0;
  tupleRefTagBits = 0;
  /** The call's own: a tuple that lies in several pieces. */
  readonly tuple: DataView = new DataView(new ArrayBuffer(DIF_TUPLE_BYTES));

  /**
   * Takes a format and the tags. Control path.
   * @returns 0; -EINVAL for what does not fit (no room for a tuple, data no multiple of 512 bytes, tags of more than 16 bits, an unknown type); -ENOTSUP
   *   for a wider guard. The context is then as it was.
   */
  init(options: DifOptions): number {
    const { blockSizeBytes, mdSizeBytes, mdInterleave, difType } = options;
    const { appTagMask = 0xffff, appTag = 0, guardSeed = 0, piFormat = DIF_PI_FORMAT_16, initRefTag = 0 } = options;
    if (piFormat === DIF_PI_FORMAT_32 || piFormat === DIF_PI_FORMAT_64) return ENOTSUP;
    if (piFormat !== DIF_PI_FORMAT_16) return EINVAL;
    if (!Number.isInteger(mdSizeBytes) || mdSizeBytes < DIF_TUPLE_BYTES) return EINVAL;
    if (!Number.isInteger(difType) || difType < DIF_DISABLE || difType > DIF_TYPE3) return EINVAL;
    if (!isU16(appTagMask) || !isU16(appTag) || !isU16(guardSeed) || !Number.isInteger(initRefTag)) return EINVAL;
    const dataSizeBytes = mdInterleave ? blockSizeBytes - mdSizeBytes : blockSizeBytes;
    if (!(dataSizeBytes > 0) || dataSizeBytes % DATA_MULTIPLE_BYTES !== 0) return EINVAL;
    this.blockSizeBytes = blockSizeBytes;
    this.mdSizeBytes = mdSizeBytes;
    this.mdInterleave = mdInterleave;
    this.difIsHeadOfMd = options.difIsHeadOfMd;
    this.difType = difType;
    this.difFlags = options.difFlags;
    this.appTagMask = appTagMask;
    this.appTag = appTag;
    this.guardSeed = guardSeed;
    this.piFormat = piFormat;
    this.dataSizeBytes = dataSizeBytes;
    this.mdBeforeTupleBytes = options.difIsHeadOfMd ? 0 : mdSizeBytes - DIF_TUPLE_BYTES;
    this.mdAfterTupleBytes = mdSizeBytes - DIF_TUPLE_BYTES - this.mdBeforeTupleBytes;
    this.setInitRefTag(initRefTag);
    this.remappedRefTagBits = this.refTagBits;
    return 0;
  }

  /** The reference tag of the next call's first block: its LBA for type 1, of which the low 32 bits count. */
  setInitRefTag(lba: number): void {
    this.refTagBits = lba | 0;
  }

  /** What `difRemapRefTag` makes of the first block's (SPDK: spdk_dif_ctx_set_remapped_init_ref_tag). */
  setRemappedInitRefTag(lba: number): void {
    this.remappedRefTagBits = lba | 0;
  }

  /** The reference tag of block `block` of a call that starts with `first`: 32 bits with a sign. */
  refTagOf(first: number, block: number): number {
    return this.difType === DIF_TYPE3 ? first : (first + block) | 0;
  }
}
