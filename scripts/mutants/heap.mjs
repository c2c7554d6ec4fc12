// Driver: blocks of many sizes travel between two cores by mailbox; some are released from afar, some come back and are freed at home. First both look at
// pointers that lead nowhere. Blocks of a third core are released by both at once, and one of the two has to be refused.
import assert from 'node:assert/strict';
import { kitOf, meeting, until } from './two.mjs';

const kit = kitOf(import.meta.url);
const { createHeapMemory, Heap } = await kit('env/heap.js');
const { AllocSite, adoptAllocSiteTable, allocSiteTable } = await kit('env/alloc-site.js');
const { limits } = await kit('env/limits.js');
const { Inbox, Outbox, functionOf, mailboxBytes } = await kit('env/mailbox.js');
const site = new AllocSite('driver');
const capacity = 64;
const blocks = 120;
const slabs = 16;
/** A core that has blocks and no thread. */
const absent = 2;
const contested = 8;
const [HOME, LOOK, BACK, DONE] = [1, 2, 3, 4];

export const make = () => {
  const memory = createHeapMemory(slabs * limits.heap_slab_bytes);
  const heap = new Heap(memory, absent);
  return {
    memory,
    boxes: new SharedArrayBuffer(2 * mailboxBytes(capacity)),
    sites: allocSiteTable(),
    contested: Array.from({ length: contested }, () => heap.alloc(8, site)),
    sent: new SharedArrayBuffer(contested * 4),
    gate: new SharedArrayBuffer(4),
  };
};

/** Both release the same blocks: each goes home once, and who comes second is told. Their core is not there to take them back. */
function releaseAtOnce(heap, { contested: blocks, sent, gate }) {
  const times = new Int32Array(sent);
  const meet = meeting(gate);
  heap.sendHome = (owner, ptr) => {
    assert.equal(owner, absent);
    Atomics.add(times, blocks.indexOf(ptr), 1);
  };
  for (const ptr of blocks) {
    meet();
    try {
      heap.release(ptr);
    } catch (error) {
      assert.equal(error.code, 'EDOUBLEFREE');
    }
  }
  meet();
  for (let i = 0; i < blocks.length; i++) assert.equal(Atomics.load(times, i), 1);
}

/** One pointer into each slab, to no block. Some slabs are nobody's yet, and the other core is about to take them. */
function lookAstray(heap, first) {
  for (let slab = 0; slab < slabs; slab++) {
    assert.throws(() => heap.ownerOf(first + slab * limits.heap_slab_bytes + 8), { code: 'EBADPTR' });
  }
}

export const run = (core, shared) => {
  const { memory, boxes, sites } = shared;
  adoptAllocSiteTable(sites);
  const heap = new Heap(memory, core);
  releaseAtOnce(heap, shared);
  lookAstray(heap, shared.contested[0]);
  const out = new Outbox(boxes, core * mailboxBytes(capacity), capacity, 'driver');
  const inbox = new Inbox(boxes, (1 - core) * mailboxBytes(capacity), capacity);
  heap.sendHome = (owner, ptr) => {
    assert.equal(owner, 1 - core);
    out.push(HOME, ptr, 0, 0);
  };
  const handlers = {
    [HOME]: (ptr) => heap.receive(ptr),
    [LOOK]: (ptr, n) => {
      assert.equal(heap.i32[ptr >> 2], n);
      assert.equal(heap.ownerOf(ptr), 1 - core);
      heap.i32[(ptr >> 2) + 1] = n;
      if (n % 3 === 0) out.push(BACK, ptr, n, 0);
      else heap.release(ptr);
    },
    [BACK]: (ptr, n) => {
      assert.equal(heap.i32[(ptr >> 2) + 1], n);
      if (n % 2 === 0) heap.free(ptr);
      else heap.release(ptr);
    },
    [DONE]: () => {
      done = true;
    },
  };
  let done = false;
  let said = false;
  let n = 0;
  until(() => {
    if (n < blocks) {
      const ptr = heap.alloc(16 << (n % 6), site);
      heap.i32[ptr >> 2] = n;
      out.push(LOOK, ptr, n++, 0);
    } else if (heap.blocks === 0 && !said) {
      out.push(DONE, 0, 0, 0);
      said = true;
    }
    out.publish();
    const count = inbox.available();
    for (let i = 0; i < count; i++) {
      const at = inbox.slots + (((inbox.head + i) & inbox.mask) << 2);
      const { i32 } = inbox;
      handlers[functionOf(i32[at])](i32[at + 1], i32[at + 2]);
    }
    inbox.advance(count);
    return said && done && out.waiting === 0;
  });
  assert.deepEqual(heap.held(), []);
  // The last slabs are fought for, until there are none.
  assert.throws(() => {
    for (;;) heap.alloc(60_000, site);
  }, /exhausted/);
};
