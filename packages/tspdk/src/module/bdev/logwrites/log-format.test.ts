/** The log's bytes, what a reader makes of them, and of logs that are torn, or made to hurt. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { SpdkError } from '../../../env/errors.ts';
import { makeSegment } from '../../../env/segment.ts';
import {
  decodeLogSuper,
  encodeLogEntry,
  encodeLogMark,
  encodeLogSuper,
  LOG_DISCARD_FLAG,
  LOG_FLUSH_FLAG,
  LOG_FUA_FLAG,
  LOG_MARK_FLAG,
  LOG_METADATA_FLAG,
  LogTail,
} from './log-format.ts';
import {
  diskInFile,
  diskInMemory,
  entriesBeforeMark,
  LogReader,
  logInFile,
  logInMemory,
  replayLog,
} from './log-replay.ts';

const DISK_SECTORS = 64;

type Op =
  | {
      readonly kind: 'write';
      readonly sector: number;
      readonly sectors: number;
      readonly fill: number;
      readonly flags: number;
    }
  | { readonly kind: 'discard'; readonly sector: number; readonly sectors: number }
  | { readonly kind: 'flush' }
  | { readonly kind: 'mark'; readonly label: string };

const place = { sector: fc.nat(DISK_SECTORS - 8), sectors: fc.integer({ min: 1, max: 8 }) };
const arbitraryOps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('write' as const),
      ...place,
      fill: fc.integer({ min: 1, max: 255 }),
      flags: fc.constantFrom(0, LOG_FUA_FLAG, LOG_METADATA_FLAG, LOG_FLUSH_FLAG | LOG_FUA_FLAG),
    }),
    fc.record({ kind: fc.constant('discard' as const), ...place }),
    fc.constant({ kind: 'flush' as const }),
    fc.record({ kind: fc.constant('mark' as const), label: fc.string({ unit: 'grapheme', maxLength: 20 }) }),
  ),
  { maxLength: 30 },
) as fc.Arbitrary<Op[]>;

function dataOf(op: { sector: number; sectors: number; fill: number }, sectorSize: number): Uint8Array {
  return Uint8Array.from({ length: op.sectors * sectorSize }, (_, i) => (op.fill + i + (i >> 9)) & 255);
}

/** A log of `ops`, its bytes before the first that were not used, and how many entries it has. */
function logOf(ops: readonly Op[], sectorSize: number): Uint8Array {
  const segment = makeSegment(1, new SharedArrayBuffer((2 + ops.length * 9) * sectorSize));
  segment.u8.fill(0xaa);
  const { view } = segment;
  const tail = new LogTail(sectorSize, segment.sizeBytes);
  for (const op of ops) {
    if (op.kind === 'write') {
      const at = tail.append(op.flags, op.sectors);
      encodeLogEntry(view, at, sectorSize, op.sector, op.sectors, op.flags);
      segment.u8.set(dataOf(op, sectorSize), at + sectorSize);
    } else if (op.kind === 'discard') {
      const at = tail.append(LOG_DISCARD_FLAG, op.sectors);
      encodeLogEntry(view, at, sectorSize, op.sector, op.sectors, LOG_DISCARD_FLAG);
    } else if (op.kind === 'flush') {
      encodeLogEntry(view, tail.append(LOG_FLUSH_FLAG, 0), sectorSize, 0, 0, LOG_FLUSH_FLAG);
    } else {
      encodeLogMark(view, tail.append(LOG_MARK_FLAG, 0), sectorSize, op.label);
    }
  }
  encodeLogSuper(view, 0, sectorSize, tail.nrEntries);
  return Uint8Array.from(segment.u8.subarray(0, tail.nextSector * sectorSize));
}

/** The disk after `ops`, without a log. */
function diskAfter(ops: readonly Op[], sectorSize: number): Uint8Array {
  const disk = new Uint8Array(DISK_SECTORS * sectorSize).fill(0x99);
  for (const op of ops) {
    if (op.kind === 'write') disk.set(dataOf(op, sectorSize), op.sector * sectorSize);
    if (op.kind === 'discard') disk.fill(0, op.sector * sectorSize, (op.sector + op.sectors) * sectorSize);
  }
  return disk;
}

const code = (expected: string) => (error: unknown) => error instanceof SpdkError && error.code === expected;

test('the bytes are those of struct log_write_super and struct log_write_entry', () => {
  const log = logOf(
    [
      { kind: 'write', sector: 3, sectors: 2, fill: 1, flags: LOG_FUA_FLAG },
      { kind: 'mark', label: 'é' },
    ],
    512,
  );
  assert.equal(log.length, 512 * 5, 'superblock, entry, two sectors of data, mark');
  const hex = (at: number, bytes: number) => Buffer.from(log.subarray(at, at + bytes)).toString('hex');
  assert.equal(hex(0, 28), '72687377' + '66736a00' + '0100000000000000' + '0200000000000000' + '00020000');
  assert.equal(hex(512, 32), '0300000000000000' + '0200000000000000' + '0200000000000000' + '0000000000000000');
  assert.equal(hex(2048, 34), `${'00'.repeat(16)}0800000000000000${'0200000000000000'}c3a9`);
  assert.ok(
    log.subarray(28, 512).every((byte) => byte === 0),
    'the rest of a sector is zeroes',
  );
  assert.ok(log.subarray(544, 1024).every((byte) => byte === 0));
  assert.deepEqual(decodeLogSuper(new DataView(log.buffer)), { sectorSize: 512, nrEntries: 2 });
});

test('what was logged is read again, and replayed up to any entry it is the disk of that moment', () => {
  fc.assert(
    fc.property(arbitraryOps, fc.constantFrom(512, 1024), fc.nat(30), (ops, sectorSize, entries) => {
      const log = logOf(ops, sectorSize);
      const reader = new LogReader(logInMemory(log));
      for (const op of ops) {
        assert.equal(reader.next(), true);
        const { sector, nrSectors, flags } = reader.entry;
        if (op.kind === 'mark') assert.deepEqual([flags, reader.label], [LOG_MARK_FLAG, op.label]);
        else if (op.kind === 'flush') assert.deepEqual([flags, sector, nrSectors], [LOG_FLUSH_FLAG, 0, 0]);
        else assert.deepEqual([sector, nrSectors], [op.sector, op.sectors]);
        if (op.kind === 'write') assert.equal(flags, op.flags);
        if (op.kind === 'discard') assert.equal(flags, LOG_DISCARD_FLAG);
      }
      assert.equal(reader.next(), false);
      assert.equal(reader.torn, null);
      const disk = diskAfter([], sectorSize);
      const result = replayLog(logInMemory(log), diskInMemory(disk), entries);
      assert.deepEqual(result, { entries: Math.min(entries, ops.length), torn: null });
      assert.deepEqual(disk, diskAfter(ops.slice(0, entries), sectorSize));
    }),
    { numRuns: 150 },
  );
});

test('a log that ends early gives the entries that are whole, and says which is not', () => {
  fc.assert(
    fc.property(arbitraryOps, fc.nat(), (ops, cut) => {
      const whole = logOf(ops, 512);
      const log = whole.subarray(0, 512 + (cut % (whole.length - 511)));
      let entries = 0;
      for (let end = 512; entries < ops.length; entries++) {
        const op = ops[entries];
        end += 512 + (op.kind === 'write' ? op.sectors * 512 : 0);
        if (end > log.length) break;
      }
      const disk = diskAfter([], 512);
      const result = replayLog(logInMemory(log), diskInMemory(disk));
      assert.equal(result.entries, entries);
      if (entries === ops.length) assert.equal(result.torn, null);
      else assert.match(result.torn ?? '', new RegExp(`^entry ${entries} of ${ops.length}: the log ends `));
      assert.deepEqual(disk, diskAfter(ops.slice(0, entries), 512));
    }),
    { numRuns: 150 },
  );
});

test('a tail that was never written, and entries that make no sense, end it', () => {
  const ops: Op[] = [{ kind: 'write', sector: 1, sectors: 1, fill: 5, flags: 0 }, { kind: 'flush' }];
  const torn = (change: (view: DataView) => void): string | null => {
    const log = logOf(ops, 512);
    change(new DataView(log.buffer));
    const result = replayLog(logInMemory(log), diskInMemory(new Uint8Array(DISK_SECTORS * 512)));
    assert.equal(result.entries, result.torn === null ? 2 : 1);
    return result.torn;
  };
  const second = 512 * 3;
  assert.equal(
    torn(() => {}),
    null,
  );
  assert.match(torn((view) => view.setUint32(second + 16, 0, true)) ?? '', /nothing was written there/);
  assert.match(torn((view) => view.setUint32(second + 16, 0x20, true)) ?? '', /flags that mean nothing/);
  assert.match(torn((view) => view.setUint32(second + 20, 1, true)) ?? '', /flags that mean nothing/);
  assert.match(torn((view) => view.setUint32(second + 12, 0xffffffff, true)) ?? '', /no disk has/);
  assert.match(torn((view) => view.setUint32(second + 11, 1, true)) ?? '', /the log ends in its data/);
  const mark = (view: DataView): void => {
    view.setUint32(second + 16, LOG_MARK_FLAG, true);
    view.setUint32(second + 24, 512 - 31, true);
  };
  assert.match(torn(mark) ?? '', /its label of 481 bytes/);
});

test('what is no log is refused', () => {
  const log = logOf([{ kind: 'flush' }], 512);
  for (const [at, value, what] of [
    [0, 0x73, /magic/],
    [6, 0x6b, /magic/],
    [8, 2, /version 2/],
    [12, 1, /version/],
    [23, 0xff, /entries/],
    [24, 1, /sectors of 513/],
    [25, 1, /sectors of 256/],
    [27, 1, /sectors of/],
  ] as const) {
    const bad = log.slice();
    bad[at] = value;
    const replay = () => replayLog(logInMemory(bad), diskInMemory(new Uint8Array(512)));
    assert.throws(replay, (error) => code('EINVAL')(error) && what.test((error as Error).message));
  }
  assert.throws(() => new LogReader(logInMemory(log.subarray(0, 27))), code('EINVAL'));
  assert.throws(() => new LogReader(logInMemory(new Uint8Array(0))), code('EINVAL'));
});

test('an entry outside the disk is refused; those before it are applied', () => {
  const log = logOf(
    [
      { kind: 'write', sector: 0, sectors: 1, fill: 5, flags: 0 },
      { kind: 'discard', sector: 1, sectors: 2 },
    ],
    512,
  );
  const disk = new Uint8Array(1024);
  assert.throws(() => replayLog(logInMemory(log), diskInMemory(disk)), code('ERANGE'));
  assert.equal(disk[0], 5);
});

test('any bytes after the superblock: it ends, or refuses, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 512, maxLength: 4096 }), fc.array(fc.nat(255)), (bytes, starts) => {
      const log = new Uint8Array(512 + bytes.length);
      log.set(bytes, 512);
      for (const [i, start] of starts.entries()) log[512 + ((i * 32) % bytes.length)] = start;
      encodeLogSuper(new DataView(log.buffer), 0, 512, 2 ** 40);
      try {
        const result = replayLog(logInMemory(log), diskInMemory(new Uint8Array(65536)));
        assert.notEqual(result.torn, null);
      } catch (error) {
        assert.ok(code('ERANGE')(error), String(error));
      }
    }),
    { numRuns: 300 },
  );
});

test('a mark is found by its label; a label that does not fit is refused', () => {
  const log = logOf([{ kind: 'mark', label: 'a' }, { kind: 'flush' }, { kind: 'mark', label: 'b' }], 512);
  assert.equal(entriesBeforeMark(logInMemory(log), 'b'), 2);
  assert.equal(entriesBeforeMark(logInMemory(log), 'a'), 0);
  assert.equal(entriesBeforeMark(logInMemory(log), 'c'), -1);
  const view = new DataView(new ArrayBuffer(512));
  encodeLogMark(view, 0, 512, 'x'.repeat(480));
  assert.throws(() => encodeLogMark(view, 0, 512, 'x'.repeat(481)), code('ENAMETOOLONG'));
});

test('the tail gives no room that is not there', () => {
  const tail = new LogTail(512, 512 * 4 + 511);
  assert.equal(tail.append(0, 3), -1);
  assert.equal(tail.append(0, Number.NaN), -1);
  assert.equal(tail.append(0, 1), 512);
  assert.equal(tail.append(LOG_DISCARD_FLAG, 1000), 1536, 'a discard takes no data');
  assert.equal(tail.append(LOG_FLUSH_FLAG, 0), -1);
  assert.deepEqual([tail.nextSector, tail.nrEntries], [4, 2]);
  assert.throws(() => new LogTail(512, 1023), code('EINVAL'));
  assert.throws(() => new LogTail(768, 1 << 20), code('EINVAL'));
});

test('sectors past 2^32 come back as they went in', () => {
  const log = new Uint8Array(1024);
  const view = new DataView(log.buffer);
  encodeLogSuper(view, 0, 512, 1);
  encodeLogEntry(view, 512, 512, 2 ** 42 + 5, 2 ** 33 + 1, LOG_DISCARD_FLAG);
  const reader = new LogReader(logInMemory(log));
  assert.ok(reader.next());
  assert.deepEqual([reader.entry.sector, reader.entry.nrSectors], [2 ** 42 + 5, 2 ** 33 + 1]);
});

test('what lies behind the entries that are asked for is not looked at', () => {
  const log = logOf([{ kind: 'flush' }, { kind: 'flush' }], 512).subarray(0, 1024);
  const disk = diskInMemory(new Uint8Array(512));
  assert.deepEqual(replayLog(logInMemory(log), disk, 1), { entries: 1, torn: null });
  assert.equal(replayLog(logInMemory(log), disk, 2).entries, 1);
});

test('a write that is longer than what is copied at once', () => {
  const sectors = 5003;
  const log = new Uint8Array((sectors + 2) * 512);
  const view = new DataView(log.buffer);
  encodeLogSuper(view, 0, 512, 1);
  encodeLogEntry(view, 512, 512, 1, sectors, 0);
  for (let at = 1024; at < log.length; at += 4) view.setInt32(at, at, true);
  const disk = new Uint8Array((sectors + 1) * 512);
  assert.equal(replayLog(logInMemory(log), diskInMemory(disk)).entries, 1);
  assert.equal(Buffer.compare(disk.subarray(512), log.subarray(1024)), 0);
});

test('from file to file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tspdk-log-'));
  try {
    const ops: Op[] = [
      { kind: 'write', sector: 2, sectors: 8, fill: 9, flags: 0 },
      { kind: 'discard', sector: 3, sectors: 2 },
      { kind: 'write', sector: 20, sectors: 1, fill: 1, flags: 0 },
    ];
    writeFileSync(join(folder, 'log'), logOf(ops, 512));
    writeFileSync(join(folder, 'disk'), diskAfter([], 512));
    const log = openSync(join(folder, 'log'), 'r');
    const disk = openSync(join(folder, 'disk'), 'r+');
    assert.deepEqual(replayLog(logInFile(log), diskInFile(disk, DISK_SECTORS * 512), 2), { entries: 2, torn: null });
    closeSync(log);
    closeSync(disk);
    assert.deepEqual(Uint8Array.from(readFileSync(join(folder, 'disk'))), diskAfter(ops.slice(0, 2), 512));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
