// SPDK's iobuf_ut against env/iobuf.ts; the pool's own tests are env/iobuf.test.ts. Names in brackets are those of SPDK's iobuf_ut.
//
// What does not apply: a channel for each module (spdk_iobuf_channel_init): there is one channel a core, modules share it, so "several modules" are
// several waiters; spdk_iobuf_for_each_entry walks one module's waiters, for a bdev that is reset: its I/O cancels its own waiter here
// (cancelWait). [iobuf_priority]: SPDK lets a module keep a reserve with numbered priorities; the kit has one class of waiters, first come first served.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIoBufMemory, type IoBuf, IoBufChannel, type IoBufOptions } from '../env/iobuf.ts';
import { makeSegment } from '../env/segment.ts';

function channelsOf(cores: number, options: IoBufOptions): { channels: IoBufChannel[]; deliver: () => void } {
  const memory = createIoBufMemory(cores, options);
  const mail: (() => void)[] = [];
  const channels: IoBufChannel[] = [];
  for (let index = 0; index < cores; index++) {
    const port = {
      askSpill: (large: boolean) => {
        for (const other of channels) if (other !== channels[index]) mail.push(() => other.spill(large));
      },
      spillLater: (large: boolean) => mail.push(() => channels[index]!.spill(large)),
      tellAvailable: (to: number, large: boolean) => {
        mail.push(() => channels[to]?.serve(large));
      },
    };
    const [small, large] = [makeSegment(1, memory.small.data), makeSegment(2, memory.large.data)];
    channels.push(new IoBufChannel({ memory, index, cores, core: index, small, large, port }));
  }
  const deliver = () => {
    for (let next = mail.shift(); next !== undefined; next = mail.shift()) next();
  };
  return { channels, deliver };
}

/** A waiter that keeps what it gets. */
class Keeper {
  buf: IoBuf | null = null;
  onBuf(buf: IoBuf): void {
    assert.equal(this.buf, null, 'a waiter is called once');
    this.buf = buf;
  }
}

test('[iobuf] small and large waiters do not mix; each is served in order of asking, whoever they are', () => {
  const [channel] = channelsOf(1, { smallCount: 2, largeCount: 2, smallCache: 0, largeCache: 0 }).channels as [
    IoBufChannel,
  ];
  const large = [channel.getLarge(), channel.getLarge()] as IoBuf[];
  const small = [channel.getSmall(), channel.getSmall()] as IoBuf[];
  assert.equal(channel.getLarge(), null);
  assert.equal(channel.getSmall(), null);
  const [l1, l2, s1, s2] = [new Keeper(), new Keeper(), new Keeper(), new Keeper()];
  channel.waitLarge(l1);
  channel.waitLarge(l2);
  channel.waitSmall(s1);
  channel.waitSmall(s2);
  channel.put(large[0] as IoBuf);
  assert.equal(l1.buf, large[0]);
  assert.equal(l2.buf, null);
  channel.put(large[1] as IoBuf);
  assert.equal(l2.buf, large[1]);
  assert.deepEqual([s1.buf, s2.buf], [null, null], 'large buffers change nothing for the small ones');
  channel.put(small[0] as IoBuf);
  channel.put(small[1] as IoBuf);
  assert.deepEqual([s1.buf, s2.buf], small);
  for (const { buf } of [l1, l2, s1, s2]) channel.put(buf as IoBuf);
});

test('[iobuf] a waiter that gives up leaves the queue, first, middle or last', () => {
  for (const out of [0, 1, 2]) {
    const [channel] = channelsOf(1, { smallCount: 1, largeCount: 1 }).channels as [IoBufChannel];
    for (const large of [false, true]) {
      const buf = (large ? channel.getLarge() : channel.getSmall()) as IoBuf;
      const keepers = [new Keeper(), new Keeper(), new Keeper()];
      for (const keeper of keepers) large ? channel.waitLarge(keeper) : channel.waitSmall(keeper);
      channel.cancelWait(keepers[out] as Keeper);
      let next = buf;
      for (const keeper of keepers.filter((_, i) => i !== out)) {
        channel.put(next);
        next = keeper.buf as IoBuf;
        assert.notEqual(next, null);
      }
      assert.equal(keepers[out]?.buf, null);
      channel.put(next);
    }
  }
});

test('[iobuf_cache] a core reuses what it put, and gives its cache up when another core has to wait', () => {
  const { channels, deliver } = channelsOf(2, { smallCount: 8, largeCount: 8, smallCache: 2, largeCache: 2 });
  const [a, b] = channels as [IoBufChannel, IoBufChannel];
  for (const large of [false, true]) {
    const get = (channel: IoBufChannel) => (large ? channel.getLarge() : channel.getSmall());
    const mine = [get(a), get(a)] as IoBuf[];
    for (const buf of mine) a.put(buf);
    const before = large ? a.stats().large.cache : a.stats().small.cache;
    const again = [get(a), get(a)] as IoBuf[];
    assert.deepEqual(new Set(again), new Set(mine), 'both come from the cache of this core');
    assert.equal((large ? a.stats().large.cache : a.stats().small.cache) - before, 2);
    for (const buf of again) a.put(buf);

    const theirs: IoBuf[] = [];
    for (let buf = get(b); buf !== null; buf = get(b)) theirs.push(buf);
    assert.equal(theirs.length, 6, 'two lie in the cache of the other core');
    const keeper: { buf: IoBuf | null; onBuf(buf: IoBuf): void } = new Keeper();
    large ? b.waitLarge(keeper) : b.waitSmall(keeper);
    const early = keeper.buf;
    deliver();
    assert.equal(early, null);
    assert.ok(keeper.buf);
    for (const buf of [...theirs, keeper.buf]) b.put(buf);
  }
});
