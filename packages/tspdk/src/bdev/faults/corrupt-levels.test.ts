/** Corrupted writes need nothing that others may hold: any number at once, at any number of levels. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IoBuf } from '../../env/iobuf.ts';
import { malloc } from '../../module/bdev/malloc/malloc-setup.sim.ts';
import '../../module/bdev/passthru/passthru-bdev.ts';
import { startCluster } from '../cluster.sim.ts';
import { BdevDesc } from '../desc.ts';
import { faultRegistry } from './registry.ts';

const BLOCK = 512;
/** Of turns, more than all of it takes. */
const ROUNDS = 1000;

test('corrupt on two disks, one on the other: more writes at once than there are I/O buffers, and while others have them all', async () => {
  for (const taken of [false, true]) {
    const cluster = await startCluster({ iobuf: { smallCount: 2, largeCount: 2 } });
    await malloc(cluster, 'B', 64);
    await cluster.until(cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'B' }));
    const faults = faultRegistry(cluster.reactors[0]);
    await cluster.until(faults.add('P', 'op=write,action=corrupt,corrupt_offset=3,corrupt_value=1'));
    await cluster.until(faults.add('B', 'op=write,action=corrupt,corrupt_offset=3,corrupt_value=2'));
    const { iobuf } = cluster.reactors[0];
    const bufs: IoBuf[] = [];
    if (taken) {
      for (let buf = iobuf.getSmall(); buf !== null; buf = iobuf.getSmall()) bufs.push(buf);
      for (let buf = iobuf.getLarge(); buf !== null; buf = iobuf.getLarge()) bufs.push(buf);
    }
    const desc = cluster.on(0, () => BdevDesc.open('P', { write: true, onEvent: () => {} }));
    const channel = cluster.on(0, () => desc.getIoChannel());
    const buf = cluster.memory(64 * BLOCK);
    const ended: number[] = [];
    for (let i = 0; i < 8; i++) {
      buf.u8.fill(i, i * BLOCK, (i + 1) * BLOCK);
      const rc = channel.write(buf, i * BLOCK, i * BLOCK, BLOCK, (_, status) => void ended.push(status), null);
      assert.equal(rc, 0);
    }
    for (let round = 0; round < ROUNDS; round++) cluster.round();
    assert.deepEqual(ended, new Array(8).fill(0));
    await cluster.until(faults.clear('P'));
    await cluster.until(faults.clear('B'));
    assert.equal(
      channel.read(buf, 0, 0, 8 * BLOCK, (_, status) => void ended.push(status), null),
      0,
    );
    await cluster.untilTrue(() => ended.length === 9);
    for (let i = 0; i < 8; i++) assert.deepEqual([...buf.u8.subarray(i * BLOCK, i * BLOCK + 5)], [i, i, i, i ^ 3, i]);
    for (const each of bufs) iobuf.put(each);
    desc.close();
    await cluster.close();
  }
});
