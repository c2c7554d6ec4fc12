/** Each kind of disk on real reactors: two threads, their own rings, an orderly end with nothing left. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bdevRegistry } from '../../bdev/index.ts';
import { App } from '../../event/index.ts';
import { bdevSubsystem } from './index.ts';
import { fixtureUrl, writeAndRead } from './real-reactors.fixture.ts';

const dir = mkdtempSync(join(tmpdir(), 'tspdk-bdev-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const filename = join(dir, 'disk');
writeFileSync(filename, '');
truncateSync(filename, 1024 * 1024);
const module = join(dir, 'disk.mjs');
writeFileSync(
  module,
  `import { defineDisk } from ${JSON.stringify(new URL('./disk/define-disk.js', import.meta.url).href)};
   const memory = new Uint8Array(1024 * 1024);
   export default defineDisk({
     size: memory.length,
     async read(offset, buffer) { buffer.set(memory.subarray(offset, offset + buffer.length)); },
     async write(offset, buffer) { memory.set(buffer, offset); },
   });`,
);

for (const [kind, params] of [
  ['malloc', { block_size: 4096, num_blocks: 256 }],
  ['aio', { filename }],
  ['disk', { module }],
] as const) {
  test(`a ${kind} disk serves both cores at once, and nothing is left at the end`, async () => {
    const options = { cores: [0, 1], pin: false, signals: false, modules: [fixtureUrl], subsystems: [bdevSubsystem] };
    const rc = await App.start(options, async (app) => {
      const bdev = await bdevRegistry(app.reactor).create(kind, { name: 'D', ...params });
      const bytes = 65536;
      const segment = await app.shareSegment(4 * bytes);
      for (let round = 0; round < 3; round++) {
        const wrong = await Promise.all(
          app.cores.map((core, i) =>
            app.call(core, writeAndRead, {
              name: bdev.name,
              segment: segment.id,
              at: i * 2 * bytes,
              bytes,
              value: 10 * round + i + 1,
            }),
          ),
        );
        assert.deepEqual(wrong, [0, 0]);
      }
      const [{ stat }] = await bdevRegistry(app.reactor).stat(['D']);
      assert.equal(stat.toJson().num_write_ops, 6);
      await app.dropSegment(segment);
      app.stop(0);
    });
    assert.equal(rc, 0, 'a leak would make it 1');
  });
}
