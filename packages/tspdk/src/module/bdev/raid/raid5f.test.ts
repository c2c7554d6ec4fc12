/** raid5f: whole stripes with parity; what is missing is made of the rest, whichever member it is; a member that fails is dropped. The names in brackets are those of SPDK's raid5f_ut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { Cluster } from '../../../bdev/cluster.sim.ts';
import { ioRank, PLACE_SUBMITTED } from '../../../bdev/io-rank.ts';
import { IO_UNMAP, IO_WRITE_ZEROES } from '../../../bdev/io-type.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { type StubChannel, stubChannel } from '../../../bdev/stub-module.sim.ts';
import { channelOf, open, takeBdevIos } from '../../../bdev/stub-setup.sim.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import type { Segment } from '../../../env/segment.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { type RaidBackend, raidBackends } from './raid-backend.ts';
import { allGood, answering, contents, setUpRaid, stubDisks } from './raid-setup.sim.ts';

test('[test_raid5f_start] it holds what was written, with each member missing, after a rebuild, and with a member that was rebuilt in the place of another', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 3, max: 5 }),
      fc.nat(4),
      fc.constantFrom(1, 4),
      fc.boolean(),
      modelBatches(256, 60),
      async (count, gone, strip, degraded, batches) => {
        const { cluster, create, call } = await setUpRaid({ reactors: 2 });
        const names = Array.from({ length: count }, (_, i) => `M${i}`);
        // What is added later is smaller than what was there.
        for (const name of ['New', ...names]) await malloc(cluster, name, name === 'New' ? 64 : 65);
        const missing = gone % count;
        const bases = names.map((name, i) => (degraded && i === missing ? '' : name));
        await create('raid5f', bases, { strip_size_kb: strip });
        const bdev = cluster.bdevs.get('R');
        const unit = bdev.limits.writeUnitBlocks;
        assert.equal(unit, strip * 2 * (count - 1));
        assert.equal(bdev.blocks, 64 * (count - 1));
        const whole = batches.map((batch) =>
          batch.map((op) => {
            const kind = op.kind === 'unmap' ? ('zero' as const) : op.kind;
            const lba = op.lba % bdev.blocks;
            if (kind === 'read' || kind === 'flush') return { ...op, lba };
            return { ...op, kind, lba: lba - (lba % unit), blocks: Math.ceil(op.blocks / unit) * unit };
          }),
        );
        const model = new Uint8Array(bdev.sizeBytes);
        await runModel(cluster, bdev, model, whole);
        const same = async (what: string) => assert.equal(Buffer.compare(await contents(cluster, 'R'), model), 0, what);
        await same('all there');
        if (!degraded) await call('bdev_raid_remove_base_bdev', { name: `M${missing}` });
        await same('without one');
        await runModel(cluster, bdev, model, whole.slice(0, 2));
        await call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: 'New' });
        await runModel(cluster, bdev, model, whole.slice(1, 2));
        await allGood(cluster);
        await call('bdev_raid_remove_base_bdev', { name: `M${(missing + 1) % count}` });
        await same('rebuilt, without another');
        await cluster.close();
      },
    ),
    { numRuns: 25 },
  );
});

/** A raid5f of four stubs, strips of 8 blocks; a stripe is 24 blocks. */
async function onStubs() {
  const { cluster, create, list, call, raids } = await setUpRaid();
  const names = await stubDisks(cluster, 4, { blocks: 64 });
  await answering(cluster, names, create('raid5f', names));
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  const stub = names.map((name) => stubChannel(name));
  const buf = cluster.memory(65536);
  for (let i = 0; i < buf.u8.length; i++) buf.u8[i] = (i * 13) >> 4;
  const tearDown = async () => {
    desc.close();
    await answering(cluster, names, cluster.bdevs.fini());
    await cluster.close();
  };
  return { cluster, raids, call, list, names, stub, channel, done, cb, buf, tearDown };
}

const STRIP = 4096;
const STRIPE = 3 * STRIP;
const ops = (stub: readonly StubChannel[]) =>
  stub.map(({ outstanding }) => outstanding.map((io) => `${io.type} ${io.byteOffset} ${io.bytes}`));

/** The bytes that a member is to write. */
function written(stub: StubChannel): Uint8Array {
  const [{ iovs }] = stub.outstanding;
  const bytes: number[] = [];
  for (let i = 0; i < iovs.count; i++) {
    bytes.push(...(iovs.segment[i] as Segment).u8.subarray(iovs.offset[i], iovs.offset[i] + iovs.bytes[i]));
  }
  return Uint8Array.from(bytes);
}

test('[test_raid5f_submit_full_stripe_write_request] a stripe: a strip for each member and the parity, whose place moves; from memory in pieces', async () => {
  const { stub, channel, done, cb, buf, cluster, tearDown } = await onStubs();
  for (const [stripe, parity] of [
    [0, 3],
    [1, 2],
    [4, 3],
  ]) {
    const iovs = new IoVecs(3);
    iovs.push(buf, 3, 1000);
    iovs.push(buf, 2000, STRIPE - 1001);
    iovs.push(buf, 40000, 1);
    const data = Uint8Array.from([
      ...buf.u8.subarray(3, 1003),
      ...buf.u8.subarray(2000, 2000 + STRIPE - 1001),
      buf.u8[40000],
    ]);
    assert.equal(channel.writev(iovs, stripe * STRIPE, cb, stripe, 1), 0);
    assert.deepEqual(ops(stub), Array(4).fill([`2 ${stripe * STRIP} ${STRIP}`]));
    let strip = 0;
    for (const [i, each] of stub.entries()) {
      assert.equal(each.outstanding[0].flags, 1);
      const from = strip * STRIP;
      if (i === parity) {
        const xor = data.subarray(0, STRIP).map((byte, k) => byte ^ data[STRIP + k] ^ data[2 * STRIP + k]);
        assert.deepEqual(written(each), xor);
      } else {
        assert.deepEqual(written(each), data.subarray(from, from + STRIP));
        strip++;
      }
      each.complete(1);
    }
    cluster.turns();
    assert.equal(done.at(-1), `${stripe} 0`);
  }
  await tearDown();
});

test('writes that are not whole stripes are refused; longer ones are one write a stripe; zeroes go in one', async () => {
  const { stub, channel, done, cb, buf, cluster, tearDown } = await onStubs();
  channel.write(buf, 0, 512, STRIPE, cb, 'a');
  channel.write(buf, 0, 0, STRIPE - 512, cb, 'b');
  channel.writeZeroes(0, STRIP, 0, cb, 'c');
  cluster.turns();
  assert.deepEqual(new Set(done), new Set(['a -22', 'b -22', 'c -22']));
  assert.deepEqual(ops(stub).flat(), []);
  channel.write(buf, 0, 0, 2 * STRIPE, cb, 'd');
  assert.deepEqual(ops(stub)[0], [`2 0 ${STRIP}`, `2 ${STRIP} ${STRIP}`]);
  for (const each of stub) each.complete(2);
  channel.writeZeroes(STRIPE, 3 * STRIPE, 2, cb, 'z');
  assert.deepEqual(ops(stub), Array(4).fill([`${IO_WRITE_ZEROES} ${STRIP} ${3 * STRIP}`]));
  for (const each of stub) each.complete(1);
  cluster.turns();
  assert.deepEqual(done.slice(3), ['d 0', 'z 0']);
  assert.equal(channel.bdev.ioTypeSupported(IO_UNMAP), false);
  await tearDown();
});

test('[test_raid5f_submit_read_request] [test_raid5f_submit_read_request_degraded] a read goes to the member of its strip; when that fails, the others make it good', async () => {
  const { stub, channel, done, cb, buf, cluster, tearDown } = await onStubs();
  const fill = (i: number, value: number) => {
    const [io] = stub[i].outstanding;
    (io.iovs.segment[0] as Segment).u8.fill(value, io.iovs.offset[0], io.iovs.offset[0] + io.iovs.bytes[0]);
    stub[i].complete(1);
  };
  // Stripe 1: parity on member 2, so its third strip is on member 3.
  const at = STRIPE + 2 * STRIP + 512;
  channel.read(buf, 1024, at, 1024, cb, 'r');
  assert.deepEqual(ops(stub), [[], [], [], [`1 ${STRIP + 512} 1024`]]);
  fill(3, 7);
  cluster.turns();
  assert.equal(buf.u8[1024], 7);
  channel.read(buf, 1024, at, 1024, cb, 's');
  stub[3].complete(1, -5);
  for (const [i, value] of [
    [0, 0x11],
    [1, 0x22],
    [2, 0x44],
  ]) {
    assert.deepEqual(ops(stub)[i], [`1 ${STRIP + 512} 1024`]);
    fill(i, value);
  }
  cluster.turns();
  assert.deepEqual(done, ['r 0', 's 0']);
  assert.deepEqual(new Set(buf.u8.subarray(1024, 2048)), new Set([0x77]));
  assert.notEqual(buf.u8[2048], 0x77);
  channel.read(buf, 0, at, 512, cb, 't');
  stub[3].complete(1, -5);
  stub[0].complete(1, -5);
  cluster.turns();
  assert.deepEqual(done.slice(2), ['t -5'], 'two that fail are too many');
  channel.read(buf, 0, at, 512, cb, 'u');
  assert.equal(channel.abort('u'), 1);
  cluster.turns();
  assert.deepEqual(done.slice(3), ['u -125']);
  // Its member is reset by others, and the rest cannot stand for it.
  channel.read(buf, 0, at, 512, cb, 'v');
  stub[3].complete(1, -125);
  stub[0].complete(1, -5);
  cluster.turns();
  assert.deepEqual(done.slice(4), ['v -125'], 'that says nothing about the data');
  await tearDown();
});

/** What core 0 knows of the only raid. */
function backendOf(cluster: Cluster): RaidBackend {
  return [...cluster.reactors[0].local(raidBackends).values()][0];
}

/** The first I/O of `stub` reads `value`. */
function answer(stub: StubChannel, value: number): void {
  const [{ iovs }] = stub.outstanding;
  (iovs.segment[0] as Segment).u8.fill(value, iovs.offset[0], iovs.offset[0] + iovs.bytes[0]);
  stub.complete(1);
}

test('a read that the others cannot make good goes to its member, when that can be read by then', async () => {
  const { cluster, stub, channel, done, cb, buf, tearDown } = await onStubs();
  const backend = backendOf(cluster);
  const buffers = () => {
    const taken: number[] = [];
    for (let at = backend.takeBuffer(); at >= 0; at = backend.takeBuffer()) taken.push(at);
    for (const at of taken) backend.giveBuffer(at);
    return taken.toSorted();
  };
  const before = buffers();
  for (const how of ['not there any more', 'fails']) {
    // The third strip, on member 2, which is being rebuilt.
    backend.setReadable(2, false);
    channel.read(buf, 0, 2 * STRIP, 512, cb, 'r');
    assert.deepEqual(ops(stub), [['1 0 512'], [], [], []]);
    backend.setReadable(2, true);
    backend.setReadable(1, false);
    // Somebody else looks for the member of another strip meanwhile.
    channel.read(buf, 1024, STRIP, 512, cb, 'other');
    if (how === 'fails') stub[0].complete(1, -5);
    else answer(stub[0], 1);
    assert.deepEqual(ops(stub), [['1 0 512'], [], ['1 0 512'], []]);
    answer(stub[2], 2);
    stub[0].complete(1, -5);
    cluster.turns();
    assert.deepEqual(done.splice(0), ['r 0', 'other -5'], how);
    assert.deepEqual(new Set(buf.u8.subarray(0, 512)), new Set([2]));
    assert.deepEqual(buffers(), before);
    backend.setReadable(1, true);
    buf.u8.fill(0);
  }
  await tearDown();
});

test('a read waits for its BdevIo, the first and those that make it good', async () => {
  const { cluster, stub, channel, done, cb, buf, tearDown } = await onStubs();
  const { pool } = channel.shared.manager;
  pool.setOptions({ ios: pool.all.length, growBy: 1 });
  const giveFirst = takeBdevIos(pool, 1);
  channel.read(buf, 0, 0, 512, cb, 'r');
  assert.deepEqual(ops(stub).flat(), []);
  giveFirst();
  assert.deepEqual(ops(stub), [['1 0 512'], [], [], []]);
  backendOf(cluster).setReadable(0, false);
  stub[0].complete(1, -5);
  for (const i of [1, 2, 3]) {
    assert.deepEqual(
      ops(stub).map(({ length }) => length),
      stub.map((_, k) => (k === i ? 1 : 0)),
    );
    const giveBack = takeBdevIos(pool);
    // What ends gives its own back, and somebody else has it.
    const { put } = pool;
    let kept: BdevIo | null = null;
    pool.put = (io) => {
      kept = io;
    };
    answer(stub[i], 1 << i);
    pool.put = put;
    assert.deepEqual(ops(stub).flat(), []);
    pool.put(kept as unknown as BdevIo);
    giveBack();
  }
  cluster.turns();
  assert.deepEqual(done, ['r 0']);
  assert.equal(buf.u8[511], 0b1110);
  backendOf(cluster).setReadable(0, true);
  await tearDown();
});

test('a write that waits for one drop fails when another takes a strip that went well', async () => {
  const { cluster, stub, channel, done, cb, buf, tearDown } = await onStubs();
  channel.write(buf, 0, 0, STRIPE, cb, 'w');
  for (const [i, each] of stub.entries()) each.complete(1, i === 1 ? -5 : 0);
  const backend = backendOf(cluster);
  backend.dropMember(2);
  assert.deepEqual(done, []);
  backend.dropMember(1);
  cluster.turns();
  assert.deepEqual(done, ['w -5']);
  await tearDown();
});

test('[test_raid5f_chunk_write_error] [test_raid5f_submit_full_stripe_write_request_degraded] a strip that cannot be written: the member is dropped, and the write is good; with two it fails', async () => {
  const { stub, channel, done, cb, buf, cluster, list, raids, tearDown } = await onStubs();
  channel.write(buf, 0, 0, STRIPE, cb, 'two');
  for (const [i, each] of stub.entries()) each.complete(1, i < 2 ? -5 : 0);
  cluster.turns();
  assert.deepEqual(done, ['two -5']);
  channel.write(buf, 0, 0, STRIPE, cb, 'one');
  for (const [i, each] of stub.entries()) each.complete(1, i === 1 ? -5 : 0);
  cluster.turns();
  assert.deepEqual(done.slice(1), [], 'it waits for the drop');
  await cluster.untilTrue(() => done.length > 1);
  assert.deepEqual(done.slice(1), ['one 0']);
  assert.equal((await list('online'))[0].num_base_bdevs_operational, 3);
  // Degraded: parity is still made, and all that are left must take it.
  channel.write(buf, 0, STRIPE, STRIPE, cb, 'three');
  assert.deepEqual(
    ops(stub).map(({ length }) => length),
    [1, 0, 1, 1],
  );
  const xor = buf.u8.slice(0, STRIP).map((byte, k) => byte ^ buf.u8[STRIP + k] ^ buf.u8[2 * STRIP + k]);
  assert.deepEqual(written(stub[2]), xor);
  for (const i of [0, 2, 3]) stub[i].complete(1, i === 3 ? -5 : 0);
  cluster.turns();
  assert.deepEqual(done.slice(2), ['three -5']);
  assert.equal(raids.list()[0].slots.filter(({ good }) => good).length, 3, 'no more can be dropped');
  await tearDown();
});

test('[test_raid5f_chunk_write_error_with_enomem] a strip fails while another waits for a BdevIo: that one is written, and then the member is dropped', async () => {
  // With no other member to fail, and with one.
  for (const alsoFails of [-1, 1, 3]) {
    const { stub, channel, done, cb, buf, cluster, list, tearDown } = await onStubs();
    const { pool } = channel.shared.manager;
    pool.setOptions({ ios: pool.all.length, growBy: 1 });
    const giveBack = takeBdevIos(pool, 2, ioRank(cluster.bdevs.list()[0], PLACE_SUBMITTED));
    assert.equal(channel.write(buf, 0, 0, STRIPE, cb, 'w'), 0);
    for (const [i, each] of stub.entries()) {
      // What has ended gives its BdevIo to the next.
      assert.deepEqual(
        ops(stub).map(({ length }) => length),
        stub.map((_, k) => (k === i ? 1 : 0)),
      );
      each.complete(1, i === 0 || i === alsoFails ? -5 : 0);
      cluster.turns();
    }
    giveBack();
    await cluster.untilTrue(() => done.length === 1);
    assert.deepEqual(done, [alsoFails < 0 ? 'w 0' : 'w -5']);
    assert.deepEqual(ops(stub).flat(), [], 'nothing is written twice');
    assert.equal((await list('online'))[0].num_base_bdevs_operational, alsoFails < 0 ? 3 : 4);
    await tearDown();
  }
});

test('without buffers for parity the write is tried again; with too few BdevIos each member gets it once', async () => {
  const { stub, channel, done, cb, buf, cluster, tearDown } = await onStubs();
  // A core has 32 buffers.
  for (let i = 0; i < 40; i++) assert.equal(channel.write(buf, 0, (i % 8) * STRIPE, STRIPE, cb, i), 0);
  assert.deepEqual(
    ops(stub).map(({ length }) => length),
    [32, 32, 32, 32],
  );
  await cluster.untilTrue(() => {
    for (const each of stub) each.complete(each.outstanding.length);
    return done.length === 40;
  });
  assert.ok(done.every((line) => line.endsWith(' 0')));
  const { pool } = channel.shared.manager;
  pool.setOptions({ ios: pool.all.length, growBy: 1 });
  for (let free = 1; free <= 5; free++) {
    const giveBack = takeBdevIos(pool, free);
    assert.equal(channel.write(buf, 0, 0, STRIPE, cb, free), 0);
    assert.equal(ops(stub).flat().length, free - 1);
    giveBack();
    assert.deepEqual(ops(stub), Array(4).fill([`2 0 ${STRIP}`]));
    for (const each of stub) each.complete(1);
    cluster.turns();
    assert.equal(done.at(-1), `${free} 0`);
  }
  await tearDown();
});

test('it goes with its second member, and works with one missing from the start', async () => {
  const { cluster, create, list } = await setUpRaid();
  for (const name of ['M0', 'M1', 'M2']) await malloc(cluster, name);
  await create('raid5f', ['M0', '', 'M2']);
  assert.equal((await list('online'))[0].num_base_bdevs_operational, 2);
  await cluster.until(cluster.bdevs.delete('M2'));
  await cluster.untilTrue(() => cluster.bdevs.list().length === 2);
  assert.deepEqual(await list(), []);
  await assert.rejects(create('raid5f', ['M0', '', '']), { code: 'EINVAL' });
  await assert.rejects(create('raid5f', ['M0', 'M1', ''], { strip_size_kb: 256 }), { code: 'EINVAL' });
  await cluster.close();
});

test('[test_raid5f_stripe_request_map_iovecs] a stripe from any number of pieces of memory, alone and in a longer write', async () => {
  const { stub, channel, done, cb, buf, cluster, tearDown } = await onStubs();
  for (const stripes of [1, 2]) {
    const pieces = new IoVecs(stripes * STRIPE);
    // Crumbs that no block ends at: far more than a strip has room for from the start.
    for (let at = 0; at < stripes * STRIPE; at += 7) pieces.push(buf, at, Math.min(7, stripes * STRIPE - at));
    assert.equal(channel.writev(pieces, 0, cb, stripes), 0);
    for (let stripe = 0; stripe < stripes; stripe++) {
      assert.deepEqual(
        ops(stub),
        Array(4).fill([
          `2 ${stripe * STRIP} ${STRIP}`,
          ...(stripe < stripes - 1 ? [`2 ${(stripe + 1) * STRIP} ${STRIP}`] : []),
        ]),
      );
      const parity = 3 - stripe;
      const data = stub.filter((_, i) => i !== parity).map(written);
      for (const [i, bytes] of data.entries()) {
        const from = stripe * STRIPE + i * STRIP;
        assert.deepEqual(bytes, buf.u8.slice(from, from + STRIP));
      }
      assert.deepEqual(
        written(stub[parity]),
        data[0].map((byte, k) => byte ^ data[1][k] ^ data[2][k]),
      );
      for (const each of stub) each.complete(1);
    }
    cluster.turns();
    assert.equal(done.at(-1), `${stripes} 0`);
  }
  await tearDown();
});
