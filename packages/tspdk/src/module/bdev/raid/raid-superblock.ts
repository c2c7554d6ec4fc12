/**
 * The superblock that each member of a RAID disk carries at its start, in SPDK's layout (module/bdev/raid/bdev_raid.h: struct
 * raid_bdev_superblock), so that either may assemble what the other made.
 *
 * 256 bytes, little endian, then 64 for each member; a CRC-32C over all of it with its own field as zeroes, of the bare register (neither inverted before nor
 * after). Read from a disk it is a stranger's: the length is bounded and compared before anything is read by it.
 */
import { crc32cUpdate } from '../../../env/crc32.ts';
import { SpdkError } from '../../../env/errors.ts';

const SIGNATURE = 'SPDKRAID';
const VERSION_MAJOR = 1;
const VERSION_MINOR = 0;
/** Of a name, with the zero behind it. */
export const RAID_SB_NAME_BYTES = 64;
/** Bytes before the members. */
export const RAID_SB_BYTES = 256;
/** Of each member, behind them. */
export const RAID_SB_MEMBER_BYTES = 64;
/** No superblock is longer, rounded up to what is read at once (SPDK: RAID_BDEV_SB_MAX_LENGTH). */
export const RAID_SB_MAX_BYTES = Math.ceil((RAID_SB_BYTES + 255 * RAID_SB_MEMBER_BYTES) / 4096) * 4096;
/** So many changes nobody counts, and a superblock that says more leaves no room to count on. */
const SEQ_MAX = 2 ** 52;
/** Where a member's data starts at the earliest (SPDK: RAID_BDEV_MIN_DATA_OFFSET_SIZE). */
export const RAID_MIN_DATA_OFFSET_BYTES = 1024 * 1024;

const AT = {
  versionMajor: 8,
  versionMinor: 10,
  length: 12,
  crc: 16,
  flags: 20,
  uuid: 24,
  name: 40,
  raidSize: 104,
  blockSize: 112,
  level: 116,
  stripSize: 120,
  state: 124,
  seqNumber: 128,
  numBaseBdevs: 136,
  baseBdevsSize: 255,
} as const;

/** State of a RAID disk. */
export const RAID_ONLINE = 0;
export const RAID_CONFIGURING = 1;
export const RAID_OFFLINE = 2;

/** State of a member. */
export const RAID_SB_MISSING = 0;
export const RAID_SB_CONFIGURED = 1;
export const RAID_SB_FAILED = 2;
export const RAID_SB_SPARE = 3;

export interface RaidSbBaseBdev {
  /** Canonical text. */
  readonly uuid: string;
  /** Blocks of the member before its data. */
  readonly dataOffset: number;
  /** Blocks of data. */
  readonly dataSize: number;
  /** RAID_SB_*. */
  readonly state: number;
  readonly flags: number;
  /** Its place among the members. */
  readonly slot: number;
}

export interface RaidSuperblock {
  readonly uuid: string;
  /** At most 63 bytes of UTF-8. */
  readonly name: string;
  /** Of the whole disk, in blocks. */
  readonly raidSize: number;
  readonly blockSize: number;
  /** RAID0, RAID1, ... */
  readonly level: number;
  /** Of a strip, in blocks. */
  readonly stripSize: number;
  /** RAID_ONLINE, ... */
  readonly state: number;
  /** Counted up with each change: of two members that differ, the higher one is right. */
  readonly seqNumber: number;
  readonly flags: number;
  readonly numBaseBdevs: number;
  readonly baseBdevs: readonly RaidSbBaseBdev[];
}

/**
 * A superblock whose CRC is wrong: a power cut tore it, or it was written over in part. The raid that it names is one to ask for, what else it says is for people to look at.
 */
export class DamagedRaidSuperblock extends SpdkError {
  /** Of the raid. */
  readonly uuid: string;
  readonly seqNumber: number;

  constructor(uuid: string, seqNumber: number) {
    super('EINVAL', 'RAID superblock: the CRC is wrong');
    this.uuid = uuid;
    this.seqNumber = seqNumber;
  }
}

function bad(message: string): SpdkError {
  return new SpdkError('EINVAL', `RAID superblock: ${message}`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function encodeUuid(uuid: string, bytes: Uint8Array, at: number): void {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) throw bad(`"${uuid}" is no UUID`);
  const hex = uuid.replaceAll('-', '');
  for (let i = 0; i < 16; i++) bytes[at + i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16);
}

function decodeUuid(bytes: Uint8Array, at: number): string {
  const hex = Array.from(bytes.subarray(at, at + 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function setUint(view: DataView, at: number, bytes: 1 | 2 | 4 | 8, value: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** (bytes * 8)) throw bad(`${what} is ${value}`);
  if (bytes === 1) view.setUint8(at, value);
  else if (bytes === 2) view.setUint16(at, value, true);
  else if (bytes === 4) view.setUint32(at, value, true);
  else view.setBigUint64(at, BigInt(value), true);
}

function getU64(view: DataView, at: number, what: string): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) throw bad(`${what} is ${value}`);
  return value;
}

function crcOf(bytes: Uint8Array): number {
  const before = crc32cUpdate(bytes.subarray(0, AT.crc), 0);
  return crc32cUpdate(bytes.subarray(AT.crc + 4), crc32cUpdate(new Uint8Array(4), before));
}

/**
 * The superblock as bytes; the caller pads them to whole blocks.
 * @throws {SpdkError} EINVAL for numbers that do not fit, more than 255 members, slots that are none; ENAMETOOLONG.
 */
export function encodeRaidSuperblock(sb: RaidSuperblock): Uint8Array {
  if (sb.baseBdevs.length > 255) throw bad(`${sb.baseBdevs.length} base bdevs`);
  const bytes = new Uint8Array(RAID_SB_BYTES + sb.baseBdevs.length * RAID_SB_MEMBER_BYTES);
  const view = viewOf(bytes);
  for (let i = 0; i < SIGNATURE.length; i++) bytes[i] = SIGNATURE.charCodeAt(i);
  const name = new TextEncoder().encode(sb.name);
  if (name.length >= RAID_SB_NAME_BYTES)
    throw new SpdkError('ENAMETOOLONG', `RAID name "${sb.name}": ${name.length} bytes`);
  setUint(view, AT.versionMajor, 2, VERSION_MAJOR, 'version');
  setUint(view, AT.versionMinor, 2, VERSION_MINOR, 'version');
  setUint(view, AT.length, 4, bytes.length, 'length');
  setUint(view, AT.flags, 4, sb.flags, 'flags');
  encodeUuid(sb.uuid, bytes, AT.uuid);
  bytes.set(name, AT.name);
  setUint(view, AT.raidSize, 8, sb.raidSize, 'raid_size');
  setUint(view, AT.blockSize, 4, sb.blockSize, 'block_size');
  setUint(view, AT.level, 4, sb.level, 'level');
  setUint(view, AT.stripSize, 4, sb.stripSize, 'strip_size');
  setUint(view, AT.state, 4, sb.state, 'state');
  setUint(view, AT.seqNumber, 8, sb.seqNumber, 'seq_number');
  setUint(view, AT.numBaseBdevs, 1, sb.numBaseBdevs, 'num_base_bdevs');
  setUint(view, AT.baseBdevsSize, 1, sb.baseBdevs.length, 'base_bdevs_size');
  for (const [i, base] of sb.baseBdevs.entries()) {
    const at = RAID_SB_BYTES + i * RAID_SB_MEMBER_BYTES;
    if (!(base.slot < sb.numBaseBdevs)) throw bad(`slot ${base.slot} of ${sb.numBaseBdevs}`);
    encodeUuid(base.uuid, bytes, at);
    setUint(view, at + 16, 8, base.dataOffset, 'data_offset');
    setUint(view, at + 24, 8, base.dataSize, 'data_size');
    setUint(view, at + 32, 4, base.state, 'state');
    setUint(view, at + 36, 4, base.flags, 'flags');
    setUint(view, at + 40, 1, base.slot, 'slot');
  }
  view.setUint32(AT.crc, crcOf(bytes), true);
  return bytes;
}

/** How many bytes the superblock at the start of `bytes` has; 0 when there is none. @throws {SpdkError} EINVAL when it says something impossible. */
export function raidSuperblockBytes(bytes: Uint8Array): number {
  if (bytes.length < RAID_SB_BYTES) return 0;
  for (let i = 0; i < SIGNATURE.length; i++) if (bytes[i] !== SIGNATURE.charCodeAt(i)) return 0;
  const length = viewOf(bytes).getUint32(AT.length, true);
  if (length < RAID_SB_BYTES || length > RAID_SB_MAX_BYTES) throw bad(`${length} bytes long`);
  return length;
}

/**
 * Reads the superblock at the start of `bytes`.
 * @returns null when there is none (no signature); the number of bytes to read and pass instead when `bytes` end inside it (SPDK: -EAGAIN).
 * @throws {DamagedRaidSuperblock} EINVAL when its CRC is wrong; {SpdkError} EINVAL when it says something impossible, or is of a major version that is not known. A higher minor version is read.
 */
export function decodeRaidSuperblock(bytes: Uint8Array): RaidSuperblock | number | null {
  const length = raidSuperblockBytes(bytes);
  if (length === 0) return null;
  if (length > bytes.length) return length;
  const whole = bytes.subarray(0, length);
  const view = viewOf(whole);
  if (crcOf(whole) !== view.getUint32(AT.crc, true)) {
    throw new DamagedRaidSuperblock(decodeUuid(whole, AT.uuid), Number(view.getBigUint64(AT.seqNumber, true)));
  }
  const major = view.getUint16(AT.versionMajor, true);
  if (major !== VERSION_MAJOR) throw bad(`version ${major}.${view.getUint16(AT.versionMinor, true)}`);
  const seqNumber = getU64(view, AT.seqNumber, 'seq_number');
  if (seqNumber > SEQ_MAX) throw bad(`seq_number is ${seqNumber}, limit ${SEQ_MAX}`);
  const numBaseBdevs = whole[AT.numBaseBdevs];
  const count = whole[AT.baseBdevsSize];
  if (RAID_SB_BYTES + count * RAID_SB_MEMBER_BYTES > length) throw bad(`${count} base bdevs in ${length} bytes`);
  const baseBdevs: RaidSbBaseBdev[] = [];
  for (let i = 0; i < count; i++) {
    const at = RAID_SB_BYTES + i * RAID_SB_MEMBER_BYTES;
    const slot = whole[at + 40];
    if (slot >= numBaseBdevs) throw bad(`slot ${slot} of ${numBaseBdevs}`);
    baseBdevs.push({
      uuid: decodeUuid(whole, at),
      dataOffset: getU64(view, at + 16, 'data_offset'),
      dataSize: getU64(view, at + 24, 'data_size'),
      state: view.getUint32(at + 32, true),
      flags: view.getUint32(at + 36, true),
      slot,
    });
  }
  const name = whole.subarray(AT.name, AT.name + RAID_SB_NAME_BYTES);
  const end = name.indexOf(0);
  return {
    uuid: decodeUuid(whole, AT.uuid),
    name: new TextDecoder().decode(end < 0 ? name : name.subarray(0, end)),
    raidSize: getU64(view, AT.raidSize, 'raid_size'),
    blockSize: view.getUint32(AT.blockSize, true),
    level: view.getUint32(AT.level, true),
    stripSize: view.getUint32(AT.stripSize, true),
    state: view.getUint32(AT.state, true),
    seqNumber,
    flags: view.getUint32(AT.flags, true),
    numBaseBdevs,
    baseBdevs,
  };
}
