/** Reads of a raid1: which member they go to, what is made of one that fails, and how they end early. The names in brackets are those of SPDK's raid1_ut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultRegistry } from '../../../bdev/faults/registry.ts';
import { IO_READ, IO_WRITE } from '../../../bdev/io-type.ts';
import { stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, open, runIo, takeBdevIos } from '../../../bdev/stub-setup.sim.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { allGood, answering, legs, Pluggable, raid1OnStubs, setUpRaid } from './raid-setup.sim.ts';

test('[test_raid1_read_balancing] a read goes to the member with the fewest bytes being read', async () => {
  const { cluster, stub, channel, done, cb, buf, tearDown } = await raid1OnStubs(3);
  const read = (bytes: number) => assert.equal(channel.read(buf, 0, 0, bytes, cb, bytes), 0);
  for (const bytes of [8192, 512, 1024, 512, 512]) read(bytes);
  const bytes = () => stub.map(({ outstanding }) => outstanding.map((io) => io.bytes));
  assert.deepEqual(bytes(), [[8192], [512, 512, 512], [1024]]);
  stub[0].complete(1);
  cluster.turns();
  read(512);
  assert.deepEqual(bytes()[0], [512]);
  for (const each of stub) each.complete(each.outstanding.length);
  cluster.turns();
  assert.equal(done.length, 6);
  await tearDown();
});

test('[test_raid1_read_error] a read that fails is read from another member, and the first gets what that one holds', async () => {
  const { cluster, raids, stub, names, list, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  channel.read(buf, 0, 1024, 512, cb, 'r');
  assert.deepEqual(legs(stub), [['1 1024 512'], []]);
  stub[0].complete(1, -5);
  assert.deepEqual(legs(stub), [[], ['1 1024 512']]);
  stub[1].complete(1);
  cluster.turns();
  assert.deepEqual(done, ['r 0'], 'the submitter does not wait for the repair');
  const repair = names.map((name) => () => (stubs.channels.get(name) ?? []).flatMap(({ outstanding }) => outstanding));
  await cluster.untilTrue(() => repair[1]().length === 1);
  assert.deepEqual([repair[1]()[0].type, repair[1]()[0].byteOffset], [IO_READ, 1024]);
  channel.write(buf, 0, 1024, 512, cb, 'w');
  assert.deepEqual(legs(stub), [[], []], 'a write waits for the repair');
  for (const each of stubs.channels.get(names[1]) ?? []) each.complete(each.outstanding.length);
  await cluster.untilTrue(() => repair[0]().length === 1);
  assert.deepEqual([repair[0]()[0].type, repair[0]()[0].byteOffset, repair[0]()[0].bytes], [IO_WRITE, 1024, 512]);
  for (const each of stubs.channels.get(names[0]) ?? []) each.complete(each.outstanding.length);
  await cluster.untilTrue(() => legs(stub)[0].length === 1);
  for (const each of stub) each.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['r 0', 'w 0']);
  // All fail: so does the read, and nobody is dropped.
  channel.read(buf, 0, 0, 512, cb, 'x');
  stub[0].complete(1, -5);
  stub[1].complete(1, -84);
  cluster.turns();
  assert.deepEqual(done.slice(2), ['x -84']);
  assert.equal((await list('online'))[0].num_base_bdevs_discovered, 2);
  // One of them was only reset, by others.
  for (const [first, other] of [
    [-125, -5],
    [-5, -125],
  ]) {
    channel.read(buf, 0, 0, 512, cb, 'c');
    stub[0].complete(1, first);
    stub[1].complete(1, other);
    cluster.turns();
    assert.deepEqual(done.splice(3), ['c -125'], `${first} and ${other}`);
  }
  // The repair fails: the member is dropped.
  channel.read(buf, 0, 0, 512, cb, 'y');
  stub[0].complete(1, -5);
  stub[1].complete(1);
  await cluster.untilTrue(() => {
    for (const each of stubs.channels.get(names[1]) ?? []) each.complete(each.outstanding.length);
    return repair[0]().length === 1;
  });
  for (const each of stubs.channels.get(names[0]) ?? []) each.complete(each.outstanding.length, -5);
  await cluster.untilTrue(() => raids.list()[0].slots[0].base === null);
  assert.equal((await list('online'))[0].num_base_bdevs_discovered, 1);
  await tearDown();
});

test('[test_raid1_read_error] a read that was aborted below, or comes to a member that goes, is read from another, and nothing is written for it', async () => {
  for (const status of [-125, -19]) {
    const { cluster, stub, names, list, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
    channel.read(buf, 0, 1024, 512, cb, 'r');
    stub[0].complete(1, status);
    stub[1].complete(1);
    cluster.turns();
    assert.deepEqual(done, ['r 0']);
    for (let i = 0; i < 20; i++) await cluster.until(Promise.resolve());
    assert.deepEqual(
      names.map((name) => (stubs.channels.get(name) ?? []).flatMap(({ outstanding }) => outstanding)),
      [[], []],
    );
    assert.equal((await list('online'))[0].num_base_bdevs_discovered, 2);
    await tearDown();
  }
});

test('[test_raid1_read_error] a read that a reset below has ended, when the other member has begun to go, ends as aborted', async () => {
  const { cluster, names, stub, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  channel.read(buf, 0, 0, 512, cb, 'r');
  const gone = cluster.bdevs.delete(names[1]);
  while (!cluster.bdevs.get(names[1]).removing) await null;
  stub[0].complete(1, -125);
  cluster.turns();
  assert.deepEqual([done, legs(stub)], [['r -125'], [[], []]]);
  await answering(cluster, names, gone);
  await tearDown();
});

test('[test_raid1_read_error] a read that fails on a member that came later is repaired there', async () => {
  const { cluster, create, call, raids } = await setUpRaid();
  for (const name of ['M0', 'M1']) await malloc(cluster, name);
  const late = await Pluggable.make(cluster, 'P2');
  await create('raid1', ['M0', 'M1']);
  await call('bdev_raid_remove_base_bdev', { name: 'M0' });
  await call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: 'P2' });
  await allGood(cluster);
  assert.ok(raids.get('R').slots[0].generation > 0);
  late.memory()[7] = 1;
  await cluster.until(faultRegistry(cluster.reactors[0]).add('P2', { op: 'read', action: 'error', count: 1 }));
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  assert.equal(await runIo(cluster, (cb) => channel.read(cluster.memory(512), 0, 0, 512, cb, null)), 0);
  for (let i = 0; i < 100 && late.memory()[7] !== 0; i++) await cluster.until(Promise.resolve());
  assert.equal(late.memory()[7], 0);
  desc.close();
  await cluster.close();
});

test('an abort ends a read that is under way, and one that waits for a BdevIo at once', async () => {
  const { cluster, stub, channel, done, cb, buf, tearDown } = await raid1OnStubs(2);
  channel.read(buf, 0, 0, 512, cb, 'a');
  assert.equal(channel.abort('a'), 1);
  cluster.turns();
  assert.deepEqual([done, legs(stub)], [['a -125'], [[], []]]);
  const { pool } = channel.shared.manager;
  pool.setOptions({ ios: pool.all.length, growBy: 1 });
  const giveBack = takeBdevIos(pool, 1);
  channel.read(buf, 0, 0, 512, cb, 'b');
  assert.equal(channel.abort('b'), 1);
  cluster.turns();
  assert.deepEqual([done, pool.waiting], [['a -125', 'b -125'], 0]);
  giveBack();
  assert.deepEqual(legs(stub), [[], []]);
  await tearDown();
});
