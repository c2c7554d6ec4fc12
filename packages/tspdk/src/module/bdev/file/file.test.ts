/** The file disk on each of its backends: data, holes, a file that changes under it, what is refused. */
// The file disk on a real file, through both of its backends.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { EXTENT_HOLE, EXTENT_ZERO, Extents } from '../../../bdev/extents.ts';
import { IO_FLAG_NO_HOLE } from '../../../bdev/io-type.ts';
import { type ModelOp, modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { describeBdev } from '../../../bdev/rpc.ts';
import { channelOf, open, runIo } from '../../../bdev/stub-setup.sim.ts';
import { ffi } from '../../../env/ffi.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import { limits } from '../../../env/limits.ts';
import { alignedOffset, makeSegment } from '../../../env/segment.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../../rpc/index.ts';
import { directFits, type FileBdevParams, rescanFile } from './file-bdev.ts';
import type { FileData } from './file-data.ts';
import { registerFileRpc } from './rpc.ts';

// Not in /tmp, which may be a file system without O_DIRECT.
const dir = mkdtempSync(join(process.env.TSPDK_TEST_DIR ?? tmpdir(), 'tspdk-file-'));
after(() => rmSync(dir, { recursive: true, force: true }));
let files = 0;

function newFile(bytes: number): string {
  const path = join(dir, `disk${files++}`);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

async function withRing(t: { skip(why: string): void }, reactors = 2): Promise<Cluster | null> {
  const cluster = await startCluster({ reactors, ring: true });
  if (cluster.reactors[0].ring !== null) return cluster;
  t.skip(cluster.reactors[0].ringReason);
  await cluster.close();
  return null;
}

/** Aligned writes of two cores, from memory that both rings know, or one. */
const twoCores: ModelOp[] = [1, 0].map((lba) => ({
  kind: 'write',
  lba,
  blocks: 1,
  seed: lba,
  pieces: [],
  gap: 0,
  reactor: lba,
  flags: 0,
}));

for (const backend of ['uring', 'uring, O_DIRECT', 'uring, no fallocate', 'node']) {
  test(`a file disk (${backend}) holds what was written, whatever the order, place and memory`, async (t) => {
    if (backend !== 'node') {
      const probe = await withRing(t);
      if (probe === null) return;
      await probe.close();
    }
    let direct = false;
    await fc.assert(
      fc.asyncProperty(modelBatches(1024, 400), async (batches) => {
        const cluster = await startCluster({ reactors: 2, ring: backend !== 'node' });
        const bytes = 4 * 1024 * 1024;
        const filename = newFile(bytes);
        const bdev = await cluster.until(
          cluster.bdevs.create('aio', {
            name: 'F',
            filename,
            block_size: 4096,
            direct: backend === 'uring, O_DIRECT',
            fallocate: backend !== 'uring, no fallocate',
          }),
        );
        direct = (bdev.spec.data as FileData).direct;
        const model = new Uint8Array(bytes);
        await runModel(cluster, bdev, model, batches);
        await cluster.close();
        assert.equal(Buffer.compare(readFileSync(filename), model), 0, 'the file itself');
        assert.equal(statSync(filename).size, bytes, 'the file keeps its size');
        rmSync(filename);
      }),
      { numRuns: 12, examples: [[[twoCores]]] },
    );
    if (backend === 'uring, O_DIRECT' && !direct) t.diagnostic(`O_DIRECT is not possible in ${dir}`);
  });
}

test('holes of the file are holes of the disk, and unmap makes them', async (t) => {
  const cluster = await withRing(t, 1);
  if (cluster === null) return;
  const filename = newFile(1024 * 1024);
  await cluster.until(cluster.bdevs.create('uring', { name: 'F', filename }));
  const desc = BdevDesc.open('F', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = makeSegment(1, new SharedArrayBuffer(65536));
  buf.u8.fill(1);
  let done = 0;
  const onDone = (_: unknown, rc: number) => {
    assert.equal(rc, 0);
    done++;
  };
  channel.write(buf, 0, 131072, 65536, onDone, null);
  await cluster.untilTrue(() => done === 1);
  const extents = new Extents(8);
  channel.blockStatus(0, 1024 * 1024, extents);
  const hole = EXTENT_HOLE | EXTENT_ZERO;
  assert.deepEqual([...extents.bytes.subarray(0, extents.count)], [131072, 65536, 1024 * 1024 - 196608]);
  assert.deepEqual([...extents.flags.subarray(0, extents.count)], [hole, 0, hole]);
  extents.reset();
  channel.blockStatus(131072 + 4096, 4096, extents);
  channel.blockStatus(4096, 4096, extents);
  assert.deepEqual([extents.count, extents.bytes[0], extents.bytes[1]], [2, 4096, 4096], 'no more than was asked');
  channel.unmap(131072, 65536, onDone, null);
  await cluster.untilTrue(() => done === 2);
  extents.reset();
  channel.blockStatus(4096, 1024 * 1024 - 4096, extents);
  assert.deepEqual([...extents.bytes.subarray(0, extents.count)], [1024 * 1024 - 4096]);
  channel.writeZeroes(131072, 65536, 2, onDone, null);
  await cluster.untilTrue(() => done === 3);
  assert.ok(statSync(filename).blocks * 512 >= 65536, 'no-hole zeroes keep their space');
  desc.close();
  await cluster.close();
});

test('O_DIRECT uses registered memory where it may, plain memory where not, and says which', async (t) => {
  const cluster = await withRing(t, 1);
  if (cluster === null) return;
  const filename = newFile(1024 * 1024);
  const bdev = await cluster.until(
    cluster.bdevs.create('aio', { name: 'F', filename, direct: true, block_size: 4096 }),
  );
  const [reactor] = cluster.reactors;
  const info = () => (describeBdev(bdev).driver_specific as Record<string, Record<string, unknown>>).aio;
  if (!(bdev.spec.data as FileData).direct) t.skip(`O_DIRECT is not possible in ${dir}`);
  else {
    assert.equal(reactor.ring?.fixed.addSegment(cluster.memory(4096)), true);
    assert.deepEqual([info().direct, info().io_memory], [true, 'not used yet']);
    const desc = BdevDesc.open('F', { write: true, reactor, onEvent: () => {} });
    const channel = desc.getIoChannel();
    const own = cluster.memory(65536);
    const plain = makeSegment(0, new SharedArrayBuffer(65536));
    for (const [memory, text] of [
      [own, 'registered'],
      [plain, 'partly registered'],
    ] as const) {
      const at = alignedOffset(memory, 4096);
      memory.u8.fill(text.length, at, at + 8192);
      const statuses: number[] = [];
      const cb = (_: unknown, status: number): void => void statuses.push(status);
      channel.write(memory, at, 4096, 8192, cb, null);
      await cluster.untilTrue(() => statuses.length === 1);
      memory.u8.fill(0);
      channel.read(memory, at, 4096, 8192, cb, null);
      await cluster.untilTrue(() => statuses.length === 2);
      assert.deepEqual(statuses, [0, 0]);
      assert.ok(memory.u8.subarray(at, at + 8192).every((byte) => byte === text.length));
      assert.equal(info().io_memory, text);
    }
    assert.deepEqual([own.fixed > 0, plain.fixed], [true, -1]);
    desc.close();
  }
  await cluster.close();
});

for (const direct of [true, false]) {
  test(`what is queued for a device goes to it in small batches, what the page cache serves once a turn (direct: ${direct})`, async (t) => {
    const cluster = await withRing(t, 1);
    if (cluster === null) return;
    const [reactor] = cluster.reactors;
    const ring = reactor.ring as NonNullable<typeof reactor.ring>;
    reactor.naps = true;
    const filename = newFile(1024 * 1024);
    const bdev = await cluster.until(cluster.bdevs.create('aio', { name: 'F', filename, direct, block_size: 4096 }));
    if ((bdev.spec.data as FileData).direct === direct) {
      const desc = BdevDesc.open('F', { write: true, reactor, onEvent: () => {} });
      const channel = desc.getIoChannel();
      const buf = cluster.memory(131072);
      const at = alignedOffset(buf, 4096);
      let done = 0;
      const cb = (_: unknown, status: number): void => {
        assert.equal(status, 0);
        done++;
      };
      const queued: number[] = [];
      const batch = limits.bdev_direct_batch;
      const ios = 4 * batch;
      assert.equal(reactor.awaited, 0);
      for (let i = 0; i < ios; i++) {
        const iovs = new IoVecs(2);
        iovs.push(buf, at, 4096);
        iovs.push(buf, at + 8192, 4096);
        const rc = i % 2 === 0 ? channel.writev(iovs, 0, cb, null) : channel.read(buf, at, 0, 4096, cb, null);
        assert.equal(rc, 0);
        queued.push(ring.queued);
      }
      const wanted = queued.map((_, i) => (direct ? (i + 1) % batch : i + 1));
      assert.deepEqual(queued, wanted);
      assert.equal(reactor.awaited, direct ? 1 : 0, 'a device is napped for');
      await cluster.untilTrue(() => done === ios);
      assert.equal(reactor.awaited, 0);
      desc.close();
    } else t.skip(`O_DIRECT is not possible in ${dir}`);
    await cluster.close();
  });
}

test('block status is in whole blocks of the disk, where a file that has been cut ends and where its holes are smaller', async (t) => {
  if (ffi === null) return t.skip('needs FFI');
  const BLOCK = 65536;
  const hole = EXTENT_HOLE | EXTENT_ZERO;
  const cluster = await startCluster();
  const small = newFile(16 * BLOCK);
  await cluster.until(cluster.bdevs.create('aio', { name: 'S', filename: small }));
  const large = newFile(16 * BLOCK);
  // In the middle of a block, at the beginning of one, and at an end.
  const fd = openSync(large, 'r+');
  for (const at of [2.5 * BLOCK, 5 * BLOCK, 8 * BLOCK - 4096]) writeSync(fd, new Uint8Array(4096).fill(1), 0, 4096, at);
  closeSync(fd);
  await cluster.until(cluster.bdevs.create('aio', { name: 'L', filename: large, block_size: BLOCK }));
  const lines = (name: string) => {
    const desc = BdevDesc.open(name, { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
    const extents = new Extents(16);
    assert.equal(desc.getIoChannel().blockStatus(0, 16 * BLOCK, extents), 0);
    desc.close();
    return [...extents.bytes.subarray(0, extents.count)].map((bytes, i) => [bytes, extents.flags[i]]);
  };
  truncateSync(small, 1000);
  assert.deepEqual(lines('S'), [
    [512, hole],
    [16 * BLOCK - 512, 0],
  ]);
  truncateSync(small, 100);
  assert.deepEqual(lines('S'), [[16 * BLOCK, 0]]);
  const blocks = (list: number[][]) => list.map(([bytes, flags]) => [bytes / BLOCK, flags]);
  const wanted = [
    [2, hole],
    [1, 0],
    [2, hole],
    [1, 0],
    [1, hole],
    [1, 0],
  ];
  assert.deepEqual(blocks(lines('L')), [...wanted, [8, hole]]);
  truncateSync(large, 9.5 * BLOCK);
  assert.deepEqual(blocks(lines('L')), [...wanted, [1, hole], [7, 0]]);
  await cluster.close();
});

test('block status of a file in many pieces is told in parts', async (t) => {
  if (ffi === null) return t.skip('needs FFI');
  const BLOCK = 8192;
  const blocks = 3000;
  const cluster = await startCluster();
  const filename = newFile(blocks * BLOCK);
  const fd = openSync(filename, 'r+');
  for (let block = 0; block < blocks; block++) writeSync(fd, new Uint8Array(4096).fill(1), 0, 4096, block * BLOCK);
  closeSync(fd);
  await cluster.until(cluster.bdevs.create('aio', { name: 'P', filename, block_size: BLOCK }));
  const desc = BdevDesc.open('P', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  let asked = 0;
  for (let at = 0; at < blocks * BLOCK; asked++) {
    const extents = new Extents(16);
    assert.equal(channel.blockStatus(at, blocks * BLOCK - at, extents), 0);
    assert.deepEqual([extents.count, extents.flags[0], extents.bytes[0] % BLOCK], [1, 0, 0]);
    at += extents.bytes[0];
  }
  assert.ok(asked > 1 && asked < 10, `asked ${asked} times`);
  desc.close();
  await cluster.close();
});

for (const ring of [true, false]) {
  test(`a file that is cut short gives EIO, not stale memory (${ring ? 'uring' : 'node'})`, async (t) => {
    const cluster = await startCluster({ ring });
    if (ring && cluster.reactors[0].ring === null) t.skip(cluster.reactors[0].ringReason);
    const filename = newFile(65536);
    await cluster.until(cluster.bdevs.create('aio', { name: 'F', filename }));
    const desc = BdevDesc.open('F', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
    truncateSync(filename, 4096);
    let status = 1;
    const buf = makeSegment(1, new SharedArrayBuffer(65536));
    desc.getIoChannel().read(
      buf,
      0,
      0,
      65536,
      (_, rc) => {
        status = rc;
      },
      null,
    );
    await cluster.untilTrue(() => status !== 1);
    assert.equal(status, -5);
    if (ffi !== null) {
      const extents = new Extents(8);
      assert.equal(desc.getIoChannel().blockStatus(0, 65536, extents), 0);
      const lines = [...extents.bytes.subarray(0, extents.count)].map((bytes, i) => [bytes, extents.flags[i]]);
      // Of what cannot be read nobody is to think that it is zeroes.
      assert.deepEqual(lines, [
        [4096, EXTENT_HOLE | EXTENT_ZERO],
        [61440, 0],
      ]);
    }
    await assert.rejects(cluster.until(rescanFile(cluster.reactors[0], 'aio', 'F')), { code: 'EBUSY' });
    desc.close();
    await cluster.until(rescanFile(cluster.reactors[0], 'aio', 'F'));
    assert.equal(cluster.bdevs.get('F').blocks, 8);
    await cluster.close();
  });
}

for (const ring of [true, false]) {
  test(`zeroes that are to have storage make a file longer that was cut short, as a write does (${ring ? 'uring' : 'node'})`, async (t) => {
    const cluster = ring ? await withRing(t, 1) : await startCluster();
    if (cluster === null) return;
    const filename = newFile(65536);
    await cluster.until(cluster.bdevs.create('aio', { name: 'F', filename }));
    truncateSync(filename, 4096);
    const desc = open(cluster, 'F');
    const channel = channelOf(cluster, desc);
    assert.equal(await runIo(cluster, (cb) => channel.writeZeroes(16384, 8192, IO_FLAG_NO_HOLE, cb, null)), 0);
    assert.equal(statSync(filename).size, 24576);
    const buf = cluster.memory(24576);
    buf.u8.fill(1);
    assert.equal(await runIo(cluster, (cb) => channel.read(buf, 0, 0, 24576, cb, null)), 0);
    assert.ok(buf.u8.every((byte) => byte === 0));
    desc.close();
    await cluster.close();
  });
}

test('rescan finds that the file has grown and tells who has it open', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const filename = newFile(65536);
  await cluster.until(cluster.bdevs.create('aio', { name: 'F', filename }));
  const events: string[] = [];
  const desc = BdevDesc.open('F', {
    write: true,
    reactor: cluster.reactors[1],
    onEvent: (event, bdev) => events.push(`${event} ${bdev.sizeBytes}`),
  });
  const channel = desc.getIoChannel();
  const buf = makeSegment(1, new SharedArrayBuffer(512));
  let status = 1;
  const done = (_: unknown, rc: number) => {
    status = rc;
  };
  assert.equal(channel.write(buf, 0, 65536, 512, done, null), -22);
  truncateSync(filename, 131072 + 100);
  await cluster.until(rescanFile(cluster.reactors[0], 'aio', 'F'));
  assert.deepEqual(events, ['resize 131072']);
  assert.equal(channel.write(buf, 0, 131072 - 512, 512, done, null), 0);
  await cluster.untilTrue(() => status !== 1);
  assert.equal(status, 0);
  await assert.rejects(cluster.until(rescanFile(cluster.reactors[0], 'uring', 'F')), { code: 'ENODEV' });
  desc.close();
  await cluster.close();
});

test('O_DIRECT that nobody asked for makes blocks no larger than they would be', () => {
  const file = { deviceBlockBytes: 0, alignBytes: 4096 };
  assert.deepEqual(
    [0, 512, 4096].map((blockSize) => directFits(blockSize, file)),
    [false, false, true],
  );
  assert.equal(directFits(0, { ...file, alignBytes: 512 }), true);
  assert.equal(directFits(0, { ...file, deviceBlockBytes: 4096 }), true);
});

test('the methods open with O_DIRECT, as SPDK, and without where that is not possible; what is saved says which', async (t) => {
  const cluster = await withRing(t, 2);
  if (cluster === null) return;
  const rpc = new RpcRegistry();
  registerFileRpc(rpc, { registry: () => cluster.bdevs });
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params: object) => cluster.until((async () => rpc.call(method, params))());
  const saved = () => cluster.bdevs.configCalls().find(({ method }) => method === 'bdev_uring_create')?.params;
  const filename = newFile(1024 * 1024);
  const make = async (more: object): Promise<FileData> => {
    await call('bdev_uring_create', { name: 'F', filename, ...more });
    return cluster.bdevs.get('F').spec.data as FileData;
  };
  const { direct } = await make({});
  assert.equal(cluster.bdevs.get('F').blockSizeBytes, 512, 'blocks are those of any file, O_DIRECT or not');
  assert.equal(saved()?.direct, direct);
  if (!direct) t.diagnostic(`O_DIRECT is not possible in ${dir}`);
  await call('bdev_uring_delete', { name: 'F' });
  assert.equal((await make({ direct: false })).direct, false);
  assert.equal(saved()?.direct, false);
  await call('bdev_uring_delete', { name: 'F' });
  await assert.rejects(make({ block_size: 256 }), { code: 'EINVAL' });
  // A core without a ring uses it too.
  const { ring } = cluster.reactors[1];
  cluster.reactors[1].ring = null;
  await make({ block_size: 4096 });
  const desc = BdevDesc.open('F', { write: true, reactor: cluster.reactors[1], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(65536);
  const statuses: number[] = [];
  const cb = (_: unknown, status: number): void => void statuses.push(status);
  buf.u8.fill(5);
  channel.write(buf, 1, 0, 16384, cb, null);
  await cluster.untilTrue(() => statuses.length === 1);
  channel.writeZeroes(4096, 4096, 0, cb, null);
  await cluster.untilTrue(() => statuses.length === 2);
  channel.read(buf, 7, 0, 16384, cb, null);
  await cluster.untilTrue(() => statuses.length === 3);
  assert.deepEqual(statuses, [0, 0, 0]);
  assert.deepEqual([buf.u8[7], buf.u8[7 + 4096], buf.u8[7 + 8192]], [5, 0, 5]);
  desc.close();
  await cluster.until(cluster.bdevs.delete('F'));
  cluster.reactors[1].ring = ring;
  await cluster.close();
});

test('what cannot be a disk is refused with its name and reason, and no descriptor stays open', async () => {
  const cluster = await startCluster();
  const make = (params: object) =>
    cluster.until(cluster.bdevs.create('aio', { name: 'F', ...params } as FileBdevParams));
  await assert.rejects(make({ filename: join(dir, 'missing') }), { code: 'ENOENT', message: /missing/ });
  const fifo = join(dir, 'fifo');
  execFileSync('mkfifo', [fifo]);
  for (const filename of [dir, '/dev/null', fifo]) {
    await assert.rejects(make({ filename, readonly: true }), { code: 'EINVAL', message: /neither a file/ });
  }
  const filename = newFile(4096);
  const fd = await make({ filename }).then((bdev) => (bdev.spec.data as FileData).fd);
  await cluster.until(cluster.bdevs.delete('F', 'aio'));
  await assert.rejects(make({ filename, block_size: 256 }), { code: 'EINVAL', message: /256/ });
  await assert.rejects(make({ filename, block_size: 1536 }), { code: 'EINVAL', message: /power of two/ });
  await assert.rejects(make({ filename, block_size: 8192 }), { code: 'EINVAL', message: /less than a block/ });
  assert.equal(
    (await make({ filename }).then((bdev) => bdev.spec.data as FileData)).fd,
    fd,
    'the descriptor is free again',
  );
  await cluster.close();
});

test('a read-only file disk refuses writers', async () => {
  const cluster = await startCluster();
  await cluster.until(cluster.bdevs.create('aio', { name: 'F', filename: newFile(4096), readonly: true }));
  const open = (write: boolean) => BdevDesc.open('F', { write, reactor: cluster.reactors[0], onEvent: () => {} });
  assert.throws(() => open(true), { code: 'EROFS' });
  const desc = open(false);
  const buf = makeSegment(1, new SharedArrayBuffer(512));
  assert.equal(
    desc.getIoChannel().write(buf, 0, 0, 512, () => {}, null),
    -95,
  );
  desc.close();
  assert.equal(cluster.bdevs.get('F').writable, false);
  await cluster.close();
});
