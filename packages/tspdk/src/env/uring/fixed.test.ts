/** Registered files and memory against the real kernel: used, given back, refused. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ffi } from '../ffi.ts';
import { limits } from '../limits.ts';
import { makeSegment, SegmentTable } from '../segment.ts';
import { FixedTables } from './fixed.ts';
import { Ring, type RingOp } from './ring.ts';

const ENOMEM = 12;

/** A ring with tables, an open file of 8 KiB, and segments; skips where there are none. */
function setUp(t: TestContext) {
  // Few entries, which are soon used again.
  const ring = Ring.open({ entries: 8 });
  if (!(ring instanceof Ring)) {
    t.skip(ring.reason);
    return null;
  }
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-fixed-'));
  const fd = openSync(join(dir, 'file'), 'w+');
  writeSync(
    fd,
    new Uint8Array(8192).map((_, i) => i * 7),
  );
  t.after(() => {
    ring.close();
    closeSync(fd);
    rmSync(dir, { recursive: true });
  });
  const segments = new SegmentTable();
  segments.onDetach = (segment) => ring.fixed.removeSegment(segment);
  let ids = 0;
  const attach = (bytes: number, pinnable?: boolean) => segments.attach(++ids, new SharedArrayBuffer(bytes), pinnable);
  const [major, minor] = release().split('.').map(Number);
  if (major < 5 || (major === 5 && minor < 19)) {
    t.skip(`Linux ${release()} has no tables of empty places`);
    return null;
  }
  assert.notEqual(ring.fixed.addFile(fd), fd);
  return { ring, fd, segments, attach };
}

function run(ring: Ring, start: (op: RingOp) => void): number {
  let result: number | undefined;
  start({
    onCqe: (res) => {
      result = res;
    },
  });
  while (result === undefined) ring.poll();
  return result;
}

test('a registered file and registered memory do as others do, and no operation after them is mistaken for one', (t) => {
  const set = setUp(t);
  if (set === null) return;
  const { ring, fd, attach } = set;
  // Places are numbered from 0: with more than one, a number that is forgotten shows.
  const [other, segment, plain] = [attach(4096), attach(65536), attach(65536, false)];
  assert.deepEqual(
    [other, segment, plain].map((each) => ring.fixed.addSegment(each)),
    [true, true, false],
  );
  assert.deepEqual([other.fixed, segment.fixed, plain.fixed], [1, 2, -1]);
  assert.equal(ring.fixed.addSegment(segment), true, 'it is');
  const file = ring.fixed.addFile(fd);
  assert.ok(file < -1);
  for (const [name, memory] of [
    [file, segment],
    [file, plain],
    [fd, segment],
    [fd, plain],
  ] as const) {
    memory.u8.fill(0);
    const read = (op: RingOp) => ring.read(name, memory.address + 512, 4096, 1024, op, 0, Math.max(0, memory.fixed));
    assert.equal(run(ring, read), 4096);
    assert.deepEqual([memory.u8[511], memory.u8[512], memory.u8[4607]], [0, (1024 * 7) & 255, (5119 * 7) & 255]);
    memory.u8.fill(9, 512, 1024);
    const write = (op: RingOp) => ring.write(name, memory.address + 512, 512, 0, op, 0, Math.max(0, memory.fixed));
    assert.equal(run(ring, write), 512);
    assert.equal(
      run(ring, (op) => ring.fsync(name, true, op)),
      0,
    );
    assert.equal(
      run(ring, (op) => ring.nop(op)),
      0,
    );
  }
  // Memory outside of what is registered is refused by the kernel: the number arrives there.
  const outside = (op: RingOp) => ring.read(file, plain.address, 512, 0, op, 0, segment.fixed);
  assert.equal(run(ring, outside), -14);
});

test('places are given back and used again', (t) => {
  const set = setUp(t);
  if (set === null) return;
  const { ring, fd, segments, attach } = set;
  const first = attach(4096);
  ring.fixed.addSegment(first);
  segments.detach(first.id);
  assert.equal(ring.fixed.addSegment(first), false, 'it is nobody’s any more');
  for (let i = 0; i < 2 * limits.uring_buffers; i++) {
    const segment = attach(4096);
    assert.equal(ring.fixed.addSegment(segment), true);
    assert.equal(segment.fixed, 1);
    segments.detach(segment.id);
  }
  for (let i = 0; i < limits.uring_buffers; i++) assert.equal(ring.fixed.addSegment(attach(4096)), true);
  assert.equal(ring.fixed.addSegment(attach(4096)), false, 'no place is left');
  const files = Array.from({ length: limits.uring_files - 1 }, () => ring.fixed.addFile(fd));
  assert.equal(new Set(files).size, files.length);
  assert.equal(ring.fixed.addFile(fd), fd, 'no place is left');
  ring.fixed.removeFile(fd);
  ring.fixed.removeFile(files[7]);
  assert.equal(ring.fixed.addFile(fd), files[7]);
});

test('what is registered counts against the limit until it is given back, and what was refused does not', (t) => {
  const set = setUp(t);
  if (set === null || ffi === null) return;
  const { ring, attach } = set;
  const tables = new FixedTables(ffi, ring.fd, 16384);
  const add = (bytes: number, pinnable?: boolean) => {
    const segment = attach(bytes, pinnable);
    return { segment, added: tables.addSegment(segment) };
  };
  const [first, refused, unpinnable, second, over] = [add(8192), add(12288), add(8192, false), add(8192), add(4096)];
  assert.deepEqual(
    [first, refused, unpinnable, second, over].map(({ added }) => added),
    [true, false, false, true, false],
  );
  assert.equal(tables.addSegment(first.segment), true, 'once');
  for (let i = 0; i < 2; i++) tables.removeSegment(first.segment);
  tables.removeSegment(refused.segment);
  assert.deepEqual([add(8192).added, add(4096).added], [true, false]);
});

test('memory beyond a limit is not registered: the kit’s, and that of a user without privilege, with its errno', (t) => {
  const set = setUp(t);
  if (set === null) return;
  const { ring, attach } = set;
  const large = attach(limits.uring_pinned_bytes + 4096);
  assert.equal(ring.fixed.addSegment(large), false);
  assert.equal(ring.fixed.errno, 0);
  assert.equal(
    ring.fixed.addSegment(makeSegment(0, new SharedArrayBuffer(4096))),
    false,
    'memory that belongs to no table',
  );
  if (process.geteuid?.() !== 0) {
    t.diagnostic('the limit of locked memory is not tried: that needs root, to become somebody else');
    return;
  }
  process.seteuid?.(65534);
  try {
    const poor = Ring.open();
    assert.ok(poor instanceof Ring);
    const mine = attach(200 * 1024 * 1024);
    const added = poor.fixed.addSegment(mine);
    // Where the limit is as high as that there is nothing to see.
    if (!added) assert.deepEqual([poor.fixed.errno, mine.fixed], [ENOMEM, -1]);
    else t.diagnostic('the limit of locked memory here is higher than 200 MiB');
    poor.close();
  } finally {
    process.seteuid?.(0);
  }
});
