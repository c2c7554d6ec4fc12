/** What the file disk on io_uring does with answers that a file system seldom gives: short transfers, interruptions, refusals. The ring is the test's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BdevIo, IO_SUBMITTED } from '../../../bdev/bdev-io.ts';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import {
  IO_COMPARE,
  IO_FLAG_FUA,
  IO_FLAG_NO_HOLE,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
} from '../../../bdev/io-type.ts';
import { bdevManager } from '../../../bdev/manager.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import type { Ring, RingOp } from '../../../env/uring.ts';
import { zeroesIn } from './file-data.ts';
import { UringFileBackend } from './uring-file.ts';

const EINTR = -4;
const EIO = -5;
const EAGAIN = -11;
const EINVAL = -22;
const ENOSYS = -38;
const ENOTSUP = -95;
/** FALLOC_FL_PUNCH_HOLE, which the kernel takes with KEEP_SIZE alone, and FALLOC_FL_ZERO_RANGE. */
const MODES = new Map([
  [3, 'punch'],
  [16, 'zero range'],
]);
const REFUSALS = [ENOTSUP, EINVAL];

/** A channel over a ring that writes down what it is asked, and answers when and what the test says. */
async function onRing() {
  const cluster = await startCluster();
  const [reactor] = cluster.reactors;
  const asked: string[] = [];
  const ops: RingOp[] = [];
  const removed: number[] = [];
  const note = (op: RingOp, line: string): void => {
    ops.push(op);
    asked.push(line);
  };
  const { zeroes } = reactor.local(bdevManager);
  const zeroesAt = zeroes.address + zeroesIn(zeroes).offset;
  const buf = cluster.memory(65536);
  const place = (address: number) => (address === zeroesAt ? 'zeroes' : `${address - buf.address}`);
  const pieces = (count: number) => `${count} pieces`;
  const dsync = (flags: number) => (flags === 2 ? ' dsync' : '');
  const ring = {
    fixed: { addFile: (fd: number) => fd + 1, removeFile: (file: number) => void removed.push(file) },
    queued: 0,
    read: (_: number, address: number, bytes: number, at: number, op: RingOp) =>
      note(op, `read ${place(address)} ${bytes} at ${at}`),
    write: (_: number, address: number, bytes: number, at: number, op: RingOp, flags = 0) =>
      note(op, `write ${place(address)} ${bytes} at ${at}${dsync(flags)}`),
    readv: (_: number, __: number, count: number, at: number, op: RingOp) =>
      note(op, `readv ${pieces(count)} at ${at}`),
    writev: (_: number, __: number, count: number, at: number, op: RingOp, flags = 0) =>
      note(op, `writev ${pieces(count)} at ${at}${dsync(flags)}`),
    fallocate: (_: number, mode: number, at: number, bytes: number, op: RingOp) =>
      note(op, `${MODES.get(mode)} ${bytes} at ${at}`),
    fsync: (_: number, datasync: boolean, op: RingOp) => note(op, datasync ? 'fdatasync' : 'fsync'),
  } as unknown as Ring;
  const data = {
    filename: 'F',
    fd: 3,
    blockSizeBytes: 512,
    readonly: false,
    fallocate: true,
    direct: false,
    alignBytes: 1,
    blockSizeOverride: false,
    memory: new SharedArrayBuffer(4),
  };
  const backend = new UringFileBackend('F', data, reactor, ring);
  const channel = backend.createChannel();
  const done: number[] = [];
  const { pool } = reactor.local(bdevManager);
  const sink = {
    complete: (io: BdevIo, status: number) => {
      done.push(status);
      pool.put(io);
    },
    finish: () => {},
  };
  /** `memory`: offset and bytes of each piece. */
  const submit = (type: number, memory: readonly (readonly [number, number])[], bytes: number, flags = 0): void => {
    const io = pool.get(0) as BdevIo;
    io.sink = sink;
    io.state = IO_SUBMITTED;
    io.type = type;
    io.flags = flags;
    io.byteOffset = 8192;
    io.bytes = bytes;
    const iovs = new IoVecs(memory.length);
    for (const [offset, length] of memory) iovs.push(buf, offset, length);
    io.iovs = iovs;
    channel.submit(io);
  };
  /** The oldest that was asked and not answered. @returns what was asked since the last time */
  const answer = (...results: number[]): string[] => {
    for (const res of results) (ops.shift() as RingOp).onCqe(res, 0);
    return asked.splice(0);
  };
  const ended = (): number[] => {
    assert.deepEqual(ops, [], 'nothing more is asked of the kernel');
    return done.splice(0);
  };
  const close = async (): Promise<void> => {
    backend.close();
    assert.deepEqual(removed, [data.fd + 1]);
    await cluster.close();
  };
  return { submit, answer, ended, close };
}

test('what a transfer leaves is asked for again, from where it ended; what is interrupted, as it was', async () => {
  const { submit, answer, ended, close } = await onRing();
  submit(IO_READ, [[512, 4096]], 4096);
  assert.deepEqual(answer(EINTR), ['read 512 4096 at 8192', 'read 512 4096 at 8192']);
  assert.deepEqual(answer(1000), ['read 1512 3096 at 9192']);
  assert.deepEqual(answer(EAGAIN), ['read 1512 3096 at 9192']);
  answer(3096);
  assert.deepEqual(ended(), [0]);
  submit(
    IO_WRITE,
    [
      [0, 1024],
      [8192, 1024],
      [4096, 512],
    ],
    2560,
  );
  assert.deepEqual(answer(1024), ['writev 3 pieces at 8192', 'writev 2 pieces at 9216']);
  assert.deepEqual(answer(1100), ['write 4172 436 at 10316']);
  answer(436);
  assert.deepEqual(ended(), [0]);
  for (const type of [IO_READ, IO_WRITE]) {
    submit(type, [[0, 512]], 512);
    answer(0);
    submit(type, [[0, 512]], 512);
    answer(-28);
  }
  assert.deepEqual(ended(), [EIO, -28, EIO, -28], 'nothing at all is an error');
  submit(IO_COMPARE, [[0, 512]], 512);
  assert.deepEqual(ended(), [ENOTSUP]);
  await close();
});

test('a write that the file system cannot write through is written and then synced, and so are those under way with it and after it', async () => {
  for (const refusal of REFUSALS) {
    const { submit, answer, ended, close } = await onRing();
    submit(IO_WRITE, [[0, 512]], 512, IO_FLAG_FUA);
    assert.deepEqual(answer(512), ['write 0 512 at 8192 dsync']);
    assert.deepEqual(ended(), [0]);
    for (const offset of [0, 512]) submit(IO_WRITE, [[offset, 512]], 512, IO_FLAG_FUA);
    answer();
    assert.deepEqual(answer(refusal, refusal), ['write 0 512 at 8192', 'write 512 512 at 8192']);
    assert.deepEqual(answer(512, 512), ['fdatasync', 'fdatasync']);
    answer(0, EIO);
    assert.deepEqual(ended(), [0, EIO]);
    submit(IO_WRITE, [[0, 512]], 512, IO_FLAG_FUA);
    assert.deepEqual(answer(512), ['write 0 512 at 8192', 'fdatasync']);
    answer(0);
    // What is refused though it was not to be written through has failed.
    submit(IO_WRITE, [[0, 512]], 512, IO_FLAG_FUA);
    answer(refusal);
    submit(IO_WRITE, [[0, 512]], 512);
    answer(refusal);
    assert.deepEqual(ended(), [0, refusal, refusal]);
    await close();
  }
});

test('a file system without holes has its ranges zeroed, one without that its zeroes written; each is asked once', async () => {
  const zeroes = 16 * 1024 * 1024;
  for (const refusal of [ENOTSUP, ENOSYS]) {
    const { submit, answer, ended, close } = await onRing();
    submit(IO_WRITE_ZEROES, [], zeroes, IO_FLAG_NO_HOLE);
    assert.deepEqual(answer(EINTR, 0), [`zero range ${zeroes} at 8192`, `zero range ${zeroes} at 8192`]);
    submit(IO_WRITE_ZEROES, [], zeroes);
    submit(IO_UNMAP, [], zeroes);
    assert.deepEqual(answer(), [`punch ${zeroes} at 8192`, `punch ${zeroes} at 8192`]);
    assert.deepEqual(answer(refusal, refusal), [`zero range ${zeroes} at 8192`, `zero range ${zeroes} at 8192`]);
    const [one, other] = answer(0, refusal);
    assert.equal(other, undefined);
    const [, piece] = /^write zeroes (\d+) at 8192$/.exec(one) as RegExpExecArray;
    assert.ok(Number(piece) < zeroes);
    let at = 0;
    for (const res of [EINTR, 4096, Number(piece)]) {
      at += Math.max(res, 0);
      assert.deepEqual(answer(res), [`write zeroes ${piece} at ${8192 + at}`]);
    }
    while (at < zeroes) {
      const left = Math.min(Number(piece), zeroes - at);
      at += left;
      assert.deepEqual(
        answer(left),
        at < zeroes ? [`write zeroes ${Math.min(left, zeroes - at)} at ${8192 + at}`] : [],
      );
    }
    assert.deepEqual(ended(), [0, 0, 0]);
    for (const [res, status] of [
      [0, EIO],
      [-28, -28],
    ]) {
      submit(IO_WRITE_ZEROES, [], 512, IO_FLAG_NO_HOLE);
      assert.deepEqual(answer(res), ['write zeroes 512 at 8192']);
      assert.deepEqual(ended(), [status]);
    }
    await close();
  }
});

test('zeroes that are to be on stable storage, and a flush, sync the file; what fails there is told', async () => {
  const { submit, answer, ended, close } = await onRing();
  submit(IO_WRITE, [[0, 512]], 512, IO_FLAG_FUA);
  answer(512);
  assert.deepEqual(ended(), [0]);
  submit(IO_WRITE_ZEROES, [], 512, IO_FLAG_FUA);
  assert.deepEqual(answer(0), ['punch 512 at 8192', 'fdatasync']);
  assert.deepEqual(answer(EINTR), ['fdatasync']);
  answer(EIO);
  submit(IO_FLUSH, [], 0);
  assert.deepEqual(answer(0), ['fdatasync']);
  submit(IO_UNMAP, [], 512);
  answer(-28);
  assert.deepEqual(ended(), [EIO, 0, -28]);
  await close();
});
