// Driver: numbered events cross both ways through small rings that overflow.
import assert from 'node:assert/strict';
import { kitOf, until } from './two.mjs';

const kit = kitOf(import.meta.url);
const { Inbox, Outbox, functionOf, mailboxBytes } = await kit('env/mailbox.js');
const capacity = 8;
const events = 300;

export const make = () => new SharedArrayBuffer(2 * mailboxBytes(capacity));

export const run = (core, buffer) => {
  const out = new Outbox(buffer, core * mailboxBytes(capacity), capacity, 'driver');
  const inbox = new Inbox(buffer, (1 - core) * mailboxBytes(capacity), capacity);
  let sent = 0;
  let got = 0;
  until(() => {
    for (let n = 0; n < 3 && sent < events; n++, sent++) out.push(sent & 0xfff, sent, -sent, 7);
    out.publish();
    const count = inbox.available();
    for (let i = 0; i < count; i++, got++) {
      const at = inbox.slots + (((inbox.head + i) & inbox.mask) << 2);
      const { i32 } = inbox;
      assert.deepEqual([functionOf(i32[at]), i32[at + 1], i32[at + 2], i32[at + 3]], [got & 0xfff, got, -got | 0, 7]);
    }
    inbox.advance(count);
    return got === events && out.waiting === 0;
  });
};
