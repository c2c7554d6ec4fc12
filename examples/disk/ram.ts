// A disk of one's own, the smallest useful one: 16 MiB that live in a Uint8Array.
//
//     npm run example -- disk/ram
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
