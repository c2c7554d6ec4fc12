// I/O buffers: aligned, distinct, first come first served, and no waiter forgotten when the buffers are on another core.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createIoBufMemory, heldIoBufs, type IoBuf, IoBufChannel, type IoBufOptions } from './iobuf.ts';
import { makeSegment } from './segment.ts';
import { SharedRing, sharedRingBytes } from './shared-ring.ts';

function pools(
  options: IoBufOptions,
  cores = 2,
): { channels: IoBufChannel[]; run: () => void; memory: ReturnType<typeof createIoBufMemory> } {
  const memory = createIoBufMemory(cores, options);
  const mail: (() => void)[] = [];
  const channels: IoBufChannel[] = [];
  for (let index = 0; index < cores; index++) {
    const port = {
      askSpill: (large: boolean) => {
        for (const other of channels) if (other !== channels[index]) mail.push(() => other.spill(large));
      },
      spillLater: (large: boolean) => mail.push(() => channels[index]?.spill(large)),
      tellAvailable: (to: number, large: boolean) => mail.push(() => channels[to]?.serve(large)),
    };
    channels.push(
      new IoBufChannel({
        memory,
        index,
        cores,
        core: index,
        small: makeSegment(1, memory.small.data),
        large: makeSegment(2, memory.large.data),
        port,
      }),
    );
  }
  return {
    channels,
    memory,
    run: () => {
      for (let m = mail.shift(); m !== undefined; m = mail.shift()) m();
    },
  };
}

const sizes = { smallCount: 4, largeCount: 2, smallCache: 2, largeCache: 1 };

test('iobuf: buffers are page-aligned, distinct and inside their segment', () => {
  const {
    channels: [a],
  } = pools(sizes, 1);
  const bufs = [a!.getSmall()!, a!.getSmall()!, a!.getLarge()!];
  for (const buf of bufs) {
    assert.equal((buf.segment.address + buf.offset) % 4096, 0);
    assert.ok(buf.offset + buf.sizeBytes <= buf.segment.sizeBytes);
  }
  assert.notEqual(bufs[0]!.offset, bufs[1]!.offset);
  assert.deepEqual([bufs[0]!.sizeBytes, bufs[2]!.sizeBytes], [8192, 132 * 1024]);
  for (const buf of bufs) a!.put(buf);
});

test('iobuf: out of buffers means wait, in order of arrival; a newcomer does not overtake', () => {
  const {
    channels: [a],
  } = pools({ ...sizes, smallCount: 1 }, 1);
  const buf = a!.getSmall()!;
  assert.equal(a!.getSmall(), null);
  const order: string[] = [];
  let held: IoBuf | null = null;
  const waiter = (name: string) => ({
    onBuf(got: IoBuf) {
      order.push(name);
      held = got;
      assert.equal(a!.getSmall(), null);
    },
  });
  const second = waiter('second');
  a!.waitSmall(waiter('first'));
  a!.waitSmall(second);
  a!.waitSmall(waiter('third'));
  assert.equal(a!.cancelWait(second), true);
  assert.equal(a!.cancelWait(second), false);
  a!.put(buf);
  assert.deepEqual(order, ['first']);
  a!.put(held!);
  assert.deepEqual(order, ['first', 'third']);
  a!.put(held!);
  assert.notEqual(a!.getSmall(), null);
  assert.equal(a!.stats().small.retry, 3);
});

test('iobuf: a second put is EDOUBLEFREE, what is out is named at the end', () => {
  const {
    channels: [a, b],
    memory,
  } = pools(sizes);
  const buf = a!.getLarge()!;
  assert.deepEqual(heldIoBufs(memory), [{ core: 0, kind: 'large', count: 1 }]);
  b!.put(buf);
  assert.throws(() => a!.put(buf), { code: 'EDOUBLEFREE', message: /large I\/O buffer \d+ put on core 0/ });
  assert.deepEqual(heldIoBufs(memory), []);
});

test('iobuf: the reserve has one buffer a rank and core, and only that rank waits for it', () => {
  const {
    channels: [a, b],
    memory,
  } = pools({ ...sizes, largeCount: 1 });
  const more = makeSegment(3, new SharedArrayBuffer(12 * 132 * 1024 + 4096));
  const from = (4096 - (more.address % 4096)) % 4096;
  a!.addReserve(more, from, 3);
  a!.addReserve(more, from + 3 * 132 * 1024, 3);
  b!.addReserve(more, from + 6 * 132 * 1024, 6);
  const [pooled, mine, theirs] = [a!.getLargeOf(3)!, a!.getLargeOf(3)!, b!.getLargeOf(3)!];
  assert.equal(a!.getLarge(), null);
  assert.equal(a!.getLargeOf(3), null);
  assert.equal(new Set([pooled, mine, theirs].map(({ segment, offset }) => `${segment.id} ${offset}`)).size, 3);
  for (const { segment, offset, sizeBytes } of [pooled, mine, theirs]) {
    assert.ok(offset + sizeBytes <= segment.sizeBytes && (segment.address + offset) % 4096 === 0);
  }
  const order: string[] = [];
  const got: IoBuf[] = [];
  const waiter = (name: string, bufRank?: number) => ({
    ...(bufRank === undefined ? {} : { bufRank }),
    onBuf(buf: IoBuf) {
      order.push(name);
      got.push(buf);
    },
  });
  a!.waitLarge(waiter('user'));
  a!.waitLarge(waiter('rank 4', 4));
  a!.waitLarge(waiter('rank 3', 3));
  a!.waitLarge(waiter('rank 3 again', 3));
  const other = a!.getLargeOf(5)!;
  a!.put(other);
  assert.deepEqual(order, []);
  a!.put(mine);
  assert.deepEqual(order, ['rank 3'], 'wherever it stands in the queue');
  a!.put(pooled);
  assert.deepEqual(order, ['rank 3', 'user']);
  a!.put(got[0]!);
  assert.deepEqual(order, ['rank 3', 'user', 'rank 3 again']);
  a!.put(got[1]!);
  assert.deepEqual(order.slice(3), ['rank 4'], 'from the pool');
  for (const buf of [theirs, got[2]!]) (buf === theirs ? b! : a!).put(buf);
  a!.put(got[3]!);
  assert.throws(() => a!.put(mine), { code: 'EDOUBLEFREE' });
  assert.deepEqual(heldIoBufs(memory), []);
  assert.notEqual(b!.getLarge(), null, 'what is in the reserve is not in the pool, and the pool is whole');
  assert.equal(b!.getLarge(), null);
  assert.equal(a!.getLargeOf(6), null, 'there is none');
  assert.notEqual(a!.getLargeOf(0), null);
  assert.deepEqual([a!.dropReserve(), a!.dropReserve(), b!.dropReserve()], [1, 0, 0]);
});

test('iobuf_cache: a waiter gets a buffer that lies in another core’s cache', () => {
  const {
    channels: [a, b],
    run,
  } = pools({ ...sizes, smallCount: 4 });
  const mine = [a!.getSmall()!, a!.getSmall()!, a!.getSmall()!, a!.getSmall()!];
  b!.put(mine[0]!);
  assert.equal(b!.stats().small.main, 0, 'it lies in the cache of b');
  let got = 0;
  a!.waitSmall({
    onBuf: () => {
      got++;
    },
  });
  run();
  assert.equal(got, 1);
});

test('property: every buffer is held by at most one; every waiter is served once all come back', () => {
  const step = fc.record({ core: fc.nat(2), op: fc.constantFrom('get', 'wait', 'put', 'run'), pick: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const { channels, run, memory } = pools({ smallCount: 6, smallCache: 2, largeCount: 1 }, 3);
      const held: IoBuf[] = [];
      let waiting = 0;
      const take = (buf: IoBuf) => {
        assert.ok(
          held.every((other) => other.index !== buf.index),
          'nobody else holds it',
        );
        held.push(buf);
      };
      for (const { core, op, pick } of steps) {
        const channel = channels[core]!;
        if (op === 'run') run();
        else if (op === 'put' && held.length > 0) channel.put(held.splice(pick % held.length, 1)[0]!);
        else if (op === 'get') {
          const buf = channel.getSmall();
          if (buf !== null) take(buf);
        } else if (op === 'wait') {
          waiting++;
          channel.waitSmall({
            onBuf: (buf) => {
              waiting--;
              take(buf);
            },
          });
        }
      }
      for (run(); held.length > 0; run()) channels[0]!.put(held.pop()!);
      assert.equal(waiting, 0);
      assert.deepEqual(heldIoBufs(memory), []);
    }),
  );
});

test('shared ring: full and empty are seen, values come in order through index wrap', () => {
  const buffer = new SharedArrayBuffer(sharedRingBytes(4));
  const ring = new SharedRing(buffer, 4, true);
  const other = new SharedRing(buffer, 4, false);
  for (let lap = 0; lap < 10; lap++) {
    for (let i = 0; i < 4; i++) assert.equal(ring.push(lap * 4 + i), true);
    assert.equal(other.push(99), false);
    for (let i = 0; i < 4; i++) assert.equal(other.take(), lap * 4 + i);
    assert.equal(ring.take(), -1);
  }
});
