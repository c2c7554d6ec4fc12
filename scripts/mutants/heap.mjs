// Driver: blocks of many sizes travel between two cores by mailbox; some are released from afar, some come back and are freed at home.
import assert from 'node:assert/strict';
import { kitOf, until } from './two.mjs';

const kit = kitOf(import.meta.url);
const { createHeapMemory, Heap } = await kit('env/heap.js');
const { AllocSite, adoptAllocSiteTable, allocSiteTable } = await kit('env/alloc-site.js');
const { Inbox, Outbox, functionOf, mailboxBytes } = await kit('env/mailbox.js');
const site = new AllocSite('driver');
const capacity = 64;
const blocks = 120;
const [HOME, LOOK, BACK, DONE] = [1, 2, 3, 4];

export const make = () => ({
  memory: createHeapMemory(64 * 1024 * 16),
  boxes: new SharedArrayBuffer(2 * mailboxBytes(capacity)),
  sites: allocSiteTable(),
});

export const run = (core, { memory, boxes, sites }) => {
  adoptAllocSiteTable(sites);
  const heap = new Heap(memory, core);
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
