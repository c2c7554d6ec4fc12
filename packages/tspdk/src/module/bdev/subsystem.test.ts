/** The bdev subsystem in an application: what it sets elsewhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bdevRegistry } from '../../bdev/index.ts';
import { simulate } from '../../sim/index.ts';
import { iobufSubsystem } from '../rpc/iobuf.ts';
import { bdevSubsystem } from './index.ts';

test('bdev_set_options sizes the caches of I/O buffers, iobuf_set_options leaves them so, and both are saved', async () => {
  await simulate(1, {}, async (sim) => {
    const options = { cores: [0], iobuf: {}, subsystems: [iobufSubsystem, bdevSubsystem] };
    const rc = await sim.start(options, async (app) => {
      const bdevs = bdevRegistry(app.reactor);
      await bdevs.setOptions({ iobuf_small_cache_size: 3 });
      await app.setIoBufOptions({ smallCount: 40, largeCount: 20 });
      await bdevs.setOptions({ iobuf_large_cache_size: 2 });
      const { small, large } = app.iobufMemory;
      assert.deepEqual([small.count, small.cache, large.count, large.cache], [40, 3, 20, 2]);
      const { params } = bdevs.configCalls()[0];
      assert.deepEqual([params.iobuf_small_cache_size, params.iobuf_large_cache_size], [3, 2]);
      // Three come back to the cache; a fourth does not fit.
      const { iobuf } = app.reactor;
      const taken = [0, 1, 2, 3].map(() => iobuf.getSmall());
      for (const buf of taken) iobuf.put(buf as NonNullable<typeof buf>);
      for (const buf of [0, 1, 2, 3].map(() => iobuf.getSmall())) iobuf.put(buf as NonNullable<typeof buf>);
      assert.deepEqual(iobuf.stats().small, { cache: 3, main: 5, retry: 0 });
      const held = iobuf.getLarge() as NonNullable<ReturnType<typeof iobuf.getLarge>>;
      await assert.rejects(bdevs.setOptions({ iobuf_large_cache_size: 1 }), { code: 'EBUSY' });
      assert.equal(bdevs.options.iobuf_large_cache_size, 2);
      // Other options do not need the pools.
      await bdevs.setOptions({ bdev_io_pool_size: 1000 });
      iobuf.put(held);
      app.stop(0);
    });
    assert.equal(rc, 0);
  });
});
