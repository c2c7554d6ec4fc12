// Test data that cannot come out right by accident: every block differs, all of it follows from a seed, and parts are zero, as on real disks.

import { createCipheriv } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';

const chunkBytes = 1 << 20;

/** Fills a new file with `sizeBytes` of data that follow from `seed`; of every 8 MiB the last one is zero. */
export function writePattern(path: string, sizeBytes: number, seed: number): void {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(chunkBytes);
  const fd = openSync(path, 'wx');
  try {
    for (let offset = 0; offset < sizeBytes; offset += chunkBytes) {
      const chunk = (offset / chunkBytes) % 8 === 7 ? zeros : cipher.update(zeros);
      writeSync(fd, chunk, 0, Math.min(chunkBytes, sizeBytes - offset), offset);
    }
  } finally {
    closeSync(fd);
  }
}
