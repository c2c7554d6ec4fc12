/**
 * Disks with metadata: what the layer generates, checks and strips, on memory disks of every format, against protection information computed bit by bit. Checklist: SPDK's bdev_ut
 * bdev_io_init_dif_ctx_test, bdev_io_dif_error_status_test, open_ext_v2_test; titles carry their names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import { type LogRecord, log } from '../log/index.ts';
import '../module/bdev/logwrites/logwrites-bdev.ts';
import { mallocModule } from '../module/bdev/malloc/malloc-bdev.ts';
import '../module/bdev/passthru/passthru-bdev.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { referenceGenerate, referenceVerify } from './dif/dif-reference.sim.ts';
import { DIF_FLAGS_GUARD_CHECK, DIF_FLAGS_REFTAG_CHECK } from './dif/index.ts';
import { faultRegistry } from './faults/registry.ts';
import { IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import { type MetadataFormat, metadataFormat } from './metadata.ts';
import { describeBdev } from './rpc.ts';
import { stubChannel } from './stub-module.sim.ts';
import { channelOf, make, open, runIo, setUp } from './stub-setup.sim.ts';

const BLOCKS = 64;

interface Format {
  readonly block_size: number;
  readonly md_size: number;
  readonly md_interleave: boolean;
  readonly dif_type: number;
  readonly dif_is_head_of_md: boolean;
}

const formats: fc.Arbitrary<Format> = fc.record({
  block_size: fc.constantFrom(512, 4096),
  md_size: fc.constantFrom(8, 16, 64),
  md_interleave: fc.boolean(),
  dif_type: fc.constantFrom(0, 1, 2, 3),
  dif_is_head_of_md: fc.boolean(),
});
const protectedFormat: Format = {
  block_size: 512,
  md_size: 8,
  md_interleave: true,
  dif_type: 1,
  dif_is_head_of_md: false,
};

/** What the reference is told of a format, for an I/O whose first block is `lba`. */
function reference(format: Format, lba: number) {
  return {
    blockSizeBytes: format.block_size + (format.md_interleave ? format.md_size : 0),
    mdSizeBytes: format.md_size,
    mdInterleave: format.md_interleave,
    difIsHeadOfMd: format.dif_is_head_of_md,
    difType: format.dif_type,
    difFlags: DIF_FLAGS_GUARD_CHECK | (format.dif_type === 3 ? 0 : DIF_FLAGS_REFTAG_CHECK),
    initRefTag: lba,
  };
}

async function disk(cluster: Cluster, format: Format, name = 'M') {
  const bdev = await cluster.until(cluster.bdevs.create('malloc', { name, num_blocks: BLOCKS, ...format }));
  const openIt = (hideMetadata: boolean) => {
    const desc = cluster.on(0, () => BdevDesc.open(name, { write: true, hideMetadata, onEvent: () => {} }));
    return { desc, channel: channelOf(cluster, desc) };
  };
  return { bdev, raw: openIt(false), bare: openIt(true) };
}

/** `bytes` of `segment` at `at`, in two or three pieces that no block ends at. */
function vec(segment: Segment, at: number, bytes: number): IoVecs {
  const iovs = new IoVecs(3);
  const cuts = bytes > 700 ? [3, 300] : [Math.min(5, bytes - 1)];
  let done = 0;
  for (const piece of [...cuts, bytes - cuts.reduce((a, b) => a + b)]) {
    iovs.push(segment, at + done, piece);
    done += piece;
  }
  return iovs;
}

test('hidden metadata: what is written is read, the disk holds right protection information, trimmed and new blocks are not checked', async () => {
  const op = fc.record({
    kind: fc.constantFrom('write', 'write', 'read', 'zero', 'unmap'),
    lba: fc.nat(BLOCKS - 1),
    blocks: fc.integer({ min: 1, max: BLOCKS }),
    value: fc.integer({ min: 1, max: 255 }),
  });
  await fc.assert(
    fc.asyncProperty(formats, fc.array(op, { minLength: 1, maxLength: 8 }), async (format, ops) => {
      const cluster = await startCluster();
      const { bdev, raw, bare } = await disk(cluster, format);
      const { block_size, md_size, md_interleave } = format;
      assert.deepEqual([bare.desc.blockSizeBytes, bare.desc.sizeBytes], [block_size, BLOCKS * block_size]);
      const model = new Uint8Array(BLOCKS * block_size);
      const written = new Set<number>();
      const buf = cluster.memory(BLOCKS * (block_size + md_size) + 64);
      for (const { kind, lba, blocks, value } of ops) {
        const count = Math.min(blocks, BLOCKS - lba);
        const [at, bytes] = [lba * block_size, count * block_size];
        const range = model.subarray(at, at + bytes);
        if (kind === 'read') {
          assert.equal(await runIo(cluster, (cb) => bare.channel.readv(vec(buf, 1, bytes), at, cb, null)), 0);
          assert.deepEqual(buf.u8.slice(1, 1 + bytes), range.slice());
          continue;
        }
        if (kind === 'write') {
          for (let i = 0; i < bytes; i++) range[i] = value + i * 7;
          buf.u8.set(range, 1);
          assert.equal(await runIo(cluster, (cb) => bare.channel.writev(vec(buf, 1, bytes), at, cb, null)), 0);
        } else {
          range.fill(0);
          const rc = await runIo(cluster, (cb) =>
            kind === 'zero'
              ? bare.channel.writeZeroes(at, bytes, 0, cb, null)
              : bare.channel.unmap(at, bytes, cb, null),
          );
          assert.equal(rc, 0);
        }
        for (let block = lba; block < lba + count; block++)
          kind === 'write' ? written.add(block) : written.delete(block);
      }
      // What lies there, as one sees it who has the metadata.
      const whole = bdev.blockSizeBytes;
      for (let block = 0; block < BLOCKS; block++) {
        const [iovs, md] = [vec(buf, 0, whole), vec(buf, whole + 8, md_size)];
        const status = await runIo(cluster, (cb) =>
          md_interleave
            ? raw.channel.readv(iovs, block * whole, cb, null)
            : raw.channel.readvWithMd(iovs, md, block * whole, cb, null),
        );
        assert.equal(status, 0);
        const data = buf.u8.slice(0, whole);
        const mdAt = md_interleave ? block_size : whole + 8;
        const metadata = md_interleave ? data : buf.u8.slice(mdAt, mdAt + md_size);
        assert.deepEqual(data.slice(0, block_size), model.slice(block * block_size, (block + 1) * block_size));
        const own = buf.u8.slice(mdAt, mdAt + md_size);
        if (!written.has(block))
          assert.ok(
            own.every((byte) => byte === 255),
            `block ${block} is not to be checked`,
          );
        else if (format.dif_type === 0) assert.ok(own.every((byte) => byte === 0));
        else assert.equal(referenceVerify(reference(format, block), data, metadata, 1), null);
      }
      for (const { desc } of [raw, bare]) desc.close();
      await cluster.close();
    }),
    { numRuns: 40 },
  );
});

test('bdev_io_init_dif_ctx_test, bdev_io_dif_error_status_test: what a user writes with metadata is checked; what is wrong is not written', async () => {
  await fc.assert(
    fc.asyncProperty(
      formats.filter(({ dif_type }) => dif_type !== 0),
      fc.nat(BLOCKS - 5),
      fc.nat(3),
      async (format, lba, wrong) => {
        const cluster = await startCluster();
        const { bdev, raw, bare } = await disk(cluster, format);
        const [whole, count] = [bdev.blockSizeBytes, 4];
        const buf = cluster.memory(65536);
        const data = Uint8Array.from({ length: count * whole }, (_, i) => i * 3);
        const separate = new Uint8Array(count * format.md_size);
        const md = format.md_interleave ? data : separate;
        referenceGenerate(reference(format, lba), data, md, count);
        const put = () => {
          buf.u8.set(data, 1);
          buf.u8.set(separate, 1 + data.length);
          const iovs = vec(buf, 1, data.length);
          const at = lba * whole;
          const mdIovs = vec(buf, 1 + data.length, separate.length);
          return runIo(cluster, (cb) =>
            format.md_interleave
              ? raw.channel.writev(iovs, at, cb, null)
              : raw.channel.writevWithMd(iovs, mdIovs, at, cb, null),
          );
        };
        assert.equal(await put(), 0);
        const dataBytes = format.block_size;
        const read = async () => {
          const bytes = count * dataBytes;
          assert.equal(
            await runIo(cluster, (cb) => bare.channel.readv(vec(buf, 0, bytes), lba * dataBytes, cb, null)),
            0,
          );
          return buf.u8.slice(0, bytes);
        };
        const before = await read();
        // One bit of the data, of any block; it is refused, and the disk is as it was.
        data[wrong * whole + 5] ^= 4;
        assert.equal(await put(), -5);
        assert.deepEqual(await read(), before);
        data[wrong * whole + 5] ^= 4;
        // The right data at the wrong place: only a reference tag tells.
        referenceGenerate(reference(format, lba + 1), data, md, count);
        assert.equal(await put(), format.dif_type === 3 ? 0 : -5);
        for (const { desc } of [raw, bare]) desc.close();
        await cluster.close();
      },
    ),
    { numRuns: 40 },
  );
});

test('what went wrong below a disk that passes metadata on is found when it is read, whoever reads', async () => {
  for (const md_interleave of [true, false]) {
    const cluster = await startCluster();
    const { raw, bare } = await disk(cluster, { ...protectedFormat, md_interleave });
    for (const { desc } of [raw, bare]) desc.close();
    await cluster.until(cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'M' }));
    const upper = cluster.on(0, () => BdevDesc.open('P', { write: true, hideMetadata: true, onEvent: () => {} }));
    const channel = channelOf(cluster, upper);
    const buf = cluster.memory(65536);
    buf.u8.fill(7, 0, 4096);
    assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 0, 4096, cb, null)), 0);
    assert.equal(await runIo(cluster, (cb) => channel.read(buf, 8192, 0, 4096, cb, null)), 0);
    assert.deepEqual(buf.u8.slice(8192, 8192 + 4096), buf.u8.slice(0, 4096));
    if (!md_interleave) {
      const below = cluster.on(0, () => BdevDesc.open('M', { write: false, onEvent: () => {} }));
      const [iovs, md] = [vec(buf, 16384, 512), vec(buf, 20000, 8)];
      const belowChannel = channelOf(cluster, below);
      assert.equal(await runIo(cluster, (cb) => belowChannel.readvWithMd(iovs, md, 1024, cb, null)), 0);
      assert.deepEqual([...buf.u8.subarray(20004, 20008)], [0, 0, 0, 2], 'the reference tag has come down');
      below.close();
    }
    await cluster.until(faultRegistry(cluster.reactors[0]).add('M', 'op=read,action=corrupt,corrupt_offset=1100'));
    assert.equal(await runIo(cluster, (cb) => channel.read(buf, 8192, 0, 4096, cb, null)), -5);
    upper.close();
    await cluster.close();
  }
});

test('an I/O larger than a buffer, in many pieces of memory, goes piece after piece', async () => {
  for (const md_interleave of [true, false]) {
    const cluster = await startCluster();
    const format = { ...protectedFormat, md_interleave, num_blocks: 1000 };
    await cluster.until(cluster.bdevs.create('malloc', { name: 'M', ...format }));
    const desc = cluster.on(0, () => BdevDesc.open('M', { write: true, hideMetadata: true, onEvent: () => {} }));
    const channel = channelOf(cluster, desc);
    const bytes = 900 * 512;
    const buf = cluster.memory(2 * bytes);
    for (let i = 0; i < bytes; i++) buf.u8[i] = i * 7 + (i >> 9);
    const pieces = new IoVecs(Math.ceil(bytes / 4096));
    for (let at = 0; at < bytes; at += 4096) pieces.push(buf, at, Math.min(4096, bytes - at));
    assert.equal(await runIo(cluster, (cb) => channel.writev(pieces, 50 * 512, cb, null)), 0);
    // One list of few pieces: as much as the buffer holds at once.
    assert.equal(await runIo(cluster, (cb) => channel.readv(vec(buf, bytes, bytes), 50 * 512, cb, null)), 0);
    assert.deepEqual(buf.u8.slice(bytes), buf.u8.slice(0, bytes));
    // Crumbs of memory, none of which holds a block.
    const crumbs = new IoVecs(64);
    for (let i = 0; i < 64; i++) crumbs.push(buf, i * 9, 8);
    const expected = Array.from({ length: 512 }, (_, i) => buf.u8[(i >> 3) * 9 + (i & 7)]);
    assert.equal(await runIo(cluster, (cb) => channel.writev(crumbs, 0, cb, null)), 0);
    assert.equal(await runIo(cluster, (cb) => channel.read(buf, bytes, 0, 512, cb, null)), 0);
    assert.deepEqual([...buf.u8.slice(bytes, bytes + 512)], expected);
    desc.close();
    await cluster.close();
  }
});

test('bdev_io_dif_error_status_test: which check failed is in the log, with block, value and what was expected; so many lines a second', async () => {
  const records: LogRecord[] = [];
  log.open((record) => records.push(record));
  try {
    const cluster = await startCluster();
    const { raw, bare } = await disk(cluster, protectedFormat);
    const buf = cluster.memory(4 * 520);
    const data = Uint8Array.from({ length: 3 * 520 }, (_, i) => i * 3);
    referenceGenerate(reference(protectedFormat, 5), data, data, 3);
    const tuple = new DataView(data.buffer, 520 + 512, 8);
    const write = () => {
      buf.u8.set(data);
      return runIo(cluster, (cb) => raw.channel.write(buf, 0, 5 * 520, 3 * 520, cb, null));
    };
    assert.equal(await write(), 0);
    const guard = tuple.getUint16(0);
    tuple.setUint16(0, guard ^ 1);
    assert.equal(await write(), -5);
    tuple.setUint16(0, guard);
    tuple.setUint16(2, 77);
    assert.equal(await write(), 0, 'the application tag is the user’s own');
    tuple.setUint32(4, 1000);
    assert.equal(await write(), -5);
    tuple.setUint32(4, 6);
    const texts = () => records.splice(0).map(({ level, text }) => `${level} ${text}`);
    assert.deepEqual(texts(), [
      `ERROR bdev "M": block 6 has guard ${guard ^ 1}, expected ${guard}`,
      'ERROR bdev "M": block 6 has reference tag 1000, expected 6',
    ]);
    // What the disk holds, found by one who reads its data alone.
    for (const { desc } of [raw, bare]) desc.close();
    await cluster.until(cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'M' }));
    await cluster.until(faultRegistry(cluster.reactors[0]).add('M', 'op=read,action=corrupt,corrupt_offset=516'));
    records.length = 0;
    const upper = cluster.on(0, () => BdevDesc.open('P', { write: true, hideMetadata: true, onEvent: () => {} }));
    const channel = channelOf(cluster, upper);
    const read = () => runIo(cluster, (cb) => channel.read(buf, 0, 5 * 512, 512, cb, null));
    for (let i = 0; i < 20; i++) assert.equal(await read(), -5);
    const lines = texts().filter((each) => each.startsWith('ERROR'));
    assert.equal(lines.length, 10);
    assert.equal(lines[0], 'ERROR bdev "P": block 5 has reference tag 4278190085, expected 5');
    cluster.clock.nowUs += 1_000_000;
    assert.equal(await read(), -5);
    assert.match(texts().at(-1) ?? '', / \(10 more like this were not logged\)$/);
    upper.close();
    await cluster.close();
  } finally {
    log.close();
  }
});

test('bdev_compare, bdev_compare_emulated: with interleaved metadata its bytes are compared too; metadata of its own is not', async () => {
  for (const md_interleave of [true, false]) {
    for (const dif_type of [0, 1]) {
      const cluster = await startCluster();
      const format = { ...protectedFormat, md_interleave, dif_type };
      const { bdev, raw, bare } = await disk(cluster, format);
      const [whole, count] = [bdev.blockSizeBytes, 3];
      const bytes = count * whole;
      const buf = cluster.memory(4 * bytes);
      for (let i = 0; i < count * 512; i++) buf.u8[i] = i * 5;
      // As it lies on the disk, with what the layer has put in.
      assert.equal(await runIo(cluster, (cb) => bare.channel.write(buf, 0, 512, count * 512, cb, null)), 0);
      assert.equal(await runIo(cluster, (cb) => raw.channel.read(buf, 0, whole, bytes, cb, null)), 0);
      const compare = () => runIo(cluster, (cb) => raw.channel.comparev(vec(buf, 0, bytes), whole, cb, null));
      const compareAndWrite = (at: number) =>
        runIo(cluster, (cb) => raw.channel.comparevAndWritev(vec(buf, 0, bytes), vec(buf, at, bytes), whole, cb, null));
      assert.equal(await compare(), 0);
      for (const at of [0, 511, whole - 1, bytes - 1]) {
        buf.u8[at] ^= 1;
        assert.equal(await compare(), -84, `byte ${at}`);
        assert.equal(await compareAndWrite(0), -84, `byte ${at}`);
        buf.u8[at] ^= 1;
      }
      // Other data: by a user with the metadata in its place, who has to make it right himself.
      const next = buf.u8.slice(0, bytes).map((byte, i) => (i % whole < 512 ? byte ^ 0xff : byte));
      if (dif_type !== 0 && md_interleave) referenceGenerate(reference(format, 1), next, next, count);
      buf.u8.set(next, 2 * bytes);
      assert.equal(await compareAndWrite(2 * bytes), 0);
      assert.equal(await compare(), -84);
      buf.u8.copyWithin(0, 2 * bytes, 3 * bytes);
      assert.equal(await compare(), 0);
      for (const { desc } of [raw, bare]) desc.close();
      await cluster.close();
    }
  }
});

test('bdev_io_ext, bdev_io_ext_no_opts, bdev_io_ext_invalid_opts, bdev_io_ext_split: memory of its own for metadata is passed on, split with the data, and must be of its length', async () => {
  const cluster = await startCluster();
  const metadata: MetadataFormat = { bytes: 8, interleaved: false, difType: 0, difIsHeadOfMd: false, difFlags: 0 };
  await make(cluster, { name: 'S', metadata, limits: { maxRwBlocks: 2 } });
  const desc = open(cluster, 'S');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(65536);
  const done: number[] = [];
  const cb = (_: unknown, status: number): void => void done.push(status);
  const iovs = vec(buf, 0, 5 * 512);
  assert.equal(channel.writevWithMd(iovs, vec(buf, 9000, 39), 0, cb, null), -22);
  assert.equal(channel.writevWithMd(iovs, vec(buf, 9000, 40), 0, cb, null), 0);
  const stub = stubChannel('S');
  const seen = stub.outstanding.map(({ byteOffset, mdIovs }) => {
    const md = mdIovs as IoVecs;
    const places = Array.from({ length: md.count }, (_, i) => [md.offset[i] - 9000, md.bytes[i]]);
    return [byteOffset / 512, places];
  });
  assert.deepEqual(seen, [
    [
      0,
      [
        [0, 5],
        [5, 11],
      ],
    ],
    [2, [[16, 16]]],
    [4, [[32, 8]]],
  ]);
  stub.complete(3);
  cluster.turns();
  assert.deepEqual(done, [0]);
  // Without splitting it is the caller's own list; without metadata there is none.
  const [data, md] = [vec(buf, 0, 1024), vec(buf, 9000, 16)];
  assert.equal(channel.readvWithMd(data, md, 0, cb, null), 0);
  assert.equal(channel.readv(data, 0, cb, null), 0);
  assert.deepEqual(
    stub.outstanding.map(({ iovs: own, mdIovs }) => [own === data, mdIovs === md, mdIovs === null]),
    [
      [true, true, false],
      [true, false, true],
    ],
  );
  stub.complete(2);
  cluster.turns();
  assert.deepEqual(done, [0, 0, 0]);
  desc.close();
  await cluster.close();
});

test('open_ext_v2_test: the same disk is seen with and without its metadata; what needs its meaning is not to be had without', async () => {
  const cluster = await startCluster();
  const { bdev, raw, bare } = await disk(cluster, protectedFormat);
  const buf = cluster.memory(65536);
  assert.deepEqual([raw.desc.blockSizeBytes, raw.desc.sizeBytes], [520, BLOCKS * 520]);
  assert.equal(
    bare.channel.read(buf, 0, 0, 520, () => {}, null),
    -22,
  );
  assert.equal(
    raw.channel.read(buf, 0, 0, 512, () => {}, null),
    -22,
  );
  assert.equal(
    bare.channel.read(buf, 0, BLOCKS * 512, 512, () => {}, null),
    -22,
    'the end is that of the data',
  );
  assert.equal(
    bare.channel.copy(0, 512, 512, () => {}, null),
    -95,
  );
  assert.equal(
    bare.channel.comparev(vec(buf, 0, 512), 0, () => {}, null),
    -95,
  );
  assert.equal(
    raw.channel.readvWithMd(vec(buf, 0, 520), vec(buf, 1000, 8), 0, () => {}, null),
    -22,
    'it is interleaved',
  );
  const told = describeBdev(bdev);
  assert.deepEqual(
    ['block_size', 'md_size', 'md_interleave', 'dif_type', 'dif_is_head_of_md', 'enabled_dif_check_types'].map(
      (key) => told[key],
    ),
    [520, 8, true, 1, false, { reftag: true, apptag: false, guard: true }],
  );
  assert.deepEqual(mallocModule.configCalls(bdev.spec, cluster.reactors[0])[0].params, {
    name: 'M',
    uuid: bdev.uuid,
    num_blocks: BLOCKS,
    physical_block_size: 0,
    optimal_io_boundary: 0,
    ...protectedFormat,
  });
  for (const { desc } of [raw, bare]) desc.close();
  await cluster.close();
});

test('a late I/O is told of with its place in the data that its user sees', async () => {
  const { cluster, desc, buf, cb, stub, tearDown } = await setUp({
    blockSizeBytes: 520,
    ioTypes: ioTypes(IO_READ, IO_WRITE),
    metadata: metadataFormat({ bytes: 8, interleaved: true, difType: 1, difIsHeadOfMd: false }),
  });
  const told: string[] = [];
  const bare = cluster.on(0, () => BdevDesc.open('S', { write: false, hideMetadata: true, onEvent: () => {} }));
  for (const each of [desc, bare]) {
    each.setTimeout(1000, ({ ctx, byteOffset, bytes }) => void told.push(`${ctx} ${byteOffset}+${bytes}`));
  }
  const [raw, data] = [channelOf(cluster, desc), channelOf(cluster, bare)];
  raw.read(buf, 0, 3 * 520, 2 * 520, cb, 'raw');
  data.read(buf, 8192, 3 * 512, 2 * 512, cb, 'data');
  cluster.turns();
  cluster.clock.nowUs += 1000;
  cluster.turns();
  assert.deepEqual(told.toSorted(), ['data 1536+1024', 'raw 1560+1040']);
  stub.complete(2, -5);
  cluster.turns();
  bare.close();
  await tearDown();
});

test('formats that cannot be are refused, and disks on top that do not carry metadata', async () => {
  const cluster = await startCluster();
  for (const [params, code, message] of [
    [{ md_size: 7, dif_type: 1 }, 'EINVAL', /"M": md_size 7, limit 0, 8, 16/],
    [{ dif_type: 4 }, 'EINVAL', /dif_type 4, limit 0 to 3/],
    [{ dif_type: -1 }, 'EINVAL', /dif_type -1/],
  ] as const) {
    const made = cluster.bdevs.create('malloc', { name: 'M', num_blocks: 8, ...protectedFormat, ...params });
    await assert.rejects(cluster.until(made), { code, message });
  }
  const { raw, bare } = await disk(cluster, protectedFormat);
  for (const { desc } of [raw, bare]) desc.close();
  await disk(cluster, { ...protectedFormat, md_size: 0, dif_type: 0 }, 'Log').then(({ raw, bare }) => {
    for (const { desc } of [raw, bare]) desc.close();
  });
  const above = cluster.bdevs.create('logwrites', { name: 'L', base_bdev_name: 'M', log_bdev_name: 'Log' });
  await assert.rejects(cluster.until(above), { code: 'ENOTSUP', message: /"M" has metadata/ });
  await cluster.close();
});
