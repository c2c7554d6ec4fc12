/** Without librbd. With it, and with a cluster: interop/src/rbd.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { ffi } from '../../../env/ffi.ts';
import { openLibrbdControl, openLibrbdData } from './librbd.ts';
import { rbdModule } from './rbd-bdev.ts';
import { rbdClusters } from './rbd-clusters.ts';

test('a library that is missing is named, with its package', () => {
  const without = (missing: string) => ({
    library: (file: string | null) => {
      if (file === missing) throw new Error(`Failed to load shared library: ${missing}: cannot open\nmore`);
      return { func: () => () => 0, symbol: () => 4096 };
    },
  });
  for (const file of ['librados.so.2', 'librbd.so.1']) {
    assert.throws(() => openLibrbdControl(without(file)), {
      code: 'ENOTSUP',
      message: new RegExp(`needs ${file} .*apt-get install librbd1.*cannot open$`),
    });
  }
  assert.throws(() => openLibrbdData(without('librbd.so.1')), { code: 'ENOTSUP', message: /librbd1/ });
  assert.throws(() => openLibrbdData(null), { code: 'ENOTSUP', message: /needs FFI for librbd.so.1/ });
});

test('a disk without what it needs is refused, and nothing is left of it', async () => {
  const cluster = await startCluster();
  const { bdevs } = cluster;
  const disk = { pool_name: 'p', rbd_name: 'i', block_size: 512 };
  const made = (change: object) => cluster.until(bdevs.create(rbdModule.name, { ...disk, ...change }));
  await assert.rejects(made({ block_size: 520 }), { code: 'EINVAL', message: /"Ceph0": block size 520/ });
  await assert.rejects(made({ cluster_name: 'c' }), { code: 'ENOENT', message: /no Ceph cluster "c"/ });
  await assert.rejects(made({ cluster_name: 'c', user_id: 'u' }), { code: 'EINVAL', message: /those of cluster "c"/ });
  if (ffi === null) {
    await assert.rejects(made({}), { code: 'ENOTSUP', message: /FFI/ });
    const clusters = rbdClusters(cluster.reactors[0]);
    await assert.rejects(clusters.register({ name: 'c' }), { code: 'ENOTSUP', message: /FFI/ });
    await assert.rejects(clusters.unregister('c'), { code: 'ENOENT' });
  }
  assert.deepEqual(bdevs.list(), []);
  await cluster.close();
});
