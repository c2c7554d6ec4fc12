/** The null disk with metadata: what a reader gets, what a writer is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { referenceVerify } from '../../../bdev/dif/dif-reference.sim.ts';
import { DIF_FLAGS_GUARD_CHECK, DIF_FLAGS_REFTAG_CHECK } from '../../../bdev/dif/index.ts';
import { channelOf, runIo } from '../../../bdev/stub-setup.sim.ts';
import { nullModule } from './null-bdev.ts';

for (const [dif_type, dif_is_head_of_md] of [
  [0, false],
  [1, false],
  [2, true],
  [3, false],
] as const) {
  test(`blocks with metadata, dif_type ${dif_type}: a read gives zeroes with protection information that fits, with and without hiding it`, async () => {
    const cluster = await startCluster();
    const params = { name: 'N', block_size: 528, md_size: 16, num_blocks: 1024, dif_type, dif_is_head_of_md };
    const bdev = await cluster.until(cluster.bdevs.create('null', params));
    const openIt = (hideMetadata: boolean) => {
      const desc = cluster.on(0, () => BdevDesc.open('N', { write: true, hideMetadata, onEvent: () => {} }));
      return { desc, channel: channelOf(cluster, desc) };
    };
    const [raw, bare] = [openIt(false), openIt(true)];
    const buf = cluster.memory(4096);
    buf.u8.fill(170);
    assert.equal(await runIo(cluster, (cb) => raw.channel.read(buf, 0, 528 * 7, 528 * 4, cb, null)), 0);
    const flags = DIF_FLAGS_GUARD_CHECK | (dif_type === 3 ? 0 : DIF_FLAGS_REFTAG_CHECK);
    const format = { blockSizeBytes: 528, mdSizeBytes: 16, mdInterleave: true, difIsHeadOfMd: dif_is_head_of_md };
    if (dif_type !== 0) {
      const dif = { ...format, difType: dif_type, difFlags: flags, initRefTag: 7 };
      const blocks = buf.u8.slice(0, 528 * 4);
      assert.equal(referenceVerify(dif, blocks, blocks, 4), null);
    }
    for (let block = 0; block < 4; block++) {
      assert.ok(buf.u8.subarray(block * 528, block * 528 + 512).every((byte) => byte === 0));
    }
    buf.u8.fill(170);
    assert.equal(await runIo(cluster, (cb) => bare.channel.read(buf, 0, 512 * 7, 512 * 4, cb, null)), 0);
    assert.ok(buf.u8.subarray(0, 512 * 4).every((byte) => byte === 0));
    assert.ok(buf.u8.subarray(512 * 4).every((byte) => byte === 170));
    buf.u8.fill(17);
    // Written without, it is put in; written with, it is checked; either is dropped.
    assert.equal(await runIo(cluster, (cb) => bare.channel.write(buf, 0, 0, 2048, cb, null)), 0);
    assert.equal(await runIo(cluster, (cb) => raw.channel.write(buf, 0, 0, 528, cb, null)), dif_type === 0 ? 0 : -5);
    const saved = nullModule.configCalls(bdev.spec, cluster.reactors[0])[0].params;
    assert.deepEqual(
      [saved.block_size, saved.md_size, saved.dif_type, saved.dif_is_head_of_md],
      [528, 16, dif_type, dif_is_head_of_md],
    );
    raw.desc.close();
    bare.desc.close();
    await cluster.close();
  });
}

test('block sizes and metadata that cannot be are refused', async () => {
  const cluster = await startCluster();
  const make = (params: object) =>
    cluster.until(cluster.bdevs.create('null', { name: 'N', block_size: 512, num_blocks: 8, ...params }));
  for (const params of [
    { md_size: 8 },
    { md_size: 128, block_size: 128 },
    { block_size: 520 },
    { dif_type: 1 },
    { block_size: 521, md_size: 9 },
    { limits: { physicalBlockSizeBytes: 1000 } },
  ]) {
    await assert.rejects(make(params), { code: 'EINVAL' }, JSON.stringify(params));
  }
  await make({ block_size: 4104, md_size: 8, dif_type: 1 });
  await cluster.close();
});
