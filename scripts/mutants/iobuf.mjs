// Driver: two cores want more I/O buffers than there are, write them, hand some on, and wait for each other's, or think better of it. First both give back the same
// buffers at once, and one of the two has to be refused.
import assert from 'node:assert/strict';
import { kitOf, meeting, until } from './two.mjs';

const kit = kitOf(import.meta.url);
const { createIoBufMemory, IoBufChannel } = await kit('env/iobuf.js');
const { makeSegment } = await kit('env/segment.js');
const { Inbox, Outbox, functionOf, mailboxBytes } = await kit('env/mailbox.js');
const capacity = 64;
const rounds = 60;
const [SPILL, SERVE, PASS, DONE] = [1, 2, 3, 4];
const sizes = { smallCount: 4, largeCount: 2, smallBytes: 4096, largeBytes: 8192, smallCache: 1, largeCache: 1 };

export const make = () => ({
  memory: createIoBufMemory(2, sizes),
  boxes: new SharedArrayBuffer(2 * mailboxBytes(capacity)),
  words: new SharedArrayBuffer(8),
  gate: new SharedArrayBuffer(4),
});

function putAtOnce(channel, core, bufOf, { words, gate }) {
  const meet = meeting(gate);
  const [INDEX, PUTS] = [0, 1];
  const both = new Int32Array(words);
  for (let n = 1; n <= 6; n++) {
    if (core === 0) Atomics.store(both, INDEX, channel.getSmall().index);
    meet();
    const buf = bufOf(Atomics.load(both, INDEX), false);
    try {
      channel.put(buf);
      Atomics.add(both, PUTS, 1);
    } catch (error) {
      assert.equal(error.code, 'EDOUBLEFREE');
    }
    meet();
    assert.equal(Atomics.load(both, PUTS), n);
  }
}

export const run = (core, shared) => {
  const { memory, boxes } = shared;
  const out = new Outbox(boxes, core * mailboxBytes(capacity), capacity, 'driver');
  const inbox = new Inbox(boxes, (1 - core) * mailboxBytes(capacity), capacity);
  const small = makeSegment(1, memory.small.data);
  const large = makeSegment(2, memory.large.data);
  let later = false;
  const port = {
    askSpill: (isLarge) => out.push(SPILL, Number(isLarge), 0, 0),
    spillLater: () => {
      later = true;
    },
    tellAvailable: (to, isLarge) => {
      if (to === core) channel.serve(isLarge);
      else out.push(SERVE, Number(isLarge), 0, 0);
    },
  };
  const channel = new IoBufChannel({ memory, index: core, cores: 2, core, small, large, port });
  const bufOf = (index, isLarge) => {
    const segment = isLarge ? large : small;
    const sizeBytes = isLarge ? 8192 : 4096;
    const base = (4096 - (segment.address % 4096)) % 4096;
    return { segment, offset: base + index * sizeBytes, sizeBytes, index, large: isLarge };
  };
  putAtOnce(channel, core, bufOf, shared);
  const held = [];
  let waiting = 0;
  const use = (buf) => {
    const { u8 } = buf.segment;
    u8[buf.offset]++;
    u8[buf.offset + 4095]++;
    held.push(buf);
  };
  const waiter = () => ({
    onBuf: (buf) => {
      waiting--;
      use(buf);
    },
  });
  const handlers = {
    [SPILL]: (isLarge) => channel.spill(isLarge === 1),
    [SERVE]: (isLarge) => channel.serve(isLarge === 1),
    [PASS]: (index, isLarge) => use(bufOf(index, isLarge === 1)),
    [DONE]: () => {
      done = true;
    },
  };
  let done = false;
  let said = false;
  let n = 0;
  until(() => {
    if (later) {
      later = false;
      channel.spill(false);
      channel.spill(true);
    }
    if (n < rounds && waiting === 0) {
      const isLarge = n % 3 === 0;
      const buf = isLarge ? channel.getLarge() : channel.getSmall();
      if (buf !== null) use(buf);
      else {
        waiting++;
        const own = waiter();
        if (isLarge) channel.waitLarge(own);
        else channel.waitSmall(own);
        if (n % 5 === 0 && channel.cancelWait(own)) waiting--;
      }
      if (waiting > 0 && n % 7 === 0) {
        const other = waiter();
        channel.waitSmall(other);
        if (!channel.cancelWait(other)) waiting++;
      }
      n++;
    }
    if (held.length > 2 || waiting > 0 || n === rounds) {
      const buf = held.shift();
      if (buf !== undefined && n % 4 === 0 && n < rounds && waiting === 0)
        out.push(PASS, buf.index, Number(buf.large), 0);
      else if (buf !== undefined) channel.put(buf);
    }
    if (n === rounds && waiting === 0 && held.length === 0 && !said) {
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
    return said && done && held.length === 0 && out.waiting === 0;
  });
};
