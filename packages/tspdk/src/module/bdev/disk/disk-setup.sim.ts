/** What the tests of users' disks start from: disks over this process's memory, and files with modules. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
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

const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
const imports = `
  import { defineBdevModule, forwardIo, forwardReset } from ${here('./define-bdev-module.js')};
  import { BaseBdev, openBase, shareSegment, dropSegment, IO_READ, IO_UNMAP } from ${here('../../../bdev/index.js')};
  import { copyBytes } from ${here('../../../env/segment.js')};`;

/** Makes files that hold a module, in a folder that goes with the tests; `body` is the text of its definition. */
export function moduleFolder(): (name: string, body: string) => string {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-module-'));
  after(() => rmSync(dir, { recursive: true, force: true }));
  return (name, body) => {
    const path = join(dir, name);
    writeFileSync(path, `${imports}\nlet attached = 0;\nexport default defineBdevModule({ ${body} });`);
    return path;
  };
}
