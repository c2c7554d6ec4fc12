/** What the tests of `defineDisk` start from: disks over this process's memory. */
import type { Cluster } from '../../../bdev/cluster.sim.ts';
import { type DiskDefinition, defineDisk } from './define-disk.ts';
import './disk-bdev.ts';

/** A disk over `memory` whose functions take a while, so that several are under way. */
export function slowDisk(memory: Uint8Array, extra: Partial<DiskDefinition> = {}): DiskDefinition {
  const later = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    size: memory.length,
    async read(offset, buffer) {
      if (offset % 1024 === 0) await later();
      buffer.set(memory.subarray(offset, offset + buffer.length));
    },
    async write(offset, buffer) {
      await later();
      memory.set(buffer, offset);
    },
    ...extra,
  };
}

/** A disk D of `definition`. */
export const inMemory = (cluster: Cluster, definition: DiskDefinition, params: object = {}) =>
  cluster.until(cluster.bdevs.create('disk', { name: 'D', disk: defineDisk(definition), ...params }));
