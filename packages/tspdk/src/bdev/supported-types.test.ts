/** What a disk takes, by itself and by the layer's help, and what it tells of its holes when it cannot. Checklist: SPDK's bdev_ut bdev_io_types_test, bdev_seek_test; titles carry their names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoVecs } from '../env/iovecs.ts';
import '../module/bdev/malloc/malloc-bdev.ts';
import type { BdevChannel } from './channel.ts';
import { BdevDesc } from './desc.ts';
import { Extents } from './extents.ts';
import { IO_READ, IO_WRITE, ioTypes } from './io-type.ts';
import { describeBdev } from './rpc.ts';
import { channelOf, setUp } from './stub-setup.sim.ts';

const ignore = (): void => {};

/** Every kind of I/O by its name in supported_io_types; each gives what its submission did. */
function submissions(channel: BdevChannel, iovs: IoVecs): [string, () => number][] {
  return [
    ['read', () => channel.readv(iovs, 0, ignore, null)],
    ['write', () => channel.writev(iovs, 0, ignore, null)],
    ['unmap', () => channel.unmap(0, 512, ignore, null)],
    ['flush', () => channel.flush(0, 512, ignore, null)],
    ['write_zeroes', () => channel.writeZeroes(0, 512, 0, ignore, null)],
    ['compare', () => channel.comparev(iovs, 0, ignore, null)],
    ['compare_and_write', () => channel.comparevAndWritev(iovs, iovs, 0, ignore, null)],
    ['copy', () => channel.copy(0, 512, 512, ignore, null)],
  ];
}

const metadata = { bytes: 8, interleaved: true, difType: 0, difIsHeadOfMd: false, difFlags: 0 };

test('bdev_io_types_test: what neither the module nor the layer can do is refused before it reaches the module, and not told', async () => {
  for (const [name, params, taken, told] of [
    ['read only', { ioTypes: ioTypes(IO_READ) }, ['read', 'compare'], ['read']],
    ['write only', { ioTypes: ioTypes(IO_WRITE) }, ['write', 'write_zeroes'], ['write', 'write_zeroes']],
    [
      'read and write',
      { ioTypes: ioTypes(IO_READ, IO_WRITE) },
      ['read', 'write', 'write_zeroes', 'compare', 'compare_and_write', 'copy'],
      ['read', 'write', 'write_zeroes', 'copy'],
    ],
    ['write only, metadata', { ioTypes: ioTypes(IO_WRITE), blockSizeBytes: 520, metadata }, ['write'], ['write']],
    [
      'metadata',
      { ioTypes: ioTypes(IO_READ, IO_WRITE), blockSizeBytes: 520, metadata },
      ['read', 'write', 'compare', 'compare_and_write'],
      ['read', 'write'],
    ],
  ] as const) {
    const { cluster, channel, stub, desc, tearDown } = await setUp(params);
    const { blockSizeBytes } = desc;
    const iovs = new IoVecs(1);
    iovs.push(cluster.memory(blockSizeBytes), 0, blockSizeBytes);
    for (const [type, submit] of submissions(channel, iovs)) {
      assert.equal(submit(), (taken as readonly string[]).includes(type) ? 0 : -95, `${name}: ${type}`);
    }
    assert.equal(channel.zcopy(0, blockSizeBytes, new IoVecs(1)), false, 'it is no memory');
    const { supported_io_types } = describeBdev(desc.bdev) as { supported_io_types: Record<string, boolean> };
    const names = Object.keys(supported_io_types).filter((type) => supported_io_types[type]);
    assert.deepEqual(names.sort(), [...told, 'reset', 'abort'].sort(), name);
    for (let i = 0; i < 100; i++) {
      stub.complete(stub.outstanding.length);
      cluster.round();
    }
    await tearDown();
  }
});

test('bdev_seek_test: a disk that cannot tell, and one seen without its metadata, is data from end to end', async () => {
  const extentsOf = (channel: BdevChannel, at: number, bytes: number) => {
    const out = new Extents(8);
    const rc = channel.blockStatus(at, bytes, out);
    return [rc, Array.from({ length: out.count }, (_, i) => [out.bytes[i], out.flags[i]])];
  };
  const { cluster, desc, channel, tearDown } = await setUp({ blocks: 1024 });
  assert.deepEqual(extentsOf(channel, 512, 1023 * 512), [0, [[1023 * 512, 0]]]);
  for (const [at, bytes] of [
    [0, 0],
    [-512, 512],
    [1023 * 512, 1024],
    [Number.NaN, 512],
  ]) {
    assert.deepEqual(extentsOf(channel, at, bytes), [-22, []]);
  }
  const format = { block_size: 512, num_blocks: 256, md_size: 8, md_interleave: true, dif_type: 1 };
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', ...format }));
  const bare = cluster.on(0, () => BdevDesc.open('M', { write: false, hideMetadata: true, onEvent: () => {} }));
  const bareChannel = channelOf(cluster, bare);
  assert.deepEqual(extentsOf(bareChannel, 0, 256 * 512), [0, [[256 * 512, 0]]]);
  assert.deepEqual(extentsOf(bareChannel, 0, 256 * 520), [-22, []], 'its end is that of the data');
  bare.close();
  const removal = cluster.bdevs.delete('S');
  await cluster.untilTrue(() => desc.bdev.removing);
  assert.deepEqual(extentsOf(channel, 0, 512), [-19, []]);
  desc.close();
  await cluster.until(removal);
  await tearDown();
});
