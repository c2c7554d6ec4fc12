/**
 * GUIDs as GPT stores them: the first three groups of the text are little endian numbers, the rest is bytes in order (UEFI specification, appendix A).
 */
import { SpdkError } from '../../../env/errors.ts';

export const GUID_BYTES = 16;
/** A partition of this type is an entry that nobody uses. */
export const GUID_ZERO = '00000000-0000-0000-0000-000000000000';

/** Where each byte of the text is stored. */
const PLACES = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/** The text of the GUID at `offset`, in lower case. */
export function decodeGuid(bytes: Uint8Array, offset: number): string {
  const hex = PLACES.map((place) => bytes[offset + place].toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Stores a GUID at `offset`. @throws {SpdkError} EINVAL when `text` is none. */
export function encodeGuid(text: string, bytes: Uint8Array, offset: number): void {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) throw new SpdkError('EINVAL', `"${text}" is no GUID`);
  const hex = text.replaceAll('-', '');
  for (const [i, place] of PLACES.entries()) bytes[offset + place] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16);
}
