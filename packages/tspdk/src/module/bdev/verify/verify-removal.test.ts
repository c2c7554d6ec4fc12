/** One of the two that goes, or what it stands on, ends what is under way with ENODEV and is no difference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { stubChannel } from '../../../bdev/stub-module.sim.ts';
import { channelOf, make, open } from '../../../bdev/stub-setup.sim.ts';
import { notifyOf } from '../../../notify/index.ts';
import { passthruModule } from '../passthru/passthru-bdev.ts';
import { difference, onStubs, over } from './verify-setup.sim.ts';

test('a disk that goes under load is no difference', async () => {
  for (const [goes, stays] of [
    ['goes-a', 'stays-a'],
    ['stays-b', 'goes-b'],
  ]) {
    const cluster = await startCluster();
    for (const name of [goes, stays]) await make(cluster, { name });
    await over(cluster, goes, stays);
    const desc = open(cluster, 'V');
    const channel = channelOf(cluster, desc);
    const statuses: number[] = [];
    channel.write(cluster.memory(512), 0, 0, 512, (_, status) => void statuses.push(status), null);
    channel.write(cluster.memory(512), 0, 0, 512, (_, status) => void statuses.push(status), null);
    await cluster.untilTrue(() => stubChannel(goes).outstanding.length === 1);
    const gone = cluster.bdevs.delete(goes.startsWith('goes') ? goes : stays);
    await cluster.untilTrue(() => cluster.bdevs.get('V').removing);
    // The first disk did the first of them; whatever one asks next of that which is going fails.
    stubChannel(goes).complete(1);
    await cluster.untilTrue(() => {
      for (const name of [goes, stays]) stubChannel(name).complete(9);
      return statuses.length === 2;
    });
    assert.ok(statuses.includes(-19), `${statuses}`);
    assert.equal(difference(cluster), '');
    assert.deepEqual(notifyOf(cluster.reactors[0]).events(), []);
    desc.close();
    await cluster.until(gone);
    await cluster.close();
  }
});

test('ENODEV of either is no difference, also while neither is known to go', async () => {
  const { cluster, desc, channel, a, b, done, cb } = await onStubs();
  const buf = cluster.memory(4096);
  for (const submit of ['write', 'read'] as const) {
    for (const [first, other] of [
      [-19, 0],
      [0, -19],
      [-5, -19],
      [-19, -5],
    ]) {
      channel[submit](buf, 0, 0, 512, cb, submit);
      a.complete(1, first);
      b.complete(1, other);
      cluster.turns();
      assert.deepEqual(done.splice(0), [`${submit} -19`], `${first} and ${other}`);
      assert.deepEqual([a.outstanding.length, b.outstanding.length], [0, 0]);
      assert.equal(difference(cluster), '');
    }
  }
  desc.close();
  await cluster.close();
});

test('a disk two levels down that goes under load is no difference', async () => {
  for (const below of ['first', 'other']) {
    const cluster = await startCluster();
    const [gone, stays] = [`deep-${below}`, `stays-${below}`];
    for (const name of [gone, stays]) await make(cluster, { name });
    await cluster.until(cluster.bdevs.create(passthruModule.name, { name: 'P', base_bdev_name: gone }));
    await (below === 'first' ? over(cluster, 'P', stays) : over(cluster, stays, 'P'));
    const desc = open(cluster, 'V');
    const channel = channelOf(cluster, desc);
    const statuses: number[] = [];
    channel.write(cluster.memory(512), 0, 0, 512, (_, status) => void statuses.push(status), null);
    if (below === 'other') stubChannel(stays).complete(1);
    const removal = cluster.bdevs.delete(gone);
    while (!cluster.bdevs.get(gone).removing) {
      cluster.turns();
      await null;
    }
    stubChannel(gone).complete(1);
    await cluster.untilTrue(() => {
      stubChannel(stays).complete(9);
      return statuses.length === 1;
    });
    assert.deepEqual(statuses, [-19]);
    assert.deepEqual(notifyOf(cluster.reactors[0]).events(), []);
    desc.close();
    await cluster.until(removal);
    await cluster.close();
  }
});
