/**
 * A disk whose blocks have metadata, with protection information in it or not (SPDK: md_len, md_interleave, dif_type of struct spdk_bdev). One for each disk and reactor.
 *
 * Interleaved, the metadata of a block lies behind its data, and both together are the block: `blockSizeBytes` counts it. Separate, it has memory of its own. Whoever
 * opens the disk with `hideMetadata` sees the data alone: the layer puts the metadata in, checks it and takes it out again (protected-io.ts).
 */
import { SpdkError } from '../env/errors.ts';
import { LineLimit } from '../log/line-limit.ts';
import type { BdevIo } from './bdev-io.ts';
import { DIF_TUPLE_BYTES } from './dif/dif-context.ts';
import {
  DIF_DISABLE,
  DIF_FLAGS_APPTAG_CHECK,
  DIF_FLAGS_GUARD_CHECK,
  DIF_FLAGS_REFTAG_CHECK,
  DIF_TYPE3,
  DifContext,
  DifError,
} from './dif/index.ts';
import { IO_FLAG_BARE, IO_FLAG_CHECKED, IO_READ, IO_WRITE } from './io-type.ts';

/** How a disk's blocks are formatted. Structured-cloneable. */
export interface MetadataFormat {
  /** Metadata bytes of a block. */
  readonly bytes: number;
  readonly interleaved: boolean;
  /** DIF_DISABLE: the metadata is the user's own; DIF_TYPE1 to DIF_TYPE3. */
  readonly difType: number;
  /** The protection information is the first, not the last 8 bytes of the metadata. */
  readonly difIsHeadOfMd: boolean;
  /** DIF_FLAGS_*: what of it is generated and checked. */
  readonly difFlags: number;
}

/** A second, of one disk on one core. */
const ERROR_LINES = 10;

/** The types of I/O that carry metadata. */
export const METADATA_TYPES = (1 << IO_READ) | (1 << IO_WRITE);

export class Metadata {
  readonly format: MetadataFormat;
  /** Data bytes of a block. */
  readonly dataBytes: number;
  readonly blockBytes: number;
  readonly protects: boolean;
  /** For the call under way: what is computed, and what was found wrong. */
  readonly dif = new DifContext();
  readonly error = new DifError();
  /** Of lines in the log about what is wrong. */
  readonly lines = new LineLimit(ERROR_LINES);

  /** @throws {SpdkError} EINVAL for a format that cannot be */
  constructor(format: MetadataFormat, blockBytes: number) {
    const { bytes, interleaved, difType, difIsHeadOfMd, difFlags } = format;
    if (!(Number.isInteger(bytes) && bytes > 0)) throw new SpdkError('EINVAL', `metadata of ${bytes} bytes a block`);
    this.format = format;
    this.blockBytes = blockBytes;
    this.dataBytes = interleaved ? blockBytes - bytes : blockBytes;
    this.protects = difType !== DIF_DISABLE;
    if (!(this.dataBytes >= 512 && this.dataBytes % 512 === 0)) {
      throw new SpdkError('EINVAL', `${this.dataBytes} bytes of data a block are not a multiple of 512`);
    }
    if (!this.protects) return;
    if (!(Number.isInteger(difType) && difType <= DIF_TYPE3 && difType > 0)) {
      throw new SpdkError('EINVAL', `dif_type ${difType}, limit 0 to ${DIF_TYPE3}`);
    }
    const options = { blockSizeBytes: blockBytes, mdSizeBytes: bytes, mdInterleave: interleaved, difIsHeadOfMd };
    if (this.dif.init({ ...options, difType, difFlags }) !== 0) {
      throw new SpdkError(
        'EINVAL',
        `${bytes} bytes of metadata have no room for protection information, which has ${DIF_TUPLE_BYTES}`,
      );
    }
  }

  /** Whether the layer has something to do to the metadata of `io`. Data path. */
  concerns(io: BdevIo): boolean {
    if ((METADATA_TYPES & (1 << io.type)) === 0 || (io.flags & IO_FLAG_CHECKED) !== 0) return false;
    return this.protects || (io.flags & IO_FLAG_BARE) !== 0;
  }

  /** Data in, bytes of the disk out: multiples of the data of a block. Data path. */
  toDisk(dataBytes: number): number {
    return this.dataBytes === this.blockBytes ? dataBytes : (dataBytes / this.dataBytes) * this.blockBytes;
  }

  /** How many bytes of memory the data of `io` are, of which `bytes` lie on the disk. Data path. */
  inMemory(io: BdevIo, bytes: number): number {
    return (io.flags & IO_FLAG_BARE) === 0 ? bytes : (bytes / this.blockBytes) * this.dataBytes;
  }
}

/** A format with all checks that its type has. */
export function metadataFormat(options: {
  readonly bytes: number;
  readonly interleaved: boolean;
  readonly difType: number;
  readonly difIsHeadOfMd: boolean;
}): MetadataFormat {
  const { difType } = options;
  // The application tag is nobody's: it is written as 0 and not checked, as by SPDK's malloc disk. Type 3 has no reference tag that means anything.
  const refTag = difType === DIF_TYPE3 ? 0 : DIF_FLAGS_REFTAG_CHECK;
  return { ...options, difFlags: difType === DIF_DISABLE ? 0 : DIF_FLAGS_GUARD_CHECK | refTag };
}

/** What bdev_get_bdevs tells of it. */
export function metadataJson(metadata: Metadata | null): Record<string, unknown> {
  if (metadata === null) return {};
  const { bytes, interleaved, difType, difIsHeadOfMd, difFlags } = metadata.format;
  const checks = {
    dif_is_head_of_md: difIsHeadOfMd,
    enabled_dif_check_types: {
      reftag: (difFlags & DIF_FLAGS_REFTAG_CHECK) !== 0,
      apptag: (difFlags & DIF_FLAGS_APPTAG_CHECK) !== 0,
      guard: (difFlags & DIF_FLAGS_GUARD_CHECK) !== 0,
    },
    dif_pi_format: 0,
  };
  return { md_size: bytes, md_interleave: interleaved, dif_type: difType, ...(difType === 0 ? {} : checks) };
}
