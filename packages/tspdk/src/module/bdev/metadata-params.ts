/** Parameters about metadata and protection information of kinds of disk that have none: 0 is accepted, more is refused. */
import { SpdkError } from '../../env/errors.ts';

export const METADATA_PARAMS = [
  { name: 'md_size', type: 'uint32', description: 'Metadata bytes of a block; only 0 is supported' },
  { name: 'dif_type', type: 'int32', description: 'Protection information type; only 0 is supported' },
  { name: 'dif_is_head_of_md', type: 'boolean', description: 'Not supported yet' },
  { name: 'dif_pi_format', type: 'uint32', description: 'Only 0 is supported' },
] as const;

/** @throws {SpdkError} ENOTSUP when metadata is asked for. */
export function refuseMetadata(
  method: string,
  params: { md_size?: number; dif_type?: number; dif_pi_format?: number },
): void {
  for (const key of ['md_size', 'dif_type', 'dif_pi_format'] as const) {
    if ((params[key] ?? 0) !== 0)
      throw new SpdkError('ENOTSUP', `${method}: ${key} ${params[key]}; only 0 is supported`);
  }
}
