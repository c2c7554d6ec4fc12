// The mailbox's promises: every event once and in order, whatever the interleaving, the capacity and the moment of publishing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { functionOf, Inbox, mailboxBytes, Outbox } from './mailbox.ts';

/** Takes up to `most` events, four words each. */
function take(inbox: Inbox, most: number): number[][] {
  const taken = Array.from({ length: Math.min(inbox.available(), most) }, (_, i) => {
    const at = inbox.slots + (((inbox.head + i) & inbox.mask) << 2);
    return [functionOf(inbox.i32[at]), ...inbox.i32.subarray(at + 1, at + 4)];
  });
  inbox.advance(taken.length);
  return taken;
}

test('property: events arrive once, in order, through any interleaving of push, publish and take', () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant('push'), n: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ op: fc.constant('publish'), n: fc.constant(0) }),
    fc.record({ op: fc.constant('take'), n: fc.integer({ min: 1, max: 20 }) }),
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.constantFrom(2, 4, 8, 128),
      fc.constantFrom(1, 3, 64),
      fc.constantFrom(0, -3, 2 ** 31 - 5),
      (steps, capacity, most, start) => {
        const buffer = new SharedArrayBuffer(mailboxBytes(capacity));
        const words = new Int32Array(buffer);
        // Start near the wrap of the 32-bit indices.
        words[0] = start;
        const out = new Outbox(buffer, 0, capacity, 'test');
        const inbox = new Inbox(buffer, 0, capacity);
        const got: number[][] = [];
        let sent = 0;
        for (const { op, n } of steps) {
          if (op === 'push') for (let i = 0; i < n; i++) out.push(sent & 0xfff, ~sent, 7, sent++ * 3);
          else if (op === 'take') got.push(...take(inbox, most));
          else out.publish();
          assert.ok(got.length <= sent - out.waiting, 'nothing that waits is seen');
        }
        while (got.length < sent) {
          out.publish();
          got.push(...take(inbox, most));
        }
        assert.deepEqual(
          got,
          Array.from({ length: sent }, (_, i) => [i & 0xfff, ~i, 7, i * 3]),
        );
        assert.equal(out.waiting, 0);
      },
    ),
  );
});

test('two threads: a million events cross in order through a ring of eight', async () => {
  const buffer = new SharedArrayBuffer(mailboxBytes(8));
  const count = 1_000_000;
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.url).then(({ Outbox }) => {
      const out = new Outbox(workerData.buffer, 0, 8, 'test');
      for (let i = 0; i < ${count}; i++) { out.push(i & 0xfff, i ^ 0x5555, i, -i); if (i % 5 === 0) out.publish(); while (out.waiting > 100) out.publish(); }
      while (out.publish() || out.waiting > 0);
      parentPort.postMessage('done');
    });`;
  const worker = new Worker(code, {
    eval: true,
    workerData: { buffer, url: new URL('./mailbox.js', import.meta.url).href },
  });
  const inbox = new Inbox(buffer, 0, 8);
  let next = 0;
  while (next < count) {
    for (const [w0, w1, w2, w3] of take(inbox, 64)) {
      if (w0 !== (next & 0xfff) || w1 !== (next ^ 0x5555) || w2 !== next || w3 !== (-next | 0)) {
        assert.fail(`event ${next} arrived as ${[w0, w1, w2, w3]}`);
      }
      next++;
    }
  }
  assert.equal(next, count);
  await worker.terminate();
});
