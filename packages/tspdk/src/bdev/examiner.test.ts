/**
 * Who looks at disks as they come, and at which. Checklist: SPDK's bdev_ut examine_claimed, examine_claimed_manual; titles carry their names. examine_locks is about SPDK's own
 * locks, of which there are none here.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { log } from '../log/index.ts';
import type { Bdev } from './bdev.ts';
import { startCluster } from './cluster.sim.ts';
import type { BdevDesc } from './desc.ts';
import { CLAIM_READ_MANY_WRITE_NONE } from './shared-state.ts';
import { make, open } from './stub-setup.sim.ts';

test('examine: hooks see a disk as it is made, and are waited for', async () => {
  const cluster = await startCluster();
  const seen: string[] = [];
  let release: () => void = () => {};
  cluster.bdevs.examineHooks.push(async (bdev) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    seen.push(bdev.name);
  });
  await make(cluster, { name: 'X' });
  let waited = false;
  const waiting = cluster.bdevs.waitForExamine().then(() => {
    waited = true;
  });
  cluster.turns();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(waited, false);
  release();
  await waiting;
  assert.deepEqual(seen, ['X']);
  await cluster.close();
});

for (const auto of [true, false]) {
  test(`examine_claimed${auto ? '' : '_manual'}: a disk that one has claimed is shown to nobody after it`, async () => {
    const cluster = await startCluster();
    await cluster.until(cluster.bdevs.setOptions({ bdev_auto_examine: auto }));
    const seen: string[] = [];
    const held: BdevDesc[] = [];
    cluster.bdevs.examineHooks.push(
      (bdev) => void seen.push(`first ${bdev.name}`),
      (bdev) => {
        seen.push(`second ${bdev.name}`);
        if (bdev.name === 'Free') return;
        const desc = open(cluster, bdev.name, false);
        desc.claim({ type: CLAIM_READ_MANY_WRITE_NONE });
        held.push(desc);
      },
      (bdev) => void seen.push(`third ${bdev.name}`),
    );
    const examine = (name: string) => (auto ? undefined : cluster.bdevs.allowExamine(name));
    examine('Free');
    await make(cluster, { name: 'Free' });
    await make(cluster, { name: 'Own' });
    await cluster.until(cluster.bdevs.waitForExamine());
    if (!auto) assert.deepEqual(seen, ['first Free', 'second Free', 'third Free'], 'nobody asked for the other');
    examine('Own');
    await cluster.until(cluster.bdevs.waitForExamine());
    assert.deepEqual(seen, ['first Free', 'second Free', 'third Free', 'first Own', 'second Own']);
    for (const desc of held) desc.close();
    await cluster.close();
  });
}

test('bdev_examine: before the disk is there, once for a name, by an alias, and not where all are examined', async () => {
  const cluster = await startCluster();
  const { bdevs } = cluster;
  assert.throws(() => bdevs.allowExamine('A'), { code: 'EINVAL' });
  await cluster.until(bdevs.setOptions({ bdev_auto_examine: false }));
  const seen: string[] = [];
  bdevs.examineHooks.push((bdev) => void seen.push(bdev.name));
  bdevs.allowExamine('A');
  assert.throws(() => bdevs.allowExamine('A'), { code: 'EEXIST', message: /"A"/ });
  await make(cluster, { name: 'B', aliases: ['A'] });
  await make(cluster, { name: 'C' });
  await cluster.until(bdevs.waitForExamine());
  assert.deepEqual(seen, ['B']);
  // Each time that it comes.
  await cluster.until(bdevs.delete('B'));
  await make(cluster, { name: 'A' });
  await cluster.until(bdevs.waitForExamine());
  assert.deepEqual(seen, ['B', 'A']);
  const saved = bdevs.configCalls().map(({ method, params }) => [method, params.name]);
  assert.deepEqual(saved.slice(0, 2), [
    ['bdev_set_options', undefined],
    ['bdev_examine', 'A'],
  ]);
  // What waits for a disk is made when it is examined.
  await bdevs.createOn('D', 'stub', { name: 'OnD' }, null);
  await make(cluster, { name: 'D' });
  await cluster.until(bdevs.waitForExamine());
  assert.equal(bdevs.has('OnD'), false);
  bdevs.allowExamine('D');
  await cluster.until(bdevs.waitForExamine());
  assert.equal(bdevs.has('OnD'), true);
  await cluster.close();
});

test('a hook that comes later is shown, after the others, what has been examined; one that is taken away nothing more', async () => {
  const cluster = await startCluster();
  const { bdevs } = cluster;
  const seen: string[] = [];
  let release: () => void = () => {};
  const slow = () =>
    new Promise<void>((resolve) => {
      release = () => {
        seen.push('slow');
        resolve();
      };
    });
  bdevs.examineHooks.push(slow);
  await make(cluster, { name: 'X' });
  await cluster.until(bdevs.setOptions({ bdev_auto_examine: false }));
  await make(cluster, { name: 'unexamined' });
  const late = (bdev: Bdev) => void seen.push(`late ${bdev.name}`);
  bdevs.addExamineHook(late);
  const gone = (bdev: Bdev) => void seen.push(`gone ${bdev.name}`);
  bdevs.addExamineHook(gone);
  // Before its turn came.
  bdevs.removeExamineHook(gone);
  await new Promise((resolve) => setImmediate(resolve));
  release();
  await cluster.until(bdevs.waitForExamine());
  assert.deepEqual(seen, ['slow', 'late X']);
  bdevs.removeExamineHook(slow);
  bdevs.allowExamine('unexamined');
  await cluster.until(bdevs.waitForExamine());
  assert.deepEqual(seen, ['slow', 'late X', 'late unexamined']);
  await cluster.close();
});

test('a hook that throws is logged, and the next one is asked', async (t) => {
  const cluster = await startCluster();
  const said: string[] = [];
  log.open(({ text }) => void said.push(text));
  t.after(() => log.close());
  const seen: string[] = [];
  cluster.bdevs.examineHooks.push(
    () => {
      throw new SpdkError('EIO', 'no');
    },
    () => Promise.reject(new SpdkError('EIO', 'nor later')),
    (bdev) => void seen.push(bdev.name),
  );
  await make(cluster, { name: 'X' });
  await cluster.until(cluster.bdevs.waitForExamine());
  assert.deepEqual(seen, ['X']);
  assert.deepEqual(said, ['examine of bdev "X": no', 'examine of bdev "X": nor later']);
  await cluster.close();
});
