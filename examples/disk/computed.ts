// A disk that is computed: nobody has stored it, and it is a terabyte. Each block of 512 bytes begins with its own number as text.
//
//     npm run example -- disk/computed
//     nbdsh -u nbd://127.0.0.1:10809/disk -c 'print(h.pread(512, 512 * 1000000)[:20])'
import { defineDisk } from 'tspdk';

const BLOCK = 512;
const text = new TextEncoder();

export default defineDisk({
  size: 2 ** 40,
  // No promise where nothing is waited for.
  read(offset, buffer) {
    buffer.fill(0);
    for (let at = 0; at < buffer.length; at += BLOCK) {
      const label = text.encode(`block ${(offset + at) / BLOCK}\n`);
      buffer.set(label, at);
    }
  },
});
