/** Checks of what can be asked of a disk besides reads and writes, and of what must be refused. */
import {
  BdevDesc,
  EXTENT_HOLE,
  EXTENT_ZERO,
  Extents,
  IO_FLAG_FUA,
  IO_FLAG_NO_HOLE,
  IO_READ,
  IO_WRITE,
} from '../bdev/index.ts';
import { EILSEQ, EINVAL } from '../bdev/status.ts';
import type { Check } from './check.ts';
import {
  codeOf,
  compare,
  type DiskUnderTest,
  fail,
  NotForThisDisk,
  pattern,
  patternOf,
  statusText,
} from './disk-under-test.ts';

/** Writes some blocks, has `change` do its work on the inner ones, and finds the outer ones as they were. */
async function inner(
  disk: DiskUnderTest,
  what: string,
  change: (at: number, bytes: number) => Promise<void>,
): Promise<void> {
  disk.needsUnits(4);
  const { unit } = disk;
  const longest = Math.min(disk.units - 2, Math.max(4, Math.floor(262144 / unit)));
  for (const units of new Set([1, 2, Math.min(3, longest), longest])) {
    disk.begin();
    const round = disk.round();
    const [at, bytes] = [unit, units * unit];
    await disk.write(0, bytes + 2 * unit, round);
    await change(at, bytes);
    await disk.isZero(at, bytes, `${what} of ${bytes} bytes at ${at}`);
    await disk.holds(0, unit, round);
    await disk.holds(at + bytes, unit, round);
    // And it can be written again.
    const next = disk.round();
    await disk.write(at, bytes, next);
    await disk.holds(at, bytes, next);
  }
}

export const typeChecks: readonly Check[] = [
  {
    name: 'write-zeroes',
    summary: 'zeroed blocks read as zeroes, their neighbours as before, and they can be written again',
    async run(disk) {
      disk.needsWrite();
      for (const flags of [0, IO_FLAG_NO_HOLE, IO_FLAG_FUA]) {
        await inner(disk, 'write zeroes', (at, bytes) =>
          disk.ok(`write zeroes of ${bytes} bytes at ${at}`, (cb) =>
            disk.channel.writeZeroes(at, bytes, flags, cb, null),
          ),
        );
      }
    },
  },
  {
    name: 'unmap',
    summary: 'unmapped blocks read as zeroes, their neighbours as before, and they can be written again',
    async run(disk) {
      disk.needsUnmap();
      await inner(disk, 'unmap', (at, bytes) =>
        disk.ok(`unmap of ${bytes} bytes at ${at}`, (cb) => disk.channel.unmap(at, bytes, cb, null)),
      );
    },
  },
  {
    name: 'flush',
    summary: 'a flush of a part and of all succeeds, and the data is still there',
    async run(disk) {
      disk.needsWrite();
      const round = disk.round();
      await disk.write(0, disk.unit, round);
      await disk.ok('flush of a block', (cb) => disk.channel.flush(0, disk.block, cb, null));
      await disk.ok('flush of all', (cb) => disk.channel.flush(0, disk.sizeBytes, cb, null));
      await disk.holds(0, disk.unit, round);
    },
  },
  {
    name: 'fua',
    summary: 'a write that asks for stable storage succeeds and reads back',
    async run(disk) {
      disk.needsWrite();
      const round = disk.round();
      await disk.write(0, disk.unit, round, IO_FLAG_FUA);
      await disk.holds(0, disk.unit, round);
    },
  },
  {
    name: 'compare',
    summary: 'a compare finds equal data equal, and a difference of one byte, the first or the last, different',
    async run(disk) {
      disk.needsWrite();
      disk.needsNoMetadata();
      const bytes = Math.min(disk.areaBytes, 4 * disk.unit);
      const round = disk.round();
      await disk.write(0, bytes, round);
      const buffer = disk.take(bytes);
      const compareIt = (cb: (ctx: unknown, status: number) => void) =>
        disk.channel.comparev(disk.vecs([{ at: buffer, bytes }]), 0, cb, null);
      if (!disk.settings.keepsData) return;
      pattern(disk.memory.u8, buffer, 0, bytes, round);
      await disk.ok('compare with what was written', compareIt);
      for (const at of [0, disk.block - 1, bytes - 1]) {
        disk.memory.u8[buffer + at] ^= 1;
        await disk.refused(`compare with byte ${at} different`, EILSEQ, compareIt);
        disk.memory.u8[buffer + at] ^= 1;
      }
    },
  },
  {
    name: 'compare-and-write',
    summary: 'it writes when the disk holds what was said, and changes nothing when it does not',
    async run(disk) {
      disk.needsWrite();
      disk.needsNoMetadata();
      if (!disk.settings.keepsData) throw new NotForThisDisk('it keeps no data');
      const { unit, memory } = disk;
      const [was, next] = [disk.round(), disk.round()];
      await disk.write(0, unit, was);
      const [expected, wanted] = [disk.take(unit), disk.take(unit)];
      pattern(memory.u8, expected, 0, unit, was);
      pattern(memory.u8, wanted, 0, unit, next);
      const swap = (cb: (ctx: unknown, status: number) => void) =>
        disk.channel.comparevAndWritev(
          disk.vecs([{ at: expected, bytes: unit }]),
          disk.vecs([{ at: wanted, bytes: unit }]),
          0,
          cb,
          null,
        );
      memory.u8[expected + unit - 1] ^= 0xff;
      await disk.refused('compare-and-write of other data', EILSEQ, swap);
      await disk.holds(0, unit, was);
      memory.u8[expected + unit - 1] ^= 0xff;
      await disk.ok('compare-and-write', swap);
      await disk.holds(0, unit, next);
    },
  },
  {
    name: 'copy',
    summary: 'copied blocks are where they should be, and where they came from; overlapping ones are refused',
    async run(disk) {
      disk.needsWrite();
      disk.needsNoMetadata();
      disk.needsUnits(8);
      const { unit } = disk;
      const bytes = 3 * unit;
      const [source, target] = [disk.round(), disk.round()];
      await disk.write(0, bytes, source);
      await disk.write(bytes, 5 * unit, target);
      await disk.ok(`copy of ${bytes} bytes`, (cb) => disk.channel.copy(4 * unit, 0, bytes, cb, null));
      const got = await disk.read(0, 8 * unit);
      if (disk.settings.keepsData) {
        const wanted = patternOf(0, 8 * unit, target);
        pattern(wanted, 0, 0, bytes, source);
        wanted.copyWithin(4 * unit, 0, bytes);
        compare(got, wanted, 0, `${bytes} bytes copied from 0 to ${4 * unit}`);
      }
      await disk.refused('copy onto itself', EINVAL, (cb) => disk.channel.copy(unit, 0, bytes, cb, null));
    },
  },
  {
    name: 'block-status',
    summary: 'what it says of its allocation covers the range, and no written block is called zero or a hole',
    async run(disk) {
      const bytes = Math.min(disk.areaBytes, 64 * disk.unit);
      if (disk.bdev.writable) await disk.write(0, bytes, disk.round());
      const extents = new Extents(32);
      let at = 0;
      while (at < bytes) {
        extents.reset();
        const rc = disk.channel.blockStatus(at, bytes - at, extents);
        if (rc !== 0) fail(`block status at ${at} to succeed`, statusText(rc));
        if (extents.totalBytes <= 0 || extents.totalBytes > bytes - at) {
          fail(`extents of 1 to ${bytes - at} bytes from ${at} on`, `${extents.totalBytes} bytes`);
        }
        for (let i = 0; i < extents.count; i++) {
          const nothing = (extents.flags[i] & (EXTENT_HOLE | EXTENT_ZERO)) !== 0;
          if (disk.bdev.writable && disk.settings.keepsData && nothing) {
            fail(`data in the extent of ${extents.bytes[i]} bytes at ${at}, which was written`, 'a hole, or zeroes');
          }
          at += extents.bytes[i];
        }
      }
    },
  },
  {
    name: 'out-of-range',
    summary: 'what begins or ends outside, or on no whole block, is refused, and nothing is written',
    async run(disk) {
      const { block, unit, channel, memory } = disk;
      const size = disk.sizeBytes;
      const buffer = disk.take(4 * unit);
      const outside: [string, number, number][] = [
        ['at the end', size, block],
        ['across the end', size - unit, 2 * unit],
        ['far outside', size * 2, block],
        ['before the start', -block, block],
        ['of no length', 0, 0],
        ['at half a block', block / 2, block],
        ['of half a block', 0, block / 2],
      ];
      const round = disk.round();
      if (disk.bdev.writable) await disk.write(size - unit, unit, round);
      for (const [where, at, bytes] of outside) {
        // A disk in memory may take parts of blocks.
        if (where.includes('half') && disk.bdev.byteTypes !== 0) continue;
        await disk.refused(`read ${where}`, EINVAL, (cb) => channel.read(memory, buffer, at, bytes, cb, null));
        if (!disk.bdev.writable) continue;
        await disk.refused(`write ${where}`, EINVAL, (cb) => channel.write(memory, buffer, at, bytes, cb, null));
        await disk.refused(`write zeroes ${where}`, EINVAL, (cb) => channel.writeZeroes(at, bytes, 0, cb, null));
      }
      if (disk.bdev.writable && unit > block) {
        for (const [at, bytes] of [
          [size - unit, block],
          [size - unit + block, unit - block],
        ]) {
          const part = `of ${bytes} bytes at ${at}, which is no unit of ${unit} bytes`;
          await disk.refused(`write ${part}`, EINVAL, (cb) => channel.write(memory, buffer, at, bytes, cb, null));
        }
      }
      await disk.refused('read into memory outside', EINVAL, (cb) =>
        channel.read(memory, memory.sizeBytes - block / 2, 0, block, cb, null),
      );
      if (disk.bdev.writable) await disk.holds(size - unit, unit, round);
    },
  },
  {
    name: 'parts-of-blocks',
    summary: 'a write of some bytes, where the disk takes that, changes those and no others',
    async run(disk) {
      disk.needsWrite();
      const both = (1 << IO_READ) | (1 << IO_WRITE);
      if ((disk.bdev.byteTypes & both) !== both) throw new NotForThisDisk('it takes whole blocks only');
      const bytes = Math.min(disk.areaBytes, 2 * disk.block);
      for (const [at, length] of [
        [4, 8],
        [disk.block - 4, 8],
        [12, disk.block],
      ]) {
        if (at + length > bytes) continue;
        const [under, over] = [disk.round(), disk.round()];
        await disk.write(0, bytes, under);
        await disk.write(at, length, over);
        const got = await disk.read(0, bytes);
        if (!disk.settings.keepsData) continue;
        const wanted = patternOf(0, bytes, under);
        pattern(wanted, at, at, length, over);
        compare(got, wanted, 0, `${length} bytes written at ${at}, and nothing else changed`);
        await disk.holds(at, length, over);
      }
    },
  },
  {
    name: 'read-only',
    summary: 'a disk that cannot be written to is not opened for writing',
    async run(disk) {
      if (disk.bdev.writable) throw new NotForThisDisk('it can be written to');
      let got = 'it is opened';
      try {
        BdevDesc.open(disk.bdev.name, { write: true, reactor: disk.reactor, onEvent: () => {} }).close();
      } catch (error) {
        got = codeOf(error);
      }
      if (got !== 'EROFS') fail('EROFS', got);
    },
  },
];
