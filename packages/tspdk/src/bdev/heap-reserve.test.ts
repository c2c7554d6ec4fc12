/** A shared heap that is full: carried I/Os, and those that need a lock, have their turn all the same, on disks on disks as well. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AllocSite } from '../env/alloc-site.ts';
import { current } from '../env/current.ts';
import { IoVecs } from '../env/iovecs.ts';
import { BaseBdev, type BaseRef, openBase } from './base-bdev.ts';
import type { BdevIo } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { IO_FLUSH, IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import { type BackendChannel, registerBdevModule } from './module.ts';

const site = new AllocSite('test');
const BLOCK = 512;

/** A disk that lives on one core, whose I/O goes on to a disk below, or ends well. */
registerBdevModule<{ readonly name: string; readonly homeCore: number; readonly base?: string }>({
  name: 'storey',
  create({ name, homeCore, base }, reactor) {
    const bases = base === undefined ? [] : [BaseBdev.open(reactor, base)];
    return {
      name,
      productName: 'Storey',
      blockSizeBytes: BLOCK,
      blocks: 4096,
      ioTypes: ioTypes(IO_READ, IO_WRITE, IO_FLUSH),
      homeCore,
      bases,
      data: bases[0]?.ref ?? null,
    };
  },
  attach(spec, reactor) {
    const ref = spec.data as BaseRef | null;
    const desc = ref === null ? null : openBase(ref, reactor);
    const createChannel = (): BackendChannel => {
      const below = desc?.getIoChannel() ?? null;
      const submit = (io: BdevIo): void => {
        const rc = below?.forward(io, io.byteOffset, (_, status) => io.complete(status), null);
        if (rc !== 0) io.complete(rc ?? 0);
      };
      return { submit, close: () => below?.close() };
    };
    return { createChannel, close: () => desc?.close() };
  },
  destroy: () => {},
  configCalls: () => [],
});

/** Takes all that is left of the heap, on whatever core. Returns what gives it back. */
function fillHeap(cluster: Cluster, core: number): () => void {
  const { heap } = cluster.reactors[core];
  const taken: number[] = [];
  for (let bytes = 65536 - 16; bytes > 0; bytes = (bytes + 16) / 2 - 16) {
    try {
      for (;;) taken.push(heap.alloc(bytes, site));
    } catch {
      // Until there is no more.
    }
  }
  return () => {
    for (const ptr of taken) heap.free(ptr);
  };
}

function vecs(cluster: Cluster, pieces: number): IoVecs {
  const memory = cluster.memory(pieces * BLOCK);
  const iovs = new IoVecs(pieces);
  for (let i = 0; i < pieces; i++) iovs.push(memory, i * BLOCK, BLOCK);
  return iovs;
}

function openOn(cluster: Cluster, core: number, name: string): { desc: BdevDesc; channel: BdevChannel } {
  const desc = cluster.on(core, () => BdevDesc.open(name, { write: true, onEvent: () => {} }));
  return { desc, channel: cluster.on(core, () => desc.getIoChannel()) };
}

function withoutThread<T>(cluster: Cluster, core: number, fn: () => T): T {
  return cluster.on(core, () => {
    current.thread = null;
    return fn();
  });
}

test('I/Os that are carried twice end, though those that wait have filled the heap', async () => {
  const cluster = await startCluster({ reactors: 3, heapBytes: 1 << 20 });
  await cluster.until(cluster.bdevs.create('storey', { name: 'lower', homeCore: 1 }));
  await cluster.until(cluster.bdevs.create('storey', { name: 'upper', homeCore: 0, base: 'lower' }));
  const { desc, channel } = openOn(cluster, 2, 'upper');
  const done: number[] = [];
  // Each has a block of 8 KiB: more than a MiB of them.
  const iovs = vecs(cluster, 250);
  for (let i = 0; i < 200; i++)
    assert.equal(
      channel.readv(iovs, 0, (_, status) => void done.push(status), i),
      0,
    );
  for (let i = 0; i < 500 && done.length < 200; i++) cluster.settle();
  assert.equal(done.length, 200);
  assert.ok(done.every((status) => status === 0));
  desc.close();
  await cluster.close();
});

test('what another core has taken of the heap is its own: I/Os of two threads that are carried have their turn, and so has a lock', async () => {
  const cluster = await startCluster({ reactors: 2, heapBytes: 1 << 20 });
  await cluster.until(cluster.bdevs.create('storey', { name: 'disk', homeCore: 0 }));
  const parts = openOn(cluster, 1, 'disk');
  // Of code in no thread: another channel of the same core.
  const bare = { desc: parts.desc, channel: withoutThread(cluster, 1, () => parts.desc.getIoChannel()) };
  const home = openOn(cluster, 0, 'disk');
  const giveBack = [fillHeap(cluster, 0), fillHeap(cluster, 1)];
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  const iovs = vecs(cluster, 256);
  let left = 20;
  const again = (ctx: unknown, status: number): void => {
    cb(ctx, status);
    if (left-- > 0) parts.channel.readv(iovs, 0, again, 'again');
  };
  for (let i = 0; i < 4; i++) parts.channel.readv(iovs, 0, again, 'again');
  for (let i = 0; i < 4; i++) bare.channel.readv(iovs, 0, cb, i);
  for (let i = 0; i < 200 && done.length < 28; i++) cluster.settle();
  assert.equal(done.length, 28);
  assert.ok(done.indexOf('3 0') < 12, `by turns: ${done}`);
  const [wrong, right] = [vecs(cluster, 1), vecs(cluster, 1)];
  for (const { channel } of [parts, bare, home]) {
    for (const ctx of ['l', 'm', 'n']) assert.equal(channel.comparevAndWritev(wrong, right, 0, cb, ctx), 0);
  }
  for (let i = 0; i < 200 && done.length < 37; i++) cluster.settle();
  assert.deepEqual(
    done.slice(28).map((each) => each.slice(1)),
    Array.from({ length: 9 }, () => ' 0'),
  );
  await assert.rejects(cluster.until(parts.desc.quiesce()), /shared heap is full/);
  for (const give of giveBack) give();
  for (const { desc } of [parts, home]) desc.close();
  await cluster.close();
});

test('a heap without room for what is kept refuses the disk, and leaves nothing of it', async () => {
  const cluster = await startCluster({ reactors: 2, heapBytes: 1 << 20 });
  // A slab for locks.
  const { heap } = cluster.reactors[0];
  heap.free(heap.alloc(32, site));
  const giveBack = fillHeap(cluster, 1);
  await assert.rejects(cluster.until(cluster.bdevs.create('storey', { name: 'disk', homeCore: 0 })), {
    code: 'ENOMEM',
    message: /shared heap exhausted on core 1 for "/,
  });
  assert.deepEqual(cluster.bdevs.list(), []);
  giveBack();
  await cluster.close();
});
