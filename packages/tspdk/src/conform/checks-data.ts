/** Checks of what a disk holds: blocks, lengths, edges, neighbours, pieces of memory. */
import type { Check } from './check.ts';
import { compare, type DiskUnderTest, fail, NotForThisDisk, pattern, patternOf } from './disk-under-test.ts';

const MIB = 1024 * 1024;

/** The sizes of pieces of a vectored I/O: odd ones too, as NBD and iSCSI bring them. */
const PIECES = [512, 4, 60, 448, 4096, 1000, 24, 2048, 8, 16];

/** Pieces of memory that add up to `bytes`. */
function piecesOf(disk: DiskUnderTest, bytes: number): { at: number; bytes: number }[] {
  const pieces = [];
  for (let i = 0, left = bytes; left > 0; i++) {
    const piece = Math.min(left, PIECES[i % PIECES.length]);
    pieces.push({ at: disk.take(piece, (i % 3) * 4), bytes: piece });
    left -= piece;
  }
  return pieces;
}

export const dataChecks: readonly Check[] = [
  {
    name: 'read',
    summary: 'every kind of read of what is there gives the same bytes each time',
    async run(disk) {
      const bytes = Math.min(disk.areaBytes, MIB);
      const once = (await disk.read(0, bytes)).slice();
      const again = await disk.read(0, bytes);
      if (disk.settings.keepsData) compare(again, once, 0, 'the same as when it was read before');
      for (let at = 0; at < Math.min(bytes, 16 * disk.block); at += disk.block) {
        const part = await disk.read(at, disk.block);
        if (disk.settings.keepsData)
          compare(part, once.subarray(at), at, 'a block alone, the same as in a longer read');
      }
    },
  },
  {
    name: 'write-read',
    summary: 'a block that is written reads back, and so does one written over it',
    async run(disk) {
      disk.needsWrite();
      for (let i = 0; i < 3; i++) {
        const round = disk.round();
        await disk.write(0, disk.unit, round);
        await disk.holds(0, disk.unit, round);
      }
    },
  },
  {
    name: 'edges',
    summary: 'the first and the last block, and those beside them, hold what is written',
    async run(disk) {
      disk.needsWrite();
      const { unit } = disk;
      const size = disk.sizeBytes;
      const round = disk.round();
      const places: [number, number][] = [
        [0, unit],
        [size - unit, unit],
      ];
      if (size >= 8 * unit) places.push([unit, 2 * unit], [size - 4 * unit, 3 * unit]);
      for (const [at, bytes] of places) await disk.write(at, bytes, round);
      for (const [at, bytes] of places) await disk.holds(at, bytes, round);
    },
  },
  {
    name: 'lengths',
    summary: 'I/Os of one block up to 1 MiB, and one block less and more, read back',
    async run(disk) {
      disk.needsWrite();
      for (let units = 1; units * disk.unit <= Math.min(MIB, disk.areaBytes); units *= 2) {
        for (const length of [units - 1, units, units + 1]) {
          const bytes = length * disk.unit;
          if (bytes === 0 || bytes > disk.areaBytes) continue;
          disk.begin();
          const round = disk.round();
          await disk.write(0, bytes, round);
          await disk.holds(0, bytes, round);
        }
      }
    },
  },
  {
    name: 'neighbours',
    summary: 'a write at any block, of any few blocks, changes those and no others',
    async run(disk) {
      disk.needsWrite();
      disk.needsUnits(4);
      const { unit } = disk;
      const span = Math.min(disk.units, 16);
      for (let first = 0; first < span; first++) {
        for (const units of [1, 2, 3, 7]) {
          if (first + units > span) continue;
          disk.begin();
          const under = disk.round();
          const over = disk.round();
          await disk.write(0, span * unit, under);
          await disk.write(first * unit, units * unit, over);
          const got = await disk.read(0, span * unit);
          if (!disk.settings.keepsData) continue;
          const wanted = patternOf(0, span * unit, under);
          pattern(wanted, first * unit, first * unit, units * unit, over);
          compare(got, wanted, 0, `${units * unit} bytes written at ${first * unit}, and nothing else changed`);
        }
      }
    },
  },
  {
    name: 'boundaries',
    summary: 'I/Os across 4 KiB to 1 MiB and the disk’s own boundaries are whole',
    async run(disk) {
      disk.needsWrite();
      disk.needsUnits(4);
      const { unit } = disk;
      const own = disk.bdev.limits.optimalIoBoundaryBlocks * disk.block;
      // Where no unit ends at one, the I/Os across the next end of a unit are across it, too.
      const ends = [own, 4096, 16384, 65536, 131072, MIB].map((at) => Math.ceil(at / unit) * unit);
      const boundaries = [...new Set(ends)].filter((at) => at >= 2 * unit && at + 2 * unit <= disk.areaBytes);
      if (boundaries.length === 0) throw new NotForThisDisk('it is too small');
      for (const boundary of boundaries) {
        disk.begin();
        const round = disk.round();
        await disk.write(boundary - 2 * unit, 4 * unit, round);
        await disk.holds(boundary - unit, 2 * unit, round);
        await disk.holds(boundary - 2 * unit, 2 * unit, round);
        await disk.holds(boundary, 2 * unit, round);
      }
    },
  },
  {
    name: 'kept',
    summary: 'blocks written one by one, in no order, are all there afterwards',
    async run(disk) {
      disk.needsWrite();
      const { unit } = disk;
      const count = Math.min(disk.units, 512);
      const round = disk.round();
      // A walk over all of them: the step and the count have no common divisor.
      const step = count % 7 === 0 ? 11 : 7;
      for (let i = 0; i < count; i++) {
        disk.begin();
        await disk.write(((i * step) % count) * unit, unit, round);
      }
      disk.begin();
      await disk.holds(0, count * unit, round);
    },
  },
  {
    name: 'vectored',
    summary: 'data in many pieces of memory is written and read in order, beside which nothing is touched',
    async run(disk) {
      disk.needsWrite();
      const bytes = Math.min(disk.areaBytes, Math.max(16384, 4 * disk.unit));
      const round = disk.round();
      const wanted = patternOf(0, bytes, round);
      const from = piecesOf(disk, bytes);
      let done = 0;
      for (const piece of from) {
        disk.memory.u8.set(wanted.subarray(done, done + piece.bytes), piece.at);
        done += piece.bytes;
      }
      const what = `of ${bytes} bytes in ${from.length} pieces`;
      await disk.ok(`write ${what}`, (cb) => disk.channel.writev(disk.vecs(from), 0, cb, null));
      await disk.holds(0, bytes, round);
      const to = piecesOf(disk, bytes);
      await disk.ok(`read ${what}`, (cb) => disk.channel.readv(disk.vecs(to), 0, cb, null));
      done = 0;
      for (const piece of to) {
        disk.checkGuards(piece.at, piece.bytes, `read ${what}`);
        const got = disk.memory.u8.subarray(piece.at, piece.at + piece.bytes);
        if (disk.settings.keepsData) compare(got, wanted.subarray(done, done + piece.bytes), done, `a read ${what}`);
        done += piece.bytes;
      }
    },
  },
  {
    name: 'memory-alignment',
    summary: 'buffers at any address will do',
    async run(disk) {
      disk.needsWrite();
      for (const shift of [1, 2, 4, 7, 8, 511]) {
        const round = disk.round();
        await disk.write(0, disk.unit, round, 0, shift);
        await disk.holds(0, disk.unit, round, (shift * 3) % 512);
      }
    },
  },
  {
    name: 'zero-copy',
    summary: 'the disk’s own memory, where it shows it, is what reads give and writes change',
    async run(disk) {
      const bytes = Math.min(disk.areaBytes, 4 * disk.unit);
      const vecs = disk.vecs([{ at: 0, bytes: 0 }]);
      vecs.reset();
      if (!disk.channel.zcopy(0, bytes, vecs)) throw new NotForThisDisk('it has no memory to show');
      if (vecs.totalBytes !== bytes) fail(`memory of ${bytes} bytes`, `${vecs.totalBytes}`);
      if (!disk.bdev.writable || !disk.settings.keepsData) return;
      const round = disk.round();
      await disk.write(0, bytes, round);
      const piece = vecs.segment[0]!.u8.subarray(vecs.offset[0], vecs.offset[0] + bytes);
      compare(piece, patternOf(0, bytes, round), 0, 'what was written, in the disk’s own memory');
      const next = disk.round();
      vecs.reset();
      if (!disk.channel.zcopy(0, bytes, vecs, true)) fail('memory to write to', 'none');
      pattern(piece, 0, 0, bytes, next);
      disk.channel.zcopyWritten(0, bytes);
      await disk.holds(0, bytes, next);
    },
  },
];
