/** Faults on demand: what each action does to an I/O. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IoVecs } from '../../env/iovecs.ts';
import { malloc } from '../../module/bdev/malloc/malloc-setup.sim.ts';
import { startCluster } from '../cluster.sim.ts';
import { BdevDesc } from '../desc.ts';
import { IO_READ, IO_WRITE, ioTypes } from '../io-type.ts';
import { metadataFormat } from '../metadata.ts';
import { faulty } from './fault-setup.sim.ts';
import { faultRegistry } from './registry.ts';
import type { FaultInput } from './rule.ts';

const BLOCK = 512;

test('error: at submission the disk never sees it, at completion it has done it', async () => {
  const { channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=read,action=error,errno=ETIMEDOUT,count=1');
  await add('op=write,action=error,stage=completion,count=1');
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'read'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'write'), 0);
  assert.deepEqual(done, [], 'never from inside the call');
  assert.deepEqual(
    stub.outstanding.map((io) => io.type),
    [IO_WRITE],
  );
  stub.complete(1);
  settle();
  assert.deepEqual(done.splice(0).sort(), ['read -110', 'write -5']);
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'read'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'write'), 0);
  stub.complete(2);
  settle();
  assert.deepEqual(done, ['read 0', 'write 0'], 'count is over');
  assert.deepEqual(
    faults.list().map(({ name, seen, struck }) => [name, seen, struck]),
    [
      ['S', 2, 1],
      ['S', 2, 1],
    ],
  );
  await tearDown();
});

test('nomem: it waits, as if the module had no memory, and is then carried out', async () => {
  const { cluster, channel, stub, buf, done, cb, add, tearDown } = await faulty();
  await add('action=nomem,count=1');
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'a'), 0);
  assert.equal(channel.shared.queued, 1);
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['a 0']);
  await tearDown();
});

test('nomem: what the disk does not take whole is split when its turn comes, and what it lacks is emulated', async () => {
  const limits = { maxRwBlocks: 2 };
  const { cluster, channel, stub, buf, done, cb, add, tearDown } = await faulty({
    limits,
    ioTypes: ioTypes(IO_READ, IO_WRITE),
  });
  await add('action=nomem,count=2');
  assert.equal(channel.read(buf, 0, 0, 4 * BLOCK, cb, 'split'), 0);
  assert.equal(channel.writeZeroes(0, 2 * BLOCK, 0, cb, 'emulated'), 0);
  assert.equal(channel.shared.queued, 2);
  const seen: string[] = [];
  while (done.length < 2) {
    await cluster.untilTrue(() => stub.outstanding.length > 0 || done.length === 2);
    seen.push(
      ...stub.outstanding.map(({ type, byteOffset, bytes }) => `${type} ${byteOffset / BLOCK}+${bytes / BLOCK}`),
    );
    stub.complete(stub.outstanding.length);
    cluster.turns();
  }
  assert.deepEqual(seen.sort(), [`${IO_READ} 0+2`, `${IO_READ} 2+2`, `${IO_WRITE} 0+2`]);
  assert.deepEqual(done.sort(), ['emulated 0', 'split 0']);
  await tearDown();
});

test('delay: before the disk has it or after, for so long as the distribution says', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  const { clock } = cluster;
  await add('op=read,action=delay,delay_us=500');
  await add('op=write,action=delay,delay_us=500,stage=completion');
  const from = clock.nowUs;
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'read'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'write'), 0);
  assert.deepEqual(
    stub.outstanding.map((io) => io.type),
    [IO_WRITE],
  );
  stub.complete(1);
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  assert.ok(clock.nowUs - from >= 500);
  assert.deepEqual(
    stub.outstanding.map((io) => io.type),
    [IO_READ],
  );
  stub.complete(1);
  settle();
  await cluster.untilTrue(() => done.length === 2);
  assert.ok(clock.nowUs - from >= 500);
  const [{ stat }] = await cluster.until(cluster.bdevs.stat(['S']));
  const { num_read_ops, num_write_ops, max_read_latency_ticks } = stat.toJson() as Record<string, number>;
  assert.deepEqual([num_read_ops, num_write_ops], [1, 1]);
  assert.ok(max_read_latency_ticks >= 500, 'the delay is part of what is measured');
  await cluster.until(faults.clear('S'));
  assert.equal(channel.shared.bdev.faults, null, 'nothing is left in the way');
  await tearDown();
});

test('what is struck is counted as one I/O, with its bytes once, also where the layer splits it', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, tearDown } = await faulty({ limits: { maxRwBlocks: 2 } });
  await add('op=read,action=delay,delay_us=1,count=1');
  await add('op=read,stage=completion,count=1');
  await add('op=write,action=torn,torn_blocks=3,count=1');
  const run = async (start: () => number): Promise<void> => {
    assert.equal(start(), 0);
    while (done.length === 0) {
      cluster.round();
      stub.complete(stub.outstanding.length);
      settle();
    }
  };
  const counted = async (): Promise<number[]> => {
    const [{ stat }] = await cluster.until(cluster.bdevs.stat(['S']));
    const { num_read_ops, bytes_read, num_write_ops, bytes_written } = stat.toJson() as Record<string, number>;
    return [num_read_ops, bytes_read, num_write_ops, bytes_written];
  };
  const read = () => channel.read(buf, 0, 0, 6 * BLOCK, cb, 'r');
  await run(read);
  assert.deepEqual([done.splice(0), await counted()], [['r 0'], [1, 6 * BLOCK, 0, 0]]);
  await run(read);
  assert.deepEqual([done.splice(0), await counted()], [['r -5'], [1, 6 * BLOCK, 0, 0]], 'none of a failed one');
  await run(() => channel.write(buf, 0, 0, 6 * BLOCK, cb, 'w'));
  assert.deepEqual([done.splice(0), await counted()], [['w 0'], [1, 6 * BLOCK, 1, 6 * BLOCK]]);
  await run(read);
  assert.deepEqual([done, await counted()], [['r 0'], [4, 12 * BLOCK, 1, 6 * BLOCK]], 'in pieces, as without rules');
  await tearDown();
});

test('what is struck is counted as one I/O, of its own type, also where the layer does it by others', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, tearDown } = await faulty({
    ioTypes: ioTypes(IO_READ, IO_WRITE),
  });
  for (const op of ['copy', 'compare', 'compare_and_write', 'write_zeroes'])
    await add(`op=${op},action=delay,delay_us=1`);
  const iovs = new IoVecs(1);
  iovs.push(buf, 0, 2 * BLOCK);
  const run = async (start: () => number, status = 0): Promise<string[]> => {
    assert.equal(start(), 0);
    while (done.length === 0) {
      cluster.round();
      stub.complete(stub.outstanding.length, status);
      settle();
    }
    return done.splice(0);
  };
  const counted = async (): Promise<unknown[]> => {
    const [{ stat }] = await cluster.until(cluster.bdevs.stat(['S']));
    const { num_read_ops, num_write_ops, num_copy_ops, bytes_copied, io_error } = stat.toJson();
    return [num_read_ops, num_write_ops, num_copy_ops, bytes_copied, io_error];
  };
  const copy = () => channel.copy(8 * BLOCK, 0, 2 * BLOCK, cb, 'copy');
  const compare = () => channel.comparev(iovs, 0, cb, 'compare');
  const both = () => channel.comparevAndWritev(iovs, iovs, 0, cb, 'both');
  const zeroes = () => channel.writeZeroes(0, 2 * BLOCK, 0, cb, 'zeroes');
  assert.deepEqual([await run(copy), await counted()], [['copy 0'], [0, 0, 1, 2 * BLOCK, {}]]);
  for (const start of [compare, both, zeroes]) {
    assert.match(String(await run(start)), / 0$/);
    assert.deepEqual(await counted(), [0, 0, 1, 2 * BLOCK, {}], 'of no kind that is counted');
  }
  let failed = 0;
  for (const start of [copy, compare, both, zeroes]) {
    assert.match(String(await run(start, -5)), / -5$/);
    assert.deepEqual(await counted(), [0, 0, 1, 2 * BLOCK, { failed: ++failed }]);
  }
  await tearDown();
});

test('a fault that would not show does not strike: a byte beyond the I/O, a write that is not torn', async () => {
  const { channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=read,action=corrupt,corrupt_offset=512');
  await add('op=write,action=torn,torn_blocks=2');
  for (const blocks of [1, 2, 3]) {
    assert.equal(channel.read(buf, 0, 0, blocks * BLOCK, cb, 'r'), 0);
    assert.equal(channel.write(buf, 0, 0, blocks * BLOCK, cb, 'w'), 0);
  }
  stub.complete(6);
  settle();
  assert.equal(done.length, 6);
  assert.deepEqual(
    faults.list('S').map(({ seen, struck }) => [seen, struck]),
    [
      [2, 2],
      [1, 1],
    ],
  );
  await tearDown();
});

test('torn: of metadata in memory of its own the disk gets that of the first blocks', async () => {
  const metadata = metadataFormat({ bytes: 8, interleaved: false, difType: 0, difIsHeadOfMd: false });
  const { channel, stub, buf, done, cb, add, settle, tearDown } = await faulty({ metadata });
  await add('op=write,action=torn,torn_blocks=2,count=1');
  const iovs = new IoVecs(1);
  iovs.push(buf, 0, 4 * BLOCK);
  const md = new IoVecs(2);
  md.push(buf, 4096, 20);
  md.push(buf, 8192, 12);
  assert.equal(channel.writevWithMd(iovs, md, 0, cb, 'w'), 0);
  const [io] = stub.outstanding;
  assert.deepEqual([io.bytes, io.iovs.totalBytes, io.mdIovs?.totalBytes], [2 * BLOCK, 2 * BLOCK, 16]);
  stub.complete(1);
  settle();
  assert.deepEqual(done, ['w 0']);
  await tearDown();
});

/** A memory disk of zeroes, and reads and writes that wait for their end. */
async function memory() {
  const cluster = await startCluster();
  await malloc(cluster, 'M', 64);
  const desc = cluster.on(0, () => BdevDesc.open('M', { write: true, onEvent: () => {} }));
  const channel = cluster.on(0, () => desc.getIoChannel());
  const buf = cluster.memory(64 * BLOCK);
  const faults = faultRegistry(cluster.reactors[0]);
  const end = async (start: (cb: (ctx: unknown, status: number) => void) => number): Promise<number> => {
    let result: number | undefined;
    assert.equal(
      start((_, status) => {
        result = status;
      }),
      0,
    );
    await cluster.untilTrue(() => result !== undefined);
    return result as number;
  };
  const pieces = new IoVecs(3);
  pieces.push(buf, 0, 700);
  pieces.push(buf, 800, 1000);
  pieces.push(buf, 2000, 348);
  /** Writes 4 blocks of `value` at block `lba`. */
  const write = (value: number, lba: number): Promise<number> => {
    buf.u8.fill(value);
    return end((cb) => channel.writev(pieces, lba * BLOCK, cb, 0));
  };
  const disk = async (): Promise<Uint8Array> => {
    assert.equal(await end((cb) => channel.read(buf, 0, 0, 64 * BLOCK, cb, 0)), 0);
    return buf.u8.slice();
  };
  const add = (rule: FaultInput | string) => cluster.until(faults.add('M', rule));
  const close = async (): Promise<void> => {
    desc.close();
    await cluster.close();
  };
  return { cluster, channel, buf, faults, write, disk, end, add, close };
}

const filled = (...ranges: [number, number, number][]): Uint8Array => {
  const all = new Uint8Array(64 * BLOCK);
  for (const [value, from, to] of ranges) all.fill(value, from, to);
  return all;
};

test('torn, lost and misdirected writes leave on the disk what they say', async () => {
  const { write, disk, add, faults, cluster, close } = await memory();
  await add('op=write,action=torn,torn_blocks=3,count=1');
  await add('op=write,action=torn,torn_blocks=1,errno=EIO,count=1');
  await add('op=write,action=torn,count=1');
  await add('op=write,action=lost,count=1');
  await add('op=write,action=misdirect,misdirect_blocks=20,count=1');
  await add('op=write,action=misdirect,misdirect_blocks=-8,count=1');
  assert.equal(await write(1, 0), 0);
  assert.equal(await write(2, 10), -5);
  assert.equal(await write(3, 10), 0, 'nothing of it');
  assert.equal(await write(4, 10), 0);
  assert.equal(await write(5, 20), 0);
  assert.equal(await write(6, 4), 0, 'round the end');
  assert.equal(await write(7, 30), 0);
  const expected = filled(
    [1, 0, 3 * BLOCK],
    [2, 10 * BLOCK, 11 * BLOCK],
    [5, 40 * BLOCK, 44 * BLOCK],
    [6, 57 * BLOCK, 61 * BLOCK],
    [7, 30 * BLOCK, 34 * BLOCK],
  );
  assert.deepEqual(await disk(), expected);
  await cluster.until(faults.clear('M'));
  await close();
});

test('misdirect of bytes: round the end it stays within the disk, as many bytes into its block, however far it goes', async () => {
  const { cluster, channel, buf, disk, end, add, faults, close } = await memory();
  const fill = (value: number): void => void buf.u8.fill(value);
  const writeBytes = (value: number, at: number, bytes: number): Promise<number> => {
    fill(value);
    return end((cb) => channel.write(buf, 0, at, bytes, cb, 0));
  };
  for (const blocks of [-1, 2, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
    await add(`op=write,action=misdirect,misdirect_blocks=${blocks},count=1`);
  }
  const last = 63 * BLOCK;
  assert.equal(await writeBytes(1, 4, 8), 0);
  // Where 8 bytes would not fit any more, the first block comes after the last but one.
  assert.equal(await writeBytes(2, 62 * BLOCK + 510, 4), 0);
  // 64 places, and 2^53 is a multiple of that.
  assert.equal(await writeBytes(3, 20 * BLOCK, 512), 0);
  assert.equal(await writeBytes(4, 30 * BLOCK, 512), 0);
  const expected = filled(
    [1, last + 4, last + 12],
    [2, BLOCK + 510, BLOCK + 514],
    [3, 19 * BLOCK, 20 * BLOCK],
    [4, 31 * BLOCK, 32 * BLOCK],
  );
  assert.deepEqual(await disk(), expected);
  await cluster.until(faults.clear('M'));
  await close();
});

test('torn and misdirected writes of a disk that is written in units: of whole ones, also round the end', async () => {
  const limits = { writeUnitBlocks: 4, splitOnWriteUnit: true };
  const { channel, stub, buf, done, cb, add, settle, tearDown } = await faulty({ limits });
  for (const [rule, said] of [
    ['op=write,action=torn,torn_blocks=3', /torn_blocks "3", may be a multiple of 4: bdev "S" is written in units/],
    ['op=copy,action=misdirect,misdirect_blocks=-6', /misdirect_blocks "-6", may be a multiple of 4: bdev "S"/],
  ] as const) {
    await assert.rejects(add(rule), { code: 'EINVAL', message: said });
  }
  await add('op=read,action=misdirect,misdirect_blocks=3');
  await add('op=write,action=torn,torn_blocks=4,count=1');
  await add('op=write,action=misdirect,misdirect_blocks=4,count=1');
  await add('op=write,action=misdirect,misdirect_blocks=-8,count=1');
  assert.equal(channel.write(buf, 0, 0, 12 * BLOCK, cb, 'torn'), 0);
  assert.equal(channel.write(buf, 0, 1020 * BLOCK, 4 * BLOCK, cb, 'forth'), 0);
  assert.equal(channel.write(buf, 0, 4 * BLOCK, 4 * BLOCK, cb, 'back'), 0);
  assert.equal(channel.read(buf, 0, 1022 * BLOCK, BLOCK, cb, 'read'), 0);
  assert.deepEqual(
    stub.outstanding.map(({ type, byteOffset, bytes }) => [type, byteOffset / BLOCK, bytes / BLOCK]),
    [
      [IO_WRITE, 0, 4],
      [IO_WRITE, 0, 4],
      [IO_WRITE, 1020, 4],
      [IO_READ, 1, 1],
    ],
  );
  stub.complete(4);
  settle();
  assert.deepEqual(done.sort(), ['back 0', 'forth 0', 'read 0', 'torn 0']);
  await tearDown();
});

test('corrupt: one byte of what a write stores or a read gives, wherever it lies; memory of a writer stays as it is', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(4 * BLOCK - 1), fc.option(fc.integer({ min: 1, max: 255 })), async (offset, value) => {
      const { cluster, buf, write, disk, add, faults, close } = await memory();
      const how = value === null ? '' : `,corrupt_value=${value}`;
      const wrong = 0x11 ^ (value ?? 0xff);
      await add(`op=write,action=corrupt,corrupt_offset=${offset}${how},count=1`);
      assert.equal(await write(0x11, 2), 0);
      assert.ok(buf.u8.every((byte) => byte === 0x11));
      const stored = filled([0x11, 2 * BLOCK, 6 * BLOCK], [wrong, 2 * BLOCK + offset, 2 * BLOCK + offset + 1]);
      assert.deepEqual(await disk(), stored);
      await add(`op=read,action=corrupt,corrupt_offset=${2 * BLOCK + offset},count=1`);
      stored[2 * BLOCK + offset] ^= 0xff;
      assert.deepEqual(await disk(), stored);
      stored[2 * BLOCK + offset] ^= 0xff;
      assert.deepEqual(await disk(), stored, 'only what was read was wrong');
      await cluster.until(faults.clear('M'));
      await close();
    }),
    { numRuns: 15 },
  );
});

test('corrupt: also of a disk that takes fewer pieces of memory than the write then has', async () => {
  const { cluster, channel, stub, buf, done, cb, add, tearDown } = await faulty({ limits: { maxSegments: 1 } });
  await add('op=write,action=corrupt,corrupt_offset=700,corrupt_value=1');
  assert.equal(channel.write(buf, 0, 0, 3 * BLOCK, cb, 'w'), 0);
  await cluster.untilTrue(() => stub.outstanding.length === 3);
  const bytes = stub.outstanding.flatMap(({ iovs }) => [
    ...(iovs.segment[0]?.u8.slice(iovs.offset[0], iovs.offset[0] + iovs.bytes[0]) ?? []),
  ]);
  assert.deepEqual(
    bytes.flatMap((byte, i) => (byte === 0 ? [] : [[i, byte]])),
    [[700, 1]],
  );
  stub.complete(3);
  await cluster.untilTrue(() => done.length === 1);
  assert.deepEqual(done, ['w 0']);
  await tearDown();
});

test('a memory disk with rules is not read or written behind their back', async () => {
  const { cluster, channel, add, faults, close } = await memory();
  assert.equal(channel.zcopy(0, BLOCK, new IoVecs(1)), true);
  await add('op=read');
  assert.equal(channel.zcopy(0, BLOCK, new IoVecs(1)), false);
  await cluster.until(faults.clear('M'));
  assert.equal(channel.zcopy(0, BLOCK, new IoVecs(1)), true);
  await close();
});
