// A disk of one's own, the smallest useful one: 16 MiB that live in a Uint8Array.
//
//     npx tspdk serve examples/dist/disk/ram.js
//
// Swap the array for anything that can keep bytes: a database, an object store, a formula.
import { defineDisk } from 'tspdk';

const memory = new Uint8Array(16 * 1024 * 1024);

export default defineDisk({
  size: memory.length,
  async read(offset, buffer) {
    buffer.set(memory.subarray(offset, offset + buffer.length));
  },
  async write(offset, buffer) {
    memory.set(buffer, offset);
  },
});
