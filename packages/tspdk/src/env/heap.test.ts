// The heap's promises: aligned zeroed blocks, one owner, and an error of its own for each way to misuse a pointer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AllocSite } from './alloc-site.ts';
import { SpdkError } from './errors.ts';
import { createHeapMemory, Heap, type Ptr } from './heap.ts';
import { limits } from './limits.ts';
import { struct } from './struct.ts';

const site = new AllocSite('test_block');

function pair(bytes = 8 * limits.heap_slab_bytes): [Heap, Heap, [Ptr, number][]] {
  const memory = createHeapMemory(bytes);
  const a = new Heap(memory, 0);
  const b = new Heap(memory, 1);
  const mail: [Ptr, number][] = [];
  for (const heap of [a, b]) heap.sendHome = (owner, ptr) => mail.push([ptr, owner]);
  return [a, b, mail];
}

const code = (expected: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SpdkError, String(error));
  assert.equal(error.code, expected);
  assert.match(error.message, pattern);
  return true;
};

test('free on another core throws EOWNER and names both places', () => {
  const [a, b] = pair();
  const ptr = a.alloc(40, site);
  assert.throws(
    () => b.free(ptr),
    code(
      'EOWNER',
      /belongs to core 0; allocated by test_block \(.*heap\.test\.js:\d+\), freed by .*heap\.test\.js:\d+/,
    ),
  );
  assert.equal(a.blocks, 1, 'the block is still held by its owner');
  a.free(ptr);
  assert.deepEqual(a.held(), []);
});

test('double free, stray and inner pointers each have their own error', () => {
  const [a, b] = pair();
  const ptr = a.alloc(40, site);
  a.free(ptr);
  assert.throws(() => a.free(ptr), code('EDOUBLEFREE', /already given back/));
  assert.throws(() => a.release(ptr), code('EDOUBLEFREE', /release/));
  const live = a.alloc(40, site);
  assert.throws(() => a.free((live + 16) as Ptr), code('EBADPTR', /inside a block of 64 bytes/));
  assert.throws(() => a.free((live + 64) as Ptr), code('EBADPTR', /never allocated/));
  assert.throws(() => a.free(0 as Ptr), code('EBADPTR', /outside/));
  assert.throws(() => a.free((2 ** 40) as Ptr), code('EBADPTR', /outside/));
  assert.throws(() => a.free(Number.NaN as Ptr), code('EBADPTR', /outside/));
  const far = (live - 16 + 5 * limits.heap_slab_bytes + 16) as Ptr;
  assert.throws(() => b.free(far), code('EBADPTR', /nothing was ever allocated/));
});

test('exhaustion is ENOMEM, sizes out of range are EINVAL, and freed memory serves again', () => {
  const [a] = pair(2 * limits.heap_slab_bytes);
  const big = limits.heap_block_bytes_max - 16;
  const first = a.alloc(big, site);
  a.alloc(big, site);
  assert.throws(() => a.alloc(big, site), code('ENOMEM', /exhausted on core 0 for "test_block": all 2 slabs/));
  a.free(first);
  assert.equal(a.alloc(big, site), first);
  assert.throws(() => a.alloc(big + 1, site), code('EINVAL', /limit 1 to 65520/));
  assert.throws(() => a.alloc(0, site), code('EINVAL', /of 0 bytes/));
});

test('release sends a block home; only one release of two succeeds', () => {
  const [a, b, mail] = pair();
  const ptr = a.alloc(100, site);
  b.release(ptr);
  assert.deepEqual(mail, [[ptr, 0]]);
  assert.throws(() => a.release(ptr), code('EDOUBLEFREE', /release/));
  assert.throws(() => a.free(ptr), code('EDOUBLEFREE', /free/));
  assert.equal(a.held().length, 1, 'not home yet');
  a.receive(ptr);
  assert.equal(a.blocks, 0);
  assert.deepEqual(a.held(), []);
});

test('property: live blocks never overlap, are zeroed, aligned, and all come home', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ core: fc.nat(1), bytes: fc.integer({ min: 1, max: 5000 }), free: fc.boolean(), pick: fc.nat() }),
        { maxLength: 200 },
      ),
      (steps) => {
        const [a, b, mail] = pair(64 * limits.heap_slab_bytes);
        const heaps = [a, b] as const;
        const live: { ptr: Ptr; bytes: number; core: number; mark: number }[] = [];
        let mark = 1;
        for (const step of steps) {
          if (step.free && live.length > 0) {
            const [block] = live.splice(step.pick % live.length, 1) as [(typeof live)[0]];
            const words = heaps[0].i32.subarray(block.ptr >> 2, (block.ptr >> 2) + ((block.bytes + 3) >> 2));
            assert.ok(
              words.every((w) => w === block.mark),
              'nobody else wrote into the block',
            );
            heaps[step.core as 0 | 1].release(block.ptr);
            for (const [ptr, owner] of mail.splice(0)) heaps[owner as 0 | 1].receive(ptr);
            continue;
          }
          const heap = heaps[step.core as 0 | 1];
          const ptr = heap.alloc(step.bytes, site);
          assert.equal(ptr % 16, 0);
          const words = heap.i32.subarray(ptr >> 2, (ptr >> 2) + ((step.bytes + 3) >> 2));
          assert.ok(
            words.every((w) => w === 0),
            'a new block is zeroed',
          );
          words.fill(++mark);
          live.push({ ptr, bytes: step.bytes, core: step.core, mark });
        }
        assert.equal(a.blocks + b.blocks, live.length);
        for (const { ptr, core } of live) heaps[core as 0 | 1].free(ptr);
        assert.deepEqual([...a.held(), ...b.held()], []);
      },
    ),
  );
});

test('struct: fields are aligned, distinct and keep their values', () => {
  const [a] = pair();
  const S = struct('sample', { a: 'u32', b: 'f64', c: 'i32', d: 'ptr' });
  assert.deepEqual([S.a.offset, S.b.offset, S.c.offset, S.d.offset, S.bytes], [0, 8, 16, 20, 24]);
  const ptr = S.allocIn(a, site);
  S.a.set(a, ptr, 0xffffffff);
  S.b.set(a, ptr, 2 ** 53 - 1);
  S.c.set(a, ptr, -7);
  S.d.set(a, ptr, ptr);
  assert.deepEqual(
    [S.a.get(a, ptr), S.b.get(a, ptr), S.c.get(a, ptr), S.d.get(a, ptr)],
    [0xffffffff, 2 ** 53 - 1, -7, ptr],
  );
  a.free(ptr);
});
