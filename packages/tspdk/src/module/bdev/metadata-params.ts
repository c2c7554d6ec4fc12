/** Metadata as bdev_malloc_create and bdev_null_create are asked for it. What SPDK refuses is refused here too: a disk that silently protects nothing helps nobody. */
import { type MetadataFormat, metadataFormat } from '../../bdev/metadata.ts';
import { SpdkError } from '../../env/errors.ts';

const MD_SIZES: readonly number[] = [0, 8, 16, 32, 64, 128];
const DIF_TYPE_MAX = 3;

export interface MetadataParams {
  /** Metadata bytes of a block: 0 (none), 8, 16, 32, 64 or 128. */
  readonly md_size?: number | undefined;
  /** Protection information in the metadata: 0 none, 1 to 3. */
  readonly dif_type?: number | undefined;
  /** It is the first, not the last 8 bytes of the metadata. */
  readonly dif_is_head_of_md?: boolean | undefined;
  /** Only 0, a guard of 16 bits. */
  readonly dif_pi_format?: number | undefined;
}

/** For the methods' lists of parameters. */
export const METADATA_PARAMS = [
  { name: 'md_size', type: 'uint32', description: 'Metadata bytes of a block: 0 (default), 8, 16, 32, 64 or 128' },
  { name: 'dif_type', type: 'int32', description: 'Protection information in the metadata: 0 none, 1 to 3' },
  {
    name: 'dif_is_head_of_md',
    type: 'boolean',
    description: 'It is the first, not the last 8 bytes of the metadata',
  },
  { name: 'dif_pi_format', type: 'uint32', description: 'Only 0, a 16-bit guard, is supported' },
] as const;

/**
 * The format that `params` ask for; null: no metadata.
 * @param disk how errors name the disk
 * @throws {SpdkError} EINVAL out of range, and for protection without metadata; ENOTSUP for another guard
 */
export function formatOf(disk: string, interleaved: boolean, params: MetadataParams): MetadataFormat | null {
  const { md_size = 0, dif_type = 0, dif_is_head_of_md = false, dif_pi_format = 0 } = params;
  const refuse = (what: string): never => {
    throw new SpdkError('EINVAL', `${disk}: ${what}`);
  };
  if (!MD_SIZES.includes(md_size)) refuse(`md_size ${md_size}, limit ${MD_SIZES.join(', ')}`);
  if (!(dif_type >= 0 && dif_type <= DIF_TYPE_MAX)) refuse(`dif_type ${dif_type}, limit 0 to ${DIF_TYPE_MAX}`);
  if (dif_type !== 0 && md_size === 0) refuse(`dif_type ${dif_type} needs metadata, and md_size is 0`);
  if (dif_pi_format !== 0) {
    throw new SpdkError('ENOTSUP', `${disk}: dif_pi_format ${dif_pi_format}; only 0 is supported`);
  }
  if (md_size === 0) return null;
  return metadataFormat({ bytes: md_size, interleaved, difType: dif_type, difIsHeadOfMd: dif_is_head_of_md });
}

/** @throws {SpdkError} EINVAL when it is no multiple of 512; 0 says nothing. */
export function checkPhysicalBlock(disk: string, bytes: number): void {
  if (bytes >= 0 && bytes % 512 === 0) return;
  throw new SpdkError('EINVAL', `${disk}: physical_block_size ${bytes} is not a multiple of 512`);
}

/** What of `format` the methods take, as they take it. */
export function formatParams({ bytes, difType, difIsHeadOfMd }: MetadataFormat): Record<string, unknown> {
  return { md_size: bytes, dif_type: difType, dif_is_head_of_md: difIsHeadOfMd };
}
