// Driver: tickets go round through a ring; whoever has one may write the words that belong to it.
import assert from 'node:assert/strict';
import { kitOf, until } from './two.mjs';

const kit = kitOf(import.meta.url);
const { SharedRing, sharedRingBytes } = await kit('env/shared-ring.js');
const tickets = 3;

export const make = () => {
  const ring = new SharedArrayBuffer(sharedRingBytes(4));
  const filled = new SharedRing(ring, 4, true);
  for (let i = 0; i < tickets; i++) assert(filled.push(i));
  return { ring, words: new SharedArrayBuffer(tickets * 4) };
};

export const run = (_core, { ring: buffer, words }) => {
  const ring = new SharedRing(buffer, 4, false);
  const uses = new Int32Array(words);
  for (let n = 0; n < 200; n++) {
    let ticket = -1;
    until(() => {
      ticket = ring.take();
      return ticket >= 0;
    });
    assert(ticket < tickets);
    uses[ticket]++;
    until(() => ring.push(ticket));
  }
};
