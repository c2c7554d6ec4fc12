/** What a raid1 writes again where a member could not be read (raid1-repair.ts): all of the range and nothing else, of what a member that can be read holds there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import { faultRegistry } from '../../../bdev/faults/registry.ts';
import { IO_READ, IO_WRITE } from '../../../bdev/io-type.ts';
import { stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, open, runIo } from '../../../bdev/stub-setup.sim.ts';
import { end, outstanding, rebuilding, soon } from './raid-drop.sim.ts';
import { allGood, legs, Pluggable, raid1OnStubs, setUpRaid } from './raid-setup.sim.ts';
import { RAID_MIN_DATA_OFFSET_BYTES } from './raid-superblock.ts';

const BLOCK = 512;
/** More than two large buffers. */
const DATA_BYTES = 300 * 1024;

test('a range longer than a buffer, behind superblocks: the member holds all of it again, and nothing beside it has changed', async () => {
  const { cluster, raids, create } = await setUpRaid();
  const disks: Pluggable[] = [];
  for (const name of ['P0', 'P1', 'P2']) {
    disks.push(await Pluggable.make(cluster, name, (RAID_MIN_DATA_OFFSET_BYTES + DATA_BYTES) / BLOCK));
  }
  await create('raid1', ['P0', 'P1', 'P2'], { superblock: true });
  await allGood(cluster);
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(DATA_BYTES);
  const value = (i: number) => (i * 31 + (i >> 9) * 7) & 0xff;
  for (let i = 0; i < DATA_BYTES; i++) buf.u8[i] = value(i);
  const { sizeBytes } = desc.bdev;
  assert.equal(sizeBytes, DATA_BYTES);
  assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 0, DATA_BYTES, cb, null)), 0);
  const [first, second, third] = disks.map((disk) => disk.memory());
  const sound = Uint8Array.from(third);
  first.fill(0xee, RAID_MIN_DATA_OFFSET_BYTES);
  const before = Uint8Array.from(first);
  const faults = faultRegistry(cluster.reactors[0]);
  await cluster.until(faults.add('P0', { op: 'read', action: 'error', count: 1 }));
  // The repair asks the second first, in vain for its first piece: then the third.
  await cluster.until(faults.add('P1', { op: 'read', action: 'error', count: 2 }));
  const from = 5 * BLOCK;
  const bytes = DATA_BYTES - 9 * BLOCK;
  buf.u8.fill(0);
  assert.equal(await runIo(cluster, (cb) => channel.read(buf, 0, from, bytes, cb, null)), 0);
  const start = RAID_MIN_DATA_OFFSET_BYTES + from;
  const expected = Uint8Array.from(before);
  expected.set(sound.subarray(start, start + bytes), start);
  for (let i = 0; i < 300; i++) await cluster.until(Promise.resolve());
  for (const [name, is, should] of [
    ['P0', first, expected],
    ['P1', second, sound],
    ['P2', third, sound],
  ] as const) {
    const at = is.findIndex((byte, index) => byte !== should[index]);
    assert.equal(at, -1, `${name} is different at ${at - RAID_MIN_DATA_OFFSET_BYTES} of its data`);
  }
  assert.ok(raids.get('R').slots.every(({ good }) => good));
  desc.close();
  await cluster.close();
});

test('what no other member can be read is not written, and nobody is dropped; what the repair held is let go', async () => {
  const { cluster, stub, names, list, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  const open = () => names.map((name) => (stubs.channels.get(name) ?? []).filter(({ closed }) => !closed));
  const refs = () => names.map((name) => [...cluster.bdevs.get(name).channels].map((each) => each.refs));
  const before = refs();
  const under = () => open().map((channels) => channels.flatMap(({ outstanding }) => outstanding));
  channel.read(buf, 0, 1024, 512, cb, 'r');
  stub[0].complete(1, -5);
  stub[1].complete(1);
  await cluster.untilTrue(() => under()[1].length === 1);
  channel.write(buf, 0, 1024, 512, cb, 'w');
  assert.deepEqual(legs(stub), [[], []], 'a write waits for the repair');
  for (const each of open()[1]) each.complete(each.outstanding.length, -5);
  await cluster.untilTrue(() => under()[0].length > 0);
  assert.deepEqual(legs(stub), [['2 1024 512'], ['2 1024 512']], 'the write, and no other');
  assert.deepEqual(
    under(),
    stub.map(({ outstanding }) => outstanding),
  );
  for (const each of stub) each.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['r 0', 'w 0']);
  assert.equal((await list('online'))[0].num_base_bdevs_discovered, 2);
  assert.deepEqual(refs(), before);
  await tearDown();
});

test('the last member is written again with what the first holds', async () => {
  const { cluster, stub, names, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  channel.read(buf, 0, 8192, 4096, cb, 'other');
  channel.read(buf, 0, 1024, 512, cb, 'r');
  assert.deepEqual(legs(stub), [['1 8192 4096'], ['1 1024 512']]);
  stub[1].complete(1, -5);
  stub[0].complete(2);
  const under = (at: number) => (stubs.channels.get(names[at]) ?? []).flatMap(({ outstanding }) => outstanding);
  for (const [at, what] of [
    [0, IO_READ],
    [1, IO_WRITE],
  ]) {
    for (let i = 0; i < 100 && under(at).length === 0; i++) await cluster.until(Promise.resolve());
    assert.deepEqual(
      under(at).map(({ type, byteOffset, bytes }) => [type, byteOffset, bytes]),
      [[what, 1024, 512]],
    );
    for (const each of stubs.channels.get(names[at]) ?? []) each.complete(each.outstanding.length);
  }
  assert.deepEqual(done, ['other 0', 'r 0']);
  await tearDown();
});

test('a member that is being rebuilt is not where the repair of another gets its data', async () => {
  const { cluster, names, channel, buf, done, cb, tearDown } = await rebuilding('raid1');
  const there = ({ byteOffset }: BdevIo) => byteOffset === 16384;
  const at = (name: string) =>
    outstanding(name)
      .filter(there)
      .map(({ type, bytes }) => [type, bytes]);
  channel.read(buf, 0, 16384, 512, cb, 'r');
  const bad = names.findIndex((name) => at(name).length > 0);
  const good = 3 - bad;
  assert.ok(bad === 1 || bad === 2);
  end(names[bad], there, -5);
  end(names[good], there);
  await soon(cluster, 'the repair reads', () => names.some((name) => at(name).length > 0));
  assert.deepEqual(
    names.map((name) => at(name)),
    names.map((_, index) => (index === good ? [[IO_READ, 512]] : [])),
  );
  end(names[good], there);
  await soon(cluster, 'the repair writes', () => names.some((name) => at(name).length > 0));
  assert.deepEqual(
    names.map((name) => at(name)),
    names.map((_, index) => (index === bad ? [[IO_WRITE, 512]] : [])),
  );
  end(names[bad], there);
  assert.deepEqual(done, ['r 0']);
  await tearDown();
});

test('so many repairs at once, and no more: when they have ended there are others', async () => {
  const { cluster, names, stub, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  const failing = async (count: number) => {
    for (let i = 0; i < count; i++) {
      assert.equal(channel.read(buf, 0, i * 512, 512, cb, 'r'), 0);
      stub[0].complete(1, -5);
      stub[1].complete(1);
    }
    for (let i = 0; i < 50; i++) await cluster.until(Promise.resolve());
    return outstanding(names[1]).length;
  };
  assert.equal(await failing(12), 8);
  await soon(cluster, 'they have ended', () => {
    end(names[1]);
    return outstanding(names[0]).length === 8;
  });
  end(names[0]);
  for (let i = 0; i < 50; i++) await cluster.until(Promise.resolve());
  assert.equal(await failing(1), 1);
  assert.deepEqual(done, new Array(13).fill('r 0'));
  await tearDown();
});
