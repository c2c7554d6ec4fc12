/**
 * Coming and going at awkward moments: a descriptor that closes while the removal is on its way to it, a channel that cannot be made, names at the edge. Checklist: SPDK's bdev_ut
 * bdev_close_while_hotremove, alias_add_del_test, bdev_register_uuid_alias, for_each_bdev_test, and of mt basic; titles carry their names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import { limits } from '../env/limits.ts';
import { Thread } from '../thread/index.ts';
import { startCluster } from './cluster.sim.ts';
import { BdevDesc, type BdevEvent } from './desc.ts';
import { stubChannel, stubs } from './stub-module.sim.ts';
import { make, open, runIo } from './stub-setup.sim.ts';

test('bdev_close_while_hotremove: who closes before the event arrives is not told, on each core, and the removal ends', async () => {
  for (const core of [0, 1]) {
    for (const withChannel of [false, true]) {
      const cluster = await startCluster({ reactors: 2 });
      await make(cluster, { name: 'S' });
      const events: string[] = [];
      const note = (name: string) => (event: BdevEvent) => void events.push(`${name} ${event}`);
      const desc = cluster.on(core, () => BdevDesc.open('S', { write: true, onEvent: note('closed') }));
      const other = cluster.on(1 - core, () => BdevDesc.open('S', { write: false, onEvent: note('open') }));
      if (withChannel) cluster.on(core, () => desc.getIoChannel());
      let gone = false;
      const removal = cluster.bdevs.delete('S').then(() => {
        gone = true;
      });
      cluster.on(core, () => desc.close());
      await cluster.untilTrue(() => events.length > 0);
      assert.deepEqual(events, ['open remove']);
      for (let i = 0; i < 20; i++) await cluster.until(Promise.resolve());
      assert.equal(gone, false, 'the other one holds it');
      cluster.on(1 - core, () => other.close());
      await cluster.until(removal);
      await cluster.close();
    }
  }
});

test('basic: a channel that the module cannot make fails its opener and leaves nothing; the next one works, and the disk can go', async () => {
  const cluster = await startCluster();
  const bdev = await make(cluster, { name: 'S' });
  const desc = open(cluster, 'S');
  const [thread] = cluster.threads;
  stubs.failChannel('S');
  assert.throws(() => cluster.on(0, () => desc.getIoChannel()), /no channel of "S" now/);
  assert.deepEqual([bdev.channels.size, bdev.device.channelCount, thread.channels.size], [0, 0, 0]);
  // Outside of any lightweight thread, too.
  stubs.failChannel('S');
  assert.throws(() => desc.getIoChannel(), /no channel of "S" now/);
  assert.equal(bdev.bareChannel, null);
  const channel = cluster.on(0, () => desc.getIoChannel());
  const read = runIo(cluster, (cb) => channel.read(cluster.memory(512), 0, 0, 512, cb, null));
  stubChannel('S').complete(1);
  assert.equal(await read, 0);
  stubs.failChannel('S');
  channel.close();
  cluster.turns();
  assert.throws(() => cluster.on(0, () => desc.getIoChannel()), /no channel of "S" now/);
  desc.close();
  await cluster.until(cluster.bdevs.delete('S'));
  await cluster.close();
});

test("a channel whose last I/O comes back in another thread's turn is closed as its own thread would, with those of the disks below", async () => {
  const cluster = await startCluster();
  const [reactor] = cluster.reactors;
  await make(cluster, { name: 'S' });
  const other = Thread.create(reactor, { name: 'other', cpumask: new Cpuset([0]) }) as Thread;
  for (const thread of [cluster.threads[0], null]) {
    const desc = open(cluster, 'S');
    const channel = thread === null ? desc.getIoChannel() : thread.run(() => desc.getIoChannel());
    const stub = stubChannel('S');
    const closedOn: unknown[] = [];
    stub.close = () => void closedOn.push(current.thread);
    const read = runIo(cluster, (cb) => channel.read(cluster.memory(512), 0, 0, 512, cb, null));
    channel.close();
    cluster.turns();
    assert.deepEqual(closedOn, []);
    other.run(() => stub.complete(1));
    assert.equal(await read, 0);
    assert.equal(closedOn.length, 1);
    assert.ok(closedOn[0] === thread);
    desc.close();
  }
  other.run(() => other.exit());
  cluster.turns();
  await cluster.close();
});

test('alias_add_del_test, bdev_register_uuid_alias: names at the edge', async () => {
  const cluster = await startCluster();
  const uuid = 'aaaaaaaa-0000-4000-8000-000000000001';
  const other = 'aaaaaaaa-0000-4000-8000-000000000002';
  const named = await make(cluster, { name: uuid, uuid });
  assert.deepEqual([named.aliases, cluster.bdevs.get(uuid)], [[], named], 'its name is its uuid');
  const listed = await make(cluster, { name: 'L', uuid: other, aliases: ['x', other] });
  assert.deepEqual(listed.aliases, ['x', other], 'once');
  await assert.rejects(make(cluster, { name: 'D', aliases: ['y', 'y'] }), { code: 'EEXIST', message: /"y"/ });
  await assert.rejects(make(cluster, { name: 'D', aliases: ['D'] }), { code: 'EEXIST' });
  const long = 'n'.repeat(limits.name_bytes);
  for (const bad of ['', `${long}n`]) {
    const message = new RegExp(`name of ${bad.length} bytes, limit 1 to ${limits.name_bytes}`);
    const refused = { code: 'ENAMETOOLONG', message };
    await assert.rejects(cluster.until(cluster.bdevs.addAlias('L', bad)), refused);
    await assert.rejects(make(cluster, { name: 'E', aliases: [bad] }), refused);
    await assert.rejects(make(cluster, { name: bad }), refused);
  }
  await cluster.until(cluster.bdevs.addAlias('L', long));
  assert.equal(cluster.bdevs.get(long), listed);
  await assert.rejects(cluster.until(cluster.bdevs.deleteAlias(uuid, long)), { code: 'ENOENT' }, 'of another disk');
  await assert.rejects(cluster.until(cluster.bdevs.deleteAlias('L', uuid)), { code: 'ENOENT' });
  assert.equal(cluster.bdevs.get(long), listed);
  const both = await cluster.until(
    Promise.allSettled(['L', uuid].map((name) => cluster.bdevs.addAlias(name, 'one of them'))),
  );
  assert.deepEqual(
    both.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
  assert.equal(cluster.bdevs.get('one of them'), listed);
  assert.equal(cluster.bdevs.has('E') || cluster.bdevs.has('D'), false, 'what was refused holds no name');
  await cluster.close();
});

test('for_each_bdev_test: a disk that is going is listed until it has gone', async () => {
  const cluster = await startCluster();
  for (const name of ['A', 'B']) await make(cluster, { name });
  const desc = open(cluster, 'A');
  const removal = cluster.bdevs.delete('A');
  await cluster.untilTrue(() => desc.bdev.removing);
  const listed = () => cluster.bdevs.list().map(({ name, ready }) => `${name} ${ready}`);
  assert.deepEqual(listed(), ['A false', 'B true']);
  desc.close();
  await cluster.until(removal);
  assert.deepEqual(listed(), ['B true']);
  await cluster.close();
});
