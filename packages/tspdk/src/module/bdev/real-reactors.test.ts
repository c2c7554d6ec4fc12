/** Each kind of disk on real reactors: two threads, their own rings, an orderly end with nothing left. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BdevDesc, bdevRegistry } from '../../bdev/index.ts';
import { App } from '../../event/index.ts';
import { bdevSubsystem } from './index.ts';
import { abortAndReset, fixtureUrl, writeAndRead } from './real-reactors.fixture.ts';

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

const hanging = join(dir, 'hanging.mjs');
writeFileSync(
  hanging,
  `import { defineDisk } from ${JSON.stringify(new URL('./disk/define-disk.js', import.meta.url).href)};
   let aborted = 0;
   export default defineDisk({
     size: 1024 * 1024,
     async read(offset, buffer, { signal }) {
       if (offset === 0) buffer.fill(aborted);
       if (offset < 512 * 1024) return;
       if (offset > 512 * 1024) return new Promise((resolve) => setImmediate(resolve));
       await new Promise((_, reject) => signal.addEventListener('abort', () => { aborted++; reject(signal.reason); }));
     },
   });`,
);

test('a call that hangs is given up by an abort and by a reset, from the core that has the disk and from the other', async () => {
  const options = { cores: [0, 1], pin: false, signals: false, modules: [fixtureUrl], subsystems: [bdevSubsystem] };
  const seen: unknown[] = [];
  const rc = await App.start(options, async (app) => {
    await bdevRegistry(app.reactor).create('disk', { name: 'D', module: hanging });
    const segment = await app.shareSegment(4096);
    const at = 512 * 1024;
    for (const core of app.cores) {
      const job = { name: 'D', segment: segment.id, at, racing: at + 4096, reads: 60 };
      const { statuses, wrong } = await app.call(core, abortAndReset, job);
      seen.push(statuses, wrong);
    }
    const desc = BdevDesc.open('D', { write: false, reactor: app.reactor, onEvent: () => {} });
    await new Promise<void>((resolve) => {
      desc.getIoChannel().read(segment, 0, 0, 512, () => resolve(), null);
      app.reactor.kick();
    });
    seen.push(segment.u8[0]);
    desc.close();
    await app.dropSegment(segment);
    app.stop(0);
  });
  assert.deepEqual(seen, [[-125, 0, -125], 0, [-125, 0, -125], 0, 4], 'and every signal has aborted');
  assert.equal(rc, 0, 'a leak would make it 1');
});
