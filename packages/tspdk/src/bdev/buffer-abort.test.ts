/** What the layer carries out by way of a buffer: an abort, or a reset, of one that waits for a buffer ends it at once (SPDK: bdev_io_iobuf_wait_abort). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IoBuf } from '../env/iobuf.ts';
import { IoVecs } from '../env/iovecs.ts';
import type { BdevChannel } from './channel.ts';
import { BdevDesc } from './desc.ts';
import { lockRange } from './lba-lock.ts';
import { setUp, takeLargeBuffers } from './stub-setup.sim.ts';

const BLOCK = 512;
type Submit = (channel: BdevChannel, iovs: IoVecs, cb: (ctx: unknown, status: number) => void, ctx: string) => number;

const kinds: [string, Submit][] = [
  ['compare', (channel, iovs, cb, ctx) => channel.comparev(iovs, 0, cb, ctx)],
  ['compare-and-write', (channel, iovs, cb, ctx) => channel.comparevAndWritev(iovs, iovs, 0, cb, ctx)],
  ['copy', (channel, _, cb, ctx) => channel.copy(0, BLOCK, BLOCK, cb, ctx)],
  ['write of hidden metadata', (channel, iovs, cb, ctx) => channel.writev(iovs, 0, cb, ctx)],
];

async function start(kind: string) {
  const hidden = kind === 'write of hidden metadata';
  const one = await setUp(
    hidden
      ? {
          blockSizeBytes: BLOCK + 8,
          metadata: { bytes: 8, interleaved: true, difType: 0, difIsHeadOfMd: false, difFlags: 0 },
        }
      : {},
  );
  const { cluster } = one;
  const desc = hidden
    ? cluster.on(0, () => BdevDesc.open('S', { write: true, hideMetadata: true, onEvent: () => {} }))
    : one.desc;
  const channel = hidden ? cluster.on(0, () => desc.getIoChannel()) : one.channel;
  const iovs = new IoVecs(1);
  iovs.push(one.buf, 0, BLOCK);
  const { iobuf } = cluster.reactors[0];
  const takeAll = (): IoBuf[] => {
    const all = takeLargeBuffers(iobuf);
    for (let buf = iobuf.getSmall(); buf !== null; buf = iobuf.getSmall()) all.push(buf);
    return all;
  };
  const taken = takeAll();
  const { length } = taken;
  const settle = (): void => cluster.settle();
  /** There are buffers again. */
  const give = (): void => {
    for (const buf of taken.splice(0)) iobuf.put(buf);
  };
  /** There are: nobody takes one, and the range is not locked. */
  const end = async (): Promise<void> => {
    give();
    const again = takeAll();
    assert.equal(again.length, length);
    for (const buf of again) iobuf.put(buf);
    let held = false;
    const lock = lockRange(desc.bdev, 0, BLOCK, false, () => {
      held = true;
    });
    settle();
    assert.equal(held, true);
    lock.release();
    settle();
    if (hidden) desc.close();
    await one.tearDown();
  };
  return { ...one, channel, iovs, settle, give, end };
}

for (const [kind, submit] of kinds) {
  test(`bdev_io_iobuf_wait_abort: a ${kind} that waits for a buffer ends at once, and the others keep their places`, async () => {
    const { channel, iovs, stub, done, cb, settle, end } = await start(kind);
    for (const ctx of ['first', 'second']) assert.equal(submit(channel, iovs, cb, ctx), 0);
    settle();
    assert.deepEqual([done, stub.outstanding.length], [[], 0]);
    assert.equal(channel.abort('second'), 1);
    settle();
    assert.deepEqual(done, ['second -125']);
    assert.equal(channel.abort('first'), 1);
    settle();
    assert.deepEqual(done.toSorted(), ['first -125', 'second -125']);
    assert.equal(stub.outstanding.length, 0);
    await end();
  });

  test(`an abort of a ${kind} that has waited for its buffer ends once, when what is under way there has ended`, async () => {
    const { cluster, channel, iovs, stub, done, cb, settle, end, give } = await start(kind);
    assert.equal(submit(channel, iovs, cb, 'w'), 0);
    settle();
    give();
    await cluster.untilTrue(() => stub.outstanding.length === 1);
    stub.abortable = false;
    assert.equal(channel.abort('w'), 1);
    settle();
    assert.deepEqual([done, stub.outstanding.length], [[], 1]);
    stub.complete(1);
    settle();
    assert.deepEqual([done, stub.outstanding.length], [['w -125'], 0]);
    await end();
  });

  test(`a reset is not held up by a ${kind} that waits for a buffer`, async () => {
    const { channel, iovs, stub, done, cb, settle, end } = await start(kind);
    assert.equal(submit(channel, iovs, cb, 'waits'), 0);
    settle();
    channel.reset(cb, 'reset');
    settle();
    assert.deepEqual(done, ['waits -125', 'reset 0']);
    assert.equal(stub.outstanding.length, 0);
    await end();
  });
}
