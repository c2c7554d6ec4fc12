/** `readv`, `writev` and `extents` of disks of one's own: memory as it lies, and what is allocated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { EXTENT_HOLE, EXTENT_ZERO, Extents } from '../../../bdev/extents.ts';
import { runIo } from '../../../bdev/stub-setup.sim.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import type { Segment } from '../../../env/segment.ts';
import { inMemory, slowDisk } from './disk-setup.sim.ts';

/** `bytes` in pieces of 100 bytes and a rest, with gaps between. */
function pieces(segment: Segment, offset: number, bytes: number): IoVecs {
  const iovs = new IoVecs(64);
  for (let at = 0; at < bytes; at += 100) iovs.push(segment, offset + at * 2, Math.min(100, bytes - at));
  return iovs;
}

test('memory in several pieces: to readv and writev as it lies, else through one copy; what lies together is one piece', async () => {
  for (const vectored of [false, true]) {
    const cluster = await startCluster({ reactors: 2 });
    const memory = new Uint8Array(8192);
    const calls: string[] = [];
    const each = (
      offset: number,
      buffers: readonly Uint8Array[],
      fn: (part: Uint8Array, buffer: Uint8Array) => void,
    ) => {
      calls.push(`${buffers.length}`);
      let at = offset;
      for (const buffer of buffers) {
        fn(memory.subarray(at, at + buffer.length), buffer);
        at += buffer.length;
      }
    };
    await inMemory(
      cluster,
      slowDisk(memory, {
        async read(offset, buffer) {
          calls.push('read');
          buffer.set(memory.subarray(offset, offset + buffer.length));
        },
        ...(vectored
          ? {
              readv: (offset, buffers) => each(offset, buffers, (part, buffer) => buffer.set(part)),
              writev: async (offset, buffers) => each(offset, buffers, (part, buffer) => part.set(buffer)),
            }
          : {}),
      }),
    );
    for (const core of [0, 1]) {
      const desc = BdevDesc.open('D', { write: true, reactor: cluster.reactors[core], onEvent: () => {} });
      const channel = desc.getIoChannel();
      const buf = cluster.memory(8192);
      for (let i = 0; i < 4096; i++) buf.u8[i] = i * 7 + core + 1;
      const from = pieces(buf, 0, 1024);
      const to = pieces(buf, 4096, 1024);
      for (let round = 0; round < 2; round++) {
        calls.length = 0;
        assert.equal(await runIo(cluster, (cb) => channel.writev(from, 512, cb, null)), 0);
        assert.equal(await runIo(cluster, (cb) => channel.readv(to, 512, cb, null)), 0);
        assert.deepEqual(calls, vectored ? ['11', '11'] : ['read']);
        for (let i = 0; i < to.count; i++) {
          const [a, b] = [from.offset[i], to.offset[i]];
          assert.deepEqual(buf.u8.subarray(b, b + to.bytes[i]), buf.u8.subarray(a, a + to.bytes[i]));
          assert.equal(buf.u8[b + to.bytes[i]], 0, 'what lies between is not touched');
        }
        buf.u8.fill(0, 4096);
      }
      const together = new IoVecs(2);
      together.push(buf, 4096, 100);
      together.push(buf, 4196, 412);
      calls.length = 0;
      assert.equal(await runIo(cluster, (cb) => channel.readv(together, 512, cb, null)), 0);
      assert.deepEqual([calls, buf.u8[4096], buf.u8[4607]], [['read'], memory[512], memory[1023]]);
      desc.close();
      cluster.forget(buf);
    }
    await cluster.close();
  }
});

test('a copy that a call was given up with is never used again', async () => {
  const cluster = await startCluster();
  const started: { buffer: Uint8Array; end: () => void }[] = [];
  await inMemory(cluster, {
    size: 8192,
    read: (_, buffer) => new Promise<void>((end) => void started.push({ buffer, end })),
    timeoutMs: 1000,
  });
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(4096);
  const statuses: number[] = [];
  const read = (at: number) => channel.readv(pieces(buf, at, 512), 0, (_, rc) => void statuses.push(rc), null);
  const settle = async (call: { end: () => void }): Promise<void> => {
    call.end();
    await new Promise((resolve) => setImmediate(resolve));
    cluster.turns();
  };
  assert.equal(read(0), 0);
  assert.equal(channel.abort(null), 1);
  cluster.turns();
  assert.equal(read(2048), 0);
  started[1].buffer.fill(5);
  started[0].buffer.fill(9);
  await settle(started[0]);
  await settle(started[1]);
  assert.deepEqual([statuses, buf.u8[0], buf.u8[2048]], [[-125, 0], 0, 5]);
  // That of a call which ended is.
  assert.equal(read(0), 0);
  assert.equal(started[2].buffer.buffer, started[1].buffer.buffer);
  await settle(started[2]);
  desc.close();
  await cluster.close();
});

test('extents: what is allocated, on the disk’s own core; a list that cannot be is EIO, and said', async () => {
  const cluster = await startCluster({ reactors: 2 });
  let list: { length: number; hole: boolean }[] = [];
  const asked: number[][] = [];
  await inMemory(cluster, {
    size: 1 << 20,
    read: (_, buffer) => void buffer.fill(0),
    extents: (offset, length) => {
      asked.push([offset, length]);
      return list;
    },
  });
  const [own, away] = [0, 1].map((core) =>
    BdevDesc.open('D', { write: false, reactor: cluster.reactors[core], onEvent: () => {} }),
  );
  const channel = own.getIoChannel();
  const status = (bytes: number, capacity = 8): unknown[] => {
    const out = new Extents(capacity);
    const rc = channel.blockStatus(512, bytes, out);
    return rc !== 0 ? [rc] : Array.from({ length: out.count }, (_, i) => [out.bytes[i], out.flags[i]]);
  };
  list = [
    { length: 512, hole: false },
    { length: 1024, hole: true },
    { length: 1 << 30, hole: false },
  ];
  const [data, hole] = [0, EXTENT_HOLE | EXTENT_ZERO];
  assert.deepEqual(status(4096), [
    [512, data],
    [1024, hole],
    [2560, data],
  ]);
  assert.deepEqual(status(512), [[512, data]]);
  assert.deepEqual(status(4096, 2), [
    [512, data],
    [1024, hole],
  ]);
  assert.deepEqual(asked.slice(0, 2), [
    [512, 4096],
    [512, 512],
  ]);
  for (const wrong of [
    [],
    [{ length: 0, hole: true }],
    [{ length: 100, hole: true }],
    [{ length: Number.NaN, hole: true }],
  ]) {
    list = wrong;
    assert.deepEqual(status(4096), [-5]);
  }
  const out = new Extents(8);
  assert.equal(away.getIoChannel().blockStatus(0, 4096, out), 0);
  assert.deepEqual([out.count, out.totalBytes, out.flags[0]], [1, 4096, 0]);
  own.close();
  away.close();
  await cluster.close();
});
