/**
 * I/Os that need a buffer on the way while whoever submitted them holds one of the same pool, as NBD's reads do: they end, however few buffers there are.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heldIoBufs, type IoBuf, type IoBufWaiter } from '../env/iobuf.ts';
import { malloc } from '../module/bdev/malloc/malloc-setup.sim.ts';
import '../module/bdev/passthru/passthru-bdev.ts';
import '../module/bdev/verify/verify-bdev.ts';
import type { BdevIo } from './bdev-io.ts';
import { BufferedIo } from './buffered-io.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { PLACE_ALIGNED, PLACE_PROTECTED, RANK_OUTSIDE } from './io-rank.ts';
import { IO_READ } from './io-type.ts';
import { LayerChild } from './layer-io.ts';
import { takeBdevIos } from './stub-setup.sim.ts';

const KIB = 1024;
const LARGE = 4;
const ROUNDS = 20_000;

/** One who reads into a large buffer of the pool, waiting for it when there is none, and gives it back when the read has ended. */
class PoolReader implements IoBufWaiter {
  nextWaiter: IoBufWaiter | null = null;
  status: number | null = null;
  readonly #channel: BdevChannel;
  #buf: IoBuf | null = null;

  constructor(channel: BdevChannel) {
    this.#channel = channel;
    const { iobuf } = channel.bdev.manager.reactor;
    const buf = iobuf.getLarge();
    if (buf === null) iobuf.waitLarge(this);
    else this.onBuf(buf);
  }

  onBuf(buf: IoBuf): void {
    this.#buf = buf;
    const rc = this.#channel.read(buf.segment, buf.offset, 0, 64 * KIB, (_, status) => this.#end(status), this);
    assert.equal(rc, 0);
  }

  #end(status: number): void {
    this.status = status;
    this.#channel.bdev.manager.reactor.iobuf.put(this.#buf as IoBuf);
  }
}

/** Sixteen of them on the disk `name`, on each of some cores, and then copies: all end. */
async function readersEnd(cluster: Cluster, name: string, cores: readonly number[], copies: number): Promise<void> {
  const descs = cores.map((core) =>
    cluster.on(core, () => BdevDesc.open(name, { write: true, hideMetadata: true, onEvent: () => {} })),
  );
  const channels = descs.map((desc, i) => cluster.on(cores[i], () => desc.getIoChannel()));
  const readers: { status: number | null }[] = [];
  for (const [i, channel] of channels.entries()) {
    cluster.on(cores[i], () => {
      for (let k = 0; k < 16; k++) readers.push(new PoolReader(channel));
      for (let k = 0; k < copies; k++) {
        const copy = { status: null as number | null };
        const done = (_: unknown, status: number): void => {
          copy.status = status;
        };
        const rc = channel.copy((k + 2) * 64 * KIB, 0, 64 * KIB, done, copy);
        assert.equal(rc, 0);
        readers.push(copy);
      }
    });
  }
  for (let round = 0; round < ROUNDS && readers.some(({ status }) => status === null); round++) cluster.round();
  assert.deepEqual(
    readers.map(({ status }) => status),
    readers.map(() => 0),
  );
  for (const desc of descs) desc.close();
}

const few = () => startCluster({ reactors: 2, iobuf: { largeCount: LARGE } });
const verify = (cluster: Cluster, name: string, base_bdev_name: string, mirror_bdev_name: string) =>
  cluster.until(cluster.bdevs.create('verify', { name, base_bdev_name, mirror_bdev_name }));

test('reads of a disk with hidden metadata end when every buffer of the pool is held by one of them', async () => {
  for (const md_interleave of [true, false]) {
    const cluster = await few();
    const bdev = await malloc(cluster, 'M', 2048, { md_size: 8, md_interleave, dif_type: 1 });
    await readersEnd(cluster, 'M', [0, 1], 0);
    assert.deepEqual(heldIoBufs(cluster.iobufMemory), []);
    assert.equal(bdev.level, 0);
    await cluster.close();
  }
});

test('so do reads and copies of verify disks, also of one that stands on others', async () => {
  const cluster = await few();
  for (const name of ['A', 'B', 'C']) await malloc(cluster, name, 2048);
  await verify(cluster, 'V', 'A', 'B');
  const upper = await verify(cluster, 'W', 'C', 'V');
  assert.equal(upper.level, 2);
  await readersEnd(cluster, 'W', [0, 1], 6);
  assert.deepEqual(heldIoBufs(cluster.iobufMemory), []);
  await cluster.close();
});

/** A read through a buffer that asks for another one which does the like: as a read of hidden metadata of a disk with wishes about memory. */
class Nested extends BufferedIo {
  readonly #child = new LayerChild(this);
  readonly #inner: boolean;
  #done = false;

  constructor(inner: boolean) {
    super();
    this.#inner = inner;
  }

  protected get place(): number {
    return this.#inner ? PLACE_ALIGNED : PLACE_PROTECTED;
  }

  protected proceed(): void {
    if (this.#done) this.finish();
    else if (this.outstanding === 0) this.#read();
  }

  #read(): void {
    const buf = this.takeBuffer();
    const io = buf === null ? null : this.take();
    if (buf === null || io === null) return;
    io.ownIovs.push(buf.segment, buf.offset, 512);
    if (this.#inner) {
      this.give(io, this.#child, IO_READ, 0, 512, 0);
      return;
    }
    io.type = IO_READ;
    io.byteOffset = 0;
    io.bytes = 512;
    io.cb = (_, status) => this.ended(this.#child, status);
    io.ctx = this.#child;
    this.outstanding++;
    this.channel.stamp(io);
    new Nested(true).begin(this.channel, io);
  }

  protected override childDone(): void {
    this.#done = true;
  }
}

test('so do I/Os of the layer that need a buffer for one of their own that has one', async () => {
  const cluster = await few();
  const bdev = await malloc(cluster, 'M', 2048);
  const desc = cluster.on(0, () => BdevDesc.open('M', { write: false, onEvent: () => {} }));
  const { shared } = cluster.on(0, () => desc.getIoChannel());
  const done: number[] = [];
  for (let i = 0; i < 16; i++) {
    const io = bdev.manager.pool.get(RANK_OUTSIDE) as BdevIo;
    Object.assign(io, { type: IO_READ, byteOffset: 0, bytes: 512 });
    io.cb = (_, status) => void done.push(status);
    shared.stamp(io);
    new Nested(false).begin(shared, io);
  }
  for (let round = 0; round < ROUNDS && done.length < 16; round++) cluster.round();
  assert.deepEqual(done, new Array(16).fill(0));
  assert.deepEqual(heldIoBufs(cluster.iobufMemory), []);
  desc.close();
  await cluster.close();
});

test('protection information is looked at by an I/O that waits for its BdevIo, whether it needs a buffer or not', async () => {
  const cluster = await startCluster();
  const { manager } = await malloc(cluster, 'M', 256, { md_size: 8, md_interleave: true, dif_type: 1 });
  const { pool } = manager;
  pool.setOptions({ ios: 8, growBy: 1 });
  for (const hideMetadata of [true, false]) {
    const desc = cluster.on(0, () => BdevDesc.open('M', { write: true, hideMetadata, onEvent: () => {} }));
    const channel = cluster.on(0, () => desc.getIoChannel());
    const bytes = hideMetadata ? 512 : 520;
    const memory = cluster.memory(bytes);
    const done: number[] = [];
    const cb = (_: unknown, status: number): void => void done.push(status);
    for (const write of hideMetadata ? [true, false] : [false]) {
      memory.u8.fill(write ? 7 : 0);
      const giveBack = takeBdevIos(pool, 1);
      const rc = write ? channel.write(memory, 0, 0, bytes, cb, null) : channel.read(memory, 0, 0, bytes, cb, null);
      cluster.turns();
      assert.deepEqual([rc, done, pool.waiting], [0, [], 1]);
      giveBack();
      await cluster.untilTrue(() => pool.waiting === 0);
      cluster.turns();
      assert.deepEqual(done.splice(0), [0]);
    }
    assert.ok(memory.u8.subarray(0, 512).every((byte) => byte === 7));
    desc.close();
  }
  await cluster.close();
});

test('the reserve grows with the levels of disks, on every core, and goes with the last disk', async () => {
  const cluster = await few();
  const [{ segments }] = cluster.reactors;
  const before = segments.count;
  await Promise.all(['A', 'B', 'C'].map((name) => malloc(cluster, name, 2048)));
  assert.equal(segments.count, before + 3 + 1, 'three disks, one level');
  await cluster.until(cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'A' }));
  const top = await cluster.until(cluster.bdevs.create('passthru', { name: 'Q', base_bdev_name: 'P' }));
  assert.deepEqual([top.level, segments.count], [2, before + 3 + 3]);
  for (const { iobuf } of cluster.reactors) {
    while (iobuf.getLarge() !== null);
    const bufs = Array.from({ length: 12 }, (_, rank) => iobuf.getLargeOf(rank) as IoBuf);
    const places = new Set(bufs.map(({ segment, offset }) => `${segment.id} ${offset}`));
    assert.equal(places.size, 12);
    assert.ok(bufs.every(({ segment, offset, sizeBytes }) => offset + sizeBytes <= segment.sizeBytes));
    assert.deepEqual([iobuf.getLargeOf(11), iobuf.getLargeOf(12)], [null, null]);
    for (const buf of bufs) iobuf.put(buf);
    assert.throws(() => iobuf.put(bufs[0]), { code: 'EDOUBLEFREE' });
    if (iobuf === cluster.reactors[1].iobuf) iobuf.getLargeOf(4);
  }
  await assert.rejects(cluster.until(cluster.bdevs.fini()), /leak: 1 I\/O buffer\(s\) of the reserve/);
});
