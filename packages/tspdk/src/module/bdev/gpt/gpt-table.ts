/**
 * GUID partition tables (UEFI specification 2.10, chapter 5): read from the first and last bytes of a disk, and made for one.
 *
 * A table is a stranger's input. Every number is compared with the size of the disk, and with what was given to read, before it is used; the only memory
 * taken is for partitions, of which there are at most `GPT_ENTRIES_MAX`. A disk has two copies. The primary one counts when it is whole, else the
 * backup in the last block, as long as the MBR says that there is a GPT at all.
 */
import { crc32 } from '../../../env/crc32.ts';
import { SpdkError } from '../../../env/errors.ts';
import { decodeGuid, encodeGuid, GUID_ZERO } from './guid.ts';

/** Type of the partitions that SPDK, and the kit, make disks of. */
export const SPDK_GPT_PART_TYPE_GUID = '6527994e-2c5a-4eec-9613-8f5944074e8b';
/** The type of older ones, which SPDK exposes one block short, as it always did. */
export const SPDK_GPT_PART_TYPE_GUID_OLD = '7c5222bd-8f5d-4087-9c00-bf9843c7b58c';

/** Entries that are read; a table that says it has more is refused (SPDK: 128, which is also what everybody writes). */
export const GPT_ENTRIES_MAX = 1024;
/** Entries that are written. */
export const GPT_ENTRIES = 128;
const ENTRY_BYTES = 128;
/** Of an entry that is read; the standard says 128 times a power of two. */
const ENTRY_BYTES_MAX = 4096;
const HEADER_BYTES = 92;
/** Characters (UTF-16) of a partition's name. */
export const GPT_NAME_UNITS = 36;
const SIGNATURE = 'EFI PART';
const REVISION = 0x00010000;

const MBR_PARTITIONS = 446;
const MBR_PARTITION_BYTES = 16;
const MBR_SIGNATURE = 510;
const MBR_TYPE_PROTECTIVE = 0xee;

export interface GptGeometry {
  readonly blockSizeBytes: number;
  readonly blocks: number;
}

export interface GptPartition {
  /** Its place in the table, from 0: "partition 1" is at 0. */
  readonly index: number;
  readonly typeGuid: string;
  readonly uniqueGuid: string;
  readonly firstLba: number;
  /** Inclusive. */
  readonly lastLba: number;
  readonly attributes: bigint;
  readonly name: string;
}

export interface GptTable {
  readonly diskGuid: string;
  readonly firstUsableLba: number;
  readonly lastUsableLba: number;
  /** In use and sound, in the order of the table. */
  readonly partitions: readonly GptPartition[];
  readonly from: 'primary' | 'backup';
  /** What is wrong with the disk and does not hinder: a broken primary table, partitions that were left out. */
  readonly problems: readonly string[];
}

/** What `makeGpt` gives: the first and the last bytes of the disk. */
export interface GptImage {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
}

/** How many bytes at each end of a disk hold all of a table that is read here. */
export function gptBytes({ blockSizeBytes, blocks }: GptGeometry): number {
  const entriesBlocks = Math.ceil((GPT_ENTRIES_MAX * ENTRY_BYTES) / blockSizeBytes);
  return Math.min(blocks, 2 + entriesBlocks) * blockSizeBytes;
}

function bad(message: string): SpdkError {
  return new SpdkError('EINVAL', message);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A block's number; past 2^53, where numbers are not exact, it is past any disk. */
function getLba(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

function setLba(view: DataView, at: number, lba: number): void {
  view.setUint32(at, lba >>> 0, true);
  view.setUint32(at + 4, Math.floor(lba / 0x1_0000_0000), true);
}

function checkGeometry({ blockSizeBytes, blocks }: GptGeometry): void {
  if (!Number.isInteger(blockSizeBytes) || blockSizeBytes < 512 || !Number.isSafeInteger(blocks) || blocks < 1) {
    throw bad(`a disk of ${blocks} blocks of ${blockSizeBytes} bytes has no partitions`);
  }
}

/**
 * Whether block 0 says that there is a GPT: an MBR with a partition of type EEh that starts at block 1. How long that partition is does not matter: disks
 * grow, and tools differ.
 */
export function hasProtectiveMbr(head: Uint8Array): boolean {
  if (head.length < 512 || head[MBR_SIGNATURE] !== 0x55 || head[MBR_SIGNATURE + 1] !== 0xaa) return false;
  const view = viewOf(head);
  for (let i = 0; i < 4; i++) {
    const at = MBR_PARTITIONS + i * MBR_PARTITION_BYTES;
    if (head[at + 4] === MBR_TYPE_PROTECTIVE && view.getUint32(at + 8, true) === 1) return true;
  }
  return false;
}

interface Header {
  readonly diskGuid: string;
  readonly firstUsableLba: number;
  readonly lastUsableLba: number;
  readonly entriesLba: number;
  readonly entries: number;
  readonly entryBytes: number;
  readonly entriesCrc: number;
}

/** CRC of a header, its own field taken as zeroes. */
function headerCrc(header: Uint8Array): number {
  return crc32(header.subarray(20), crc32(new Uint8Array(4), crc32(header.subarray(0, 16))));
}

/** `block`: the block that is to hold the header of `lba`. @throws {SpdkError} EINVAL, and why. */
function parseHeader(block: Uint8Array, lba: number, { blockSizeBytes, blocks }: GptGeometry): Header {
  const view = viewOf(block);
  const signature = String.fromCharCode(...block.subarray(0, 8));
  if (signature !== SIGNATURE) throw bad('no signature');
  const bytes = view.getUint32(12, true);
  if (bytes < HEADER_BYTES || bytes > blockSizeBytes) throw bad(`a header of ${bytes} bytes`);
  if (headerCrc(block.subarray(0, bytes)) !== view.getUint32(16, true)) throw bad("the header's CRC is wrong");
  if (getLba(view, 24) !== lba) throw bad(`a header of block ${getLba(view, 24)} in block ${lba}`);
  const firstUsableLba = getLba(view, 40);
  const lastUsableLba = getLba(view, 48);
  if (firstUsableLba > lastUsableLba || lastUsableLba >= blocks) {
    throw bad(`blocks ${firstUsableLba} to ${lastUsableLba} for partitions, on a disk of ${blocks}`);
  }
  const entries = view.getUint32(80, true);
  const entryBytes = view.getUint32(84, true);
  if (entries < 1 || entries > GPT_ENTRIES_MAX) throw bad(`${entries} entries, not 1 to ${GPT_ENTRIES_MAX}`);
  if (entryBytes < ENTRY_BYTES || entryBytes > ENTRY_BYTES_MAX || (entryBytes & (entryBytes - 1)) !== 0) {
    throw bad(`entries of ${entryBytes} bytes`);
  }
  const entriesLba = getLba(view, 72);
  const entriesEnd = entriesLba + Math.ceil((entries * entryBytes) / blockSizeBytes);
  if (entriesLba < 2 || entriesEnd > blocks - 1) throw bad(`entries in blocks ${entriesLba} to ${entriesEnd - 1}`);
  if (entriesEnd > firstUsableLba && entriesLba <= lastUsableLba) throw bad('entries among the partitions');
  return {
    diskGuid: decodeGuid(block, 56),
    firstUsableLba,
    lastUsableLba,
    entriesLba,
    entries,
    entryBytes,
    entriesCrc: view.getUint32(88, true),
  };
}

function decodeName(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-16le', { ignoreBOM: true }).decode(bytes);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

/** The partitions in use; what is wrong with others goes to `problems`. */
function parseEntries(array: Uint8Array, header: Header, problems: string[]): GptPartition[] {
  const view = viewOf(array);
  const partitions: GptPartition[] = [];
  for (let index = 0; index < header.entries; index++) {
    const at = index * header.entryBytes;
    const typeGuid = decodeGuid(array, at);
    if (typeGuid === GUID_ZERO) continue;
    const firstLba = getLba(view, at + 32);
    const lastLba = getLba(view, at + 40);
    const label = `partition ${index + 1} (blocks ${firstLba} to ${lastLba})`;
    if (firstLba > lastLba || firstLba < header.firstUsableLba || lastLba > header.lastUsableLba) {
      problems.push(`${label} lies outside ${header.firstUsableLba} to ${header.lastUsableLba}`);
      continue;
    }
    const other = partitions.find((each) => firstLba <= each.lastLba && each.firstLba <= lastLba);
    if (other !== undefined) {
      problems.push(`${label} overlaps partition ${other.index + 1}`);
      continue;
    }
    partitions.push({
      index,
      typeGuid,
      uniqueGuid: decodeGuid(array, at + 16),
      firstLba,
      lastLba,
      attributes: view.getBigUint64(at + 48, true),
      name: decodeName(array.subarray(at + 56, at + 56 + GPT_NAME_UNITS * 2)),
    });
  }
  return partitions;
}

/** Reads one copy. `bytes` start at block `firstLba`; the header is in block `headerLba`. @throws {SpdkError} EINVAL, and why. */
function parseCopy(
  bytes: Uint8Array,
  firstLba: number,
  headerLba: number,
  geometry: GptGeometry,
  problems: string[],
): Omit<GptTable, 'from' | 'problems'> {
  const { blockSizeBytes } = geometry;
  const at = (headerLba - firstLba) * blockSizeBytes;
  if (at < 0 || at + blockSizeBytes > bytes.length) throw bad(`no block ${headerLba}`);
  const header = parseHeader(bytes.subarray(at, at + blockSizeBytes), headerLba, geometry);
  const start = (header.entriesLba - firstLba) * blockSizeBytes;
  const end = start + header.entries * header.entryBytes;
  if (start < 0 || end > bytes.length) throw bad(`entries in block ${header.entriesLba}, too far away`);
  const array = bytes.subarray(start, end);
  if (crc32(array) !== header.entriesCrc) throw bad("the entries' CRC is wrong");
  const { diskGuid, firstUsableLba, lastUsableLba } = header;
  return { diskGuid, firstUsableLba, lastUsableLba, partitions: parseEntries(array, header, problems) };
}

/**
 * Reads a disk's table. `head` and `tail`: the first and last bytes of the disk, whole blocks, best as many as `gptBytes` says.
 * @returns null when the disk has no GPT (no protective MBR).
 * @throws {SpdkError} EINVAL when it has one, and both copies are broken: how.
 */
export function parseGpt(head: Uint8Array, tail: Uint8Array, geometry: GptGeometry): GptTable | null {
  checkGeometry(geometry);
  if (!hasProtectiveMbr(head)) return null;
  const problems: string[] = [];
  let primary: string;
  try {
    return { ...parseCopy(head, 0, 1, geometry, problems), from: 'primary', problems };
  } catch (error) {
    if (!(error instanceof SpdkError)) throw error;
    primary = error.message;
  }
  problems.push(`the primary table is broken: ${primary}`);
  const tailLba = geometry.blocks - Math.floor(tail.length / geometry.blockSizeBytes);
  try {
    return { ...parseCopy(tail, tailLba, geometry.blocks - 1, geometry, problems), from: 'backup', problems };
  } catch (error) {
    if (!(error instanceof SpdkError)) throw error;
    throw bad(`both partition tables are broken: the primary (${primary}), the backup (${error.message})`);
  }
}

export interface NewGptPartition {
  readonly typeGuid: string;
  readonly uniqueGuid: string;
  readonly firstLba: number;
  /** Inclusive. */
  readonly lastLba: number;
  /** 0 by default. */
  readonly attributes?: bigint;
  /** At most `GPT_NAME_UNITS` UTF-16 units; "" by default. */
  readonly name?: string;
}

/** The blocks that `makeGpt` leaves to partitions, inclusive. @throws {SpdkError} EINVAL when there are none. */
export function gptUsable(geometry: GptGeometry): { firstUsableLba: number; lastUsableLba: number } {
  checkGeometry(geometry);
  const entriesBlocks = Math.ceil((GPT_ENTRIES * ENTRY_BYTES) / geometry.blockSizeBytes);
  const firstUsableLba = 2 + entriesBlocks;
  const lastUsableLba = geometry.blocks - 2 - entriesBlocks;
  if (firstUsableLba > lastUsableLba) throw bad(`${geometry.blocks} blocks have no room for partition tables`);
  return { firstUsableLba, lastUsableLba };
}

function encodeEntry(array: Uint8Array, index: number, partition: NewGptPartition): void {
  const at = index * ENTRY_BYTES;
  const { name = '', attributes = 0n } = partition;
  if (name.length > GPT_NAME_UNITS) {
    throw new SpdkError('ENAMETOOLONG', `partition name "${name}" has more than ${GPT_NAME_UNITS} characters`);
  }
  const view = viewOf(array);
  encodeGuid(partition.typeGuid, array, at);
  encodeGuid(partition.uniqueGuid, array, at + 16);
  setLba(view, at + 32, partition.firstLba);
  setLba(view, at + 40, partition.lastLba);
  view.setBigUint64(at + 48, attributes, true);
  for (let i = 0; i < name.length; i++) view.setUint16(at + 56 + i * 2, name.charCodeAt(i), true);
}

function encodeMbr(head: Uint8Array, blocks: number): void {
  // Status 0; first and last sector as cylinder, head and sector, the last one past what that can say.
  head.set([0, 0, 2, 0, MBR_TYPE_PROTECTIVE, 0xff, 0xff, 0xff], MBR_PARTITIONS);
  const view = viewOf(head);
  view.setUint32(MBR_PARTITIONS + 8, 1, true);
  view.setUint32(MBR_PARTITIONS + 12, Math.min(blocks - 1, 0xffffffff), true);
  head.set([0x55, 0xaa], MBR_SIGNATURE);
}

/**
 * Makes the table of a disk, both copies and the MBR.
 * @throws {SpdkError} EINVAL for partitions outside the usable blocks or over each other, more than 128, a GUID that is none or of zeroes; ENAMETOOLONG.
 */
export function makeGpt(geometry: GptGeometry, diskGuid: string, partitions: readonly NewGptPartition[]): GptImage {
  const { firstUsableLba, lastUsableLba } = gptUsable(geometry);
  const { blockSizeBytes, blocks } = geometry;
  if (partitions.length > GPT_ENTRIES) throw bad(`${partitions.length} partitions, at most ${GPT_ENTRIES}`);
  const array = new Uint8Array(GPT_ENTRIES * ENTRY_BYTES);
  for (const [index, partition] of partitions.entries()) {
    const { firstLba, lastLba, typeGuid } = partition;
    const inside = Number.isSafeInteger(firstLba) && Number.isSafeInteger(lastLba) && firstLba <= lastLba;
    if (!inside || firstLba < firstUsableLba || lastLba > lastUsableLba || typeGuid === GUID_ZERO) {
      throw bad(`partition ${index + 1}: blocks ${firstLba} to ${lastLba} of ${firstUsableLba} to ${lastUsableLba}`);
    }
    const over = partitions.findIndex((each) => firstLba <= each.lastLba && each.firstLba <= lastLba);
    if (over < index) throw bad(`partition ${index + 1} overlaps partition ${over + 1}`);
    encodeEntry(array, index, partition);
  }

  const entriesBlocks = firstUsableLba - 2;
  const headerOf = (lba: number, alternateLba: number, entriesLba: number): Uint8Array => {
    const header = new Uint8Array(HEADER_BYTES);
    const view = viewOf(header);
    for (let i = 0; i < SIGNATURE.length; i++) header[i] = SIGNATURE.charCodeAt(i);
    view.setUint32(8, REVISION, true);
    view.setUint32(12, HEADER_BYTES, true);
    setLba(view, 24, lba);
    setLba(view, 32, alternateLba);
    setLba(view, 40, firstUsableLba);
    setLba(view, 48, lastUsableLba);
    encodeGuid(diskGuid, header, 56);
    setLba(view, 72, entriesLba);
    view.setUint32(80, GPT_ENTRIES, true);
    view.setUint32(84, ENTRY_BYTES, true);
    view.setUint32(88, crc32(array), true);
    view.setUint32(16, headerCrc(header), true);
    return header;
  };
  const head = new Uint8Array(firstUsableLba * blockSizeBytes);
  encodeMbr(head, blocks);
  head.set(headerOf(1, blocks - 1, 2), blockSizeBytes);
  head.set(array, 2 * blockSizeBytes);
  const tail = new Uint8Array((entriesBlocks + 1) * blockSizeBytes);
  tail.set(array, 0);
  tail.set(headerOf(blocks - 1, 1, lastUsableLba + 1), entriesBlocks * blockSizeBytes);
  return { head, tail };
}
