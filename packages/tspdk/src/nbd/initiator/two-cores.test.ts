// An export of the kit's own target as a disk, from both cores at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BdevDesc, bdevRegistry } from '../../bdev/index.ts';
import { readBytes } from '../../bdev/read-bytes.ts';
import { fixtureUrl, writeAndRead } from '../../module/bdev/real-reactors.fixture.ts';
import { withTarget } from '../target-fixture.sim.ts';
import { create } from './remote.sim.ts';

test('both cores write and read an export of the kit’s own target, and its disk holds what they wrote', async () => {
  const rc = await withTarget(
    async ({ app, target, address }) => {
      const { host, port } = address as { host: string; port: number };
      await create(app, `nbd://${host}:${port}/disk`);
      const bytes = 65536 * 4;
      const segment = await app.shareSegment(4 * bytes);
      for (let round = 0; round < 3; round++) {
        const jobs = app.cores.map((core, i) => {
          const job = { name: 'R', segment: segment.id, at: i * 2 * bytes, bytes, value: 10 * round + i + 1 };
          return app.call(core, writeAndRead, job);
        });
        assert.ok((await Promise.all(jobs)).every((wrong) => wrong === 0));
      }
      // What was written last is on the disk behind the export.
      const desc = BdevDesc.open('Malloc0', { write: false, reactor: app.reactor, onEvent: () => {} });
      for (const i of app.cores.keys()) {
        const there = await readBytes(desc, i * 2 * bytes, bytes);
        assert.ok(there.every((byte) => byte === 20 + i + 1));
      }
      desc.close();
      await app.dropSegment(segment);
      await bdevRegistry(app.reactor).delete('R');
      while ((await target.connections()).length > 0) await new Promise((resolve) => setImmediate(resolve));
    },
    { modules: [fixtureUrl] },
  );
  assert.equal(rc, 0);
});
