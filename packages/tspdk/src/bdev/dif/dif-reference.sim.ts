/**
 * For tests: protection information as plainly as it can be said, on one array of bytes with a CRC that goes bit by bit; and lists of pieces cut
 * at will from that array. Shares no code with what it is held against.
 */
import fc from 'fast-check';
import { IoVecs } from '../../env/iovecs.ts';
import { makeSegment, type Segment } from '../../env/segment.ts';
import {
  DIF_FLAGS_APPTAG_CHECK,
  DIF_FLAGS_GUARD_CHECK,
  DIF_FLAGS_REFTAG_CHECK,
  DIF_TYPE1,
  DifContext,
  type DifOptions,
} from './dif-context.ts';
import type { DifError } from './dif-error.ts';

export const ALL_CHECKS = DIF_FLAGS_GUARD_CHECK | DIF_FLAGS_APPTAG_CHECK | DIF_FLAGS_REFTAG_CHECK;

/** What a test does not care about. */
export const plain: DifOptions = {
  blockSizeBytes: 520,
  mdSizeBytes: 8,
  mdInterleave: true,
  difIsHeadOfMd: false,
  difType: DIF_TYPE1,
  difFlags: ALL_CHECKS,
  initRefTag: 22,
  appTagMask: 0xffff,
  appTag: 0x22,
  guardSeed: 0xcd,
};

/** A context that must accept `options`. */
export function contextOf(options: Partial<DifOptions> = {}): DifContext {
  const ctx = new DifContext();
  const rc = ctx.init({ ...plain, ...options });
  if (rc !== 0) throw new Error(`DifContext.init: ${rc}`);
  return ctx;
}

export function bitwiseCrc(seed: number, bytes: Uint8Array): number {
  let crc = seed;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const out = ((crc >> 15) & 1) ^ ((byte >> bit) & 1);
      crc = (crc << 1) & 0xffff;
      if (out === 1) crc ^= 0x8bb7;
    }
  }
  return crc;
}

/** Some data that never repeats itself within a block. */
export function pattern(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (0xab + i + (i >> 8) * 7) & 255);
}

/** Memory in pieces of `sizes` bytes, in two segments, with gaps; filled with `bytes`. */
export class Scattered {
  readonly iovs: IoVecs;
  readonly #segments: Segment[];
  readonly #total: number;

  constructor(bytes: Uint8Array, sizes: readonly number[], misalign = 1) {
    this.#total = bytes.length;
    this.iovs = new IoVecs(sizes.length + 1);
    const room = bytes.length + (sizes.length + 1) * 8 + 8;
    this.#segments = [1, 2].map((id) => makeSegment(id, new SharedArrayBuffer(room)));
    for (const segment of this.#segments) segment.u8.fill(0xee);
    const at = [misalign, misalign];
    let done = 0;
    const add = (size: number, i: number): void => {
      const which = i & 1;
      this.iovs.push(this.#segments[which], at[which], size);
      at[which] += size + 5;
      done += size;
    };
    for (const [i, size] of sizes.entries()) add(Math.min(size, bytes.length - done), i);
    if (done < bytes.length) add(bytes.length - done, sizes.length);
    this.write(bytes);
  }

  write(bytes: Uint8Array): void {
    let done = 0;
    for (let i = 0; i < this.iovs.count; i++) {
      const size = this.iovs.bytes[i];
      this.iovs.segment[i]!.u8.set(bytes.subarray(done, done + size), this.iovs.offset[i]);
      done += size;
    }
  }

  read(): Uint8Array {
    const bytes = new Uint8Array(this.#total);
    let done = 0;
    for (let i = 0; i < this.iovs.count; i++) {
      const from = this.iovs.offset[i];
      bytes.set(this.iovs.segment[i]!.u8.subarray(from, from + this.iovs.bytes[i]), done);
      done += this.iovs.bytes[i];
    }
    return bytes;
  }

  /** Whether everything between the pieces is as it was. */
  gapsIntact(): boolean {
    const copies = this.#segments.map((segment) => Uint8Array.from(segment.u8));
    for (let i = 0; i < this.iovs.count; i++) {
      const which = this.#segments.indexOf(this.iovs.segment[i]!);
      copies[which].fill(0xee, this.iovs.offset[i], this.iovs.offset[i] + this.iovs.bytes[i]);
    }
    return copies.every((copy) => copy.every((byte) => byte === 0xee));
  }
}

/** Where things are in block `block` of data `data` and metadata `md`: the same array twice when they are interleaved. */
function block(options: DifOptions, data: Uint8Array, md: Uint8Array, index: number) {
  const { blockSizeBytes, mdSizeBytes, mdInterleave, difIsHeadOfMd } = options;
  const dataBytes = mdInterleave ? blockSizeBytes - mdSizeBytes : blockSizeBytes;
  const dataStart = index * blockSizeBytes;
  const mdStart = mdInterleave ? dataStart + dataBytes : index * mdSizeBytes;
  const tupleStart = difIsHeadOfMd ? mdStart : mdStart + mdSizeBytes - 8;
  const guarded = [...data.subarray(dataStart, dataStart + dataBytes), ...md.subarray(mdStart, tupleStart)];
  const tuple = new DataView(md.buffer, md.byteOffset + tupleStart, 8);
  const refTag = ((options.initRefTag ?? 0) + (options.difType === 3 ? 0 : index)) >>> 0;
  const guard = bitwiseCrc(options.guardSeed ?? 0, Uint8Array.from(guarded));
  return { tuple, refTag, guard };
}

export function referenceGenerate(options: DifOptions, data: Uint8Array, md: Uint8Array, blocks: number): void {
  if (options.difType === 0) return;
  for (let index = 0; index < blocks; index++) {
    const { tuple, refTag, guard } = block(options, data, md, index);
    tuple.setUint16(0, options.difFlags & DIF_FLAGS_GUARD_CHECK ? guard : 0);
    tuple.setUint16(2, options.difFlags & DIF_FLAGS_APPTAG_CHECK ? (options.appTag ?? 0) : 0);
    tuple.setUint32(4, options.difFlags & DIF_FLAGS_REFTAG_CHECK ? refTag : 0);
  }
}

type Found = Pick<DifError, 'errType' | 'expected' | 'actual' | 'errOffset'>;

/** The first error, or null. */
export function referenceVerify(options: DifOptions, data: Uint8Array, md: Uint8Array, blocks: number): Found | null {
  if (options.difType === 0) return null;
  const { difFlags, appTagMask = 0xffff, appTag = 0 } = options;
  for (let errOffset = 0; errOffset < blocks; errOffset++) {
    const { tuple, refTag, guard } = block(options, data, md, errOffset);
    const inTuple = { guard: tuple.getUint16(0), appTag: tuple.getUint16(2), refTag: tuple.getUint32(4) };
    if (inTuple.appTag === 0xffff && (options.difType !== 3 || inTuple.refTag === 0xffffffff)) continue;
    if (difFlags & DIF_FLAGS_GUARD_CHECK && inTuple.guard !== guard) {
      return { errType: 4, expected: guard, actual: inTuple.guard, errOffset };
    }
    if (difFlags & DIF_FLAGS_APPTAG_CHECK && (inTuple.appTag & appTagMask) !== (appTag & appTagMask)) {
      return { errType: 2, expected: appTag & appTagMask, actual: inTuple.appTag & appTagMask, errOffset };
    }
    if (options.difType !== 3 && difFlags & DIF_FLAGS_REFTAG_CHECK && inTuple.refTag !== refTag) {
      return { errType: 1, expected: refTag, actual: inTuple.refTag, errOffset };
    }
  }
  return null;
}

/** Formats of every kind; `mdInterleave` as given. */
export function arbitraryOptions(mdInterleave: boolean): fc.Arbitrary<DifOptions> {
  const u16 = fc.oneof(fc.constantFrom(0, 0xffff, 0x8000), fc.nat(0xffff));
  return fc
    .record({
      dataBytes: fc.constantFrom(512, 1024, 1536),
      mdSizeBytes: fc.constantFrom(8, 9, 16, 64),
      difIsHeadOfMd: fc.boolean(),
      difType: fc.constantFrom(0, 1, 2, 3),
      flags: fc.nat(7),
      initRefTag: fc.oneof(fc.constantFrom(0, 0x7fffffff, 0xfffffffe, 2 ** 40 + 3), fc.nat(2 ** 31 - 1)),
      appTagMask: u16,
      appTag: u16,
      guardSeed: u16,
    })
    .map(({ dataBytes, flags, ...rest }) => ({
      ...rest,
      mdInterleave,
      blockSizeBytes: mdInterleave ? dataBytes + rest.mdSizeBytes : dataBytes,
      difFlags: flags << 26,
    }));
}

/** Sizes of pieces: some tiny, some empty, some of several blocks. */
export const arbitraryCuts = fc.array(
  fc.oneof(fc.nat(3), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 1600 })),
  {
    maxLength: 12,
  },
);
