/** A disk that is removed, opened or waited for while it is being made: it is there for everybody or for nobody, and its module takes back what it gave once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { malloc } from '../module/bdev/malloc/malloc-setup.sim.ts';
import { BaseBdev } from './base-bdev.ts';
import type { Bdev } from './bdev.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { faultRegistry } from './faults/registry.ts';
import { IO_READ, ioTypes } from './io-type.ts';
import { bdevManager } from './manager.ts';
import { registerBdevModule } from './module.ts';
import '../module/bdev/passthru/passthru-bdev.ts';
import { createSplit } from '../module/bdev/split/split-bdev.ts';

type Step = 'create' | 'attach 0' | 'attach 1' | 'made' | 'destroy';
/** What is being waited for, by step; and what has been done. */
const held = new Map<string, () => void>();
const log: string[] = [];

function at(step: string, holds: Step): Promise<void> {
  log.push(step);
  return step === holds ? new Promise((resolve) => held.set(step, resolve)) : Promise.resolve();
}

/** A disk whose making stops at `holds`, until the test lets it go on. */
registerBdevModule<{
  readonly name: string;
  readonly holds: Step;
  readonly fails?: boolean;
  readonly stays?: boolean;
  readonly on?: string;
}>({
  name: 'slow',
  async create({ name, holds, fails = false, stays = false, on }, reactor) {
    await at('create', holds);
    return {
      name,
      bases: on === undefined ? [] : [BaseBdev.open(reactor, on)],
      productName: 'Slow',
      blockSizeBytes: 512,
      blocks: 8,
      ioTypes: ioTypes(IO_READ),
      data: { holds, fails, stays },
    };
  },
  async attach({ data }, { core }) {
    const { holds, fails, stays } = data as { holds: Step; fails: boolean; stays: boolean };
    await at(`attach ${core}`, holds);
    if (fails && core === 1) throw new Error('no attach');
    return {
      createChannel: () => ({ submit: (io) => io.complete(0), close: () => {} }),
      close: () => {
        log.push(`close ${core}`);
        if (stays && core === 1) throw new Error('no close');
      },
    };
  },
  made: ({ spec }) => at('made', (spec.data as { holds: Step }).holds),
  destroy: ({ data }) => at('destroy', (data as { holds: Step }).holds),
  configCalls: () => [],
});

/** A cluster on which disk X has got as far as `holds`. */
async function making(holds: Step, fails = false) {
  log.length = 0;
  const cluster = await startCluster({ reactors: 3 });
  const made = outcome(cluster.bdevs.create('slow', { name: 'X', holds, fails }));
  await cluster.untilTrue(() => held.has(holds));
  const goOn = (): void => {
    held.get(holds)?.();
    held.delete(holds);
  };
  const nowhere = (): void => {
    for (const reactor of cluster.reactors) assert.equal(reactor.local(bdevManager).byId.size, 0);
    const count = (what: string) => log.filter((each) => each.startsWith(what)).length;
    assert.equal(count('destroy'), 1, String(log));
    assert.equal(count('close'), count('attach') - (fails ? 1 : 0), String(log));
  };
  return { cluster, made, goOn, nowhere };
}

function outcome(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'done',
    (error: Error) => error.message,
  );
}

async function someRounds(cluster: Cluster): Promise<void> {
  for (let i = 0; i < 20; i++) {
    cluster.round();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

for (const holds of ['attach 1', 'made'] as const) {
  for (const how of ['delete', 'fini'] as const) {
    test(`${how} while a disk is being made, at "${holds}": it goes from every core, once`, async () => {
      const { cluster, made, goOn, nowhere } = await making(holds);
      const gone = outcome(how === 'delete' ? cluster.bdevs.delete('X') : cluster.bdevs.fini());
      await someRounds(cluster);
      goOn();
      assert.equal(await cluster.until(made), 'bdev "X" has been removed while it was made');
      assert.equal(await cluster.until(gone), 'done');
      nowhere();
      await cluster.close();
    });
  }
}

test('a disk that cannot be attached while it is to be removed is removed', async () => {
  const { cluster, made, goOn, nowhere } = await making('attach 1', true);
  const gone = outcome(cluster.bdevs.delete('X'));
  await someRounds(cluster);
  goOn();
  assert.deepEqual(await cluster.until(Promise.all([made, gone])), ['no attach', 'done']);
  nowhere();
  await cluster.close();
});

test('what a module has made when all disks have gone is given back', async () => {
  const { cluster, made, goOn, nowhere } = await making('create');
  await cluster.until(cluster.bdevs.fini());
  goOn();
  assert.equal(await cluster.until(made), 'bdev "X": all bdevs are being removed');
  nowhere();
  await cluster.close();
});

test('a disk that not every core has can be neither opened nor found by who waits for it', async () => {
  const { cluster, made, goOn } = await making('attach 1');
  const open = (core: number) => cluster.on(core, () => BdevDesc.open('X', { write: false, onEvent: () => {} }));
  assert.throws(() => open(0), { code: 'ENODEV', message: 'bdev "X" is being made' });
  let found = false;
  const waited = cluster.bdevs.waitFor('X', 60_000).then(() => {
    found = true;
  });
  await someRounds(cluster);
  assert.equal(found, false);
  goOn();
  assert.equal(await cluster.until(made), 'done');
  await cluster.until(waited);
  for (const core of [0, 1, 2]) open(core).close();
  await cluster.until(cluster.bdevs.delete('X'));
  await cluster.close();
});

test('what is set of a disk that not every core has is refused; and it is not listed', async () => {
  const { cluster, made, goOn } = await making('attach 1');
  const { bdevs, reactors } = cluster;
  const refused = { code: 'ENODEV', message: 'bdev "X" is being made' };
  await assert.rejects(cluster.until(bdevs.setRates('X', { rw_ios_per_sec: 1000 })), refused);
  await assert.rejects(cluster.until(bdevs.addAlias('X', 'also X')), refused);
  await assert.rejects(cluster.until(bdevs.stat(['X'])), refused);
  await assert.rejects(cluster.until(faultRegistry(reactors[0]).add('X', 'op=read')), refused);
  assert.throws(() => bdevs.get('X'), refused);
  assert.deepEqual(bdevs.list(), []);
  assert.equal(bdevs.has('X'), true, 'the name is taken');
  goOn();
  assert.equal(await cluster.until(made), 'done');
  assert.equal(bdevs.list().length, 1);
  await cluster.until(bdevs.setRates('X', { rw_ios_per_sec: 1000 }));
  for (const reactor of reactors) assert.notEqual(reactor.local(bdevManager).get('X').qos, null);
  await cluster.close();
});

test('a new size of a disk that not every core has comes to all of them', async () => {
  for (const holds of ['attach 0', 'attach 1'] as const) {
    const { cluster, made, goOn } = await making(holds);
    const resized = outcome(cluster.bdevs.resize('X', 16));
    await someRounds(cluster);
    goOn();
    assert.deepEqual(await cluster.until(Promise.all([made, resized])), ['done', 'done'], holds);
    for (const reactor of cluster.reactors) assert.equal(reactor.local(bdevManager).get('X').blocks, 16);
    await cluster.close();
  }
});

test('a disk is told to come, to change and to go, and nothing is told of one that never came', async () => {
  const told: string[] = [];
  for (const how of ['done', 'bdev "X" has been removed while it was made'] as const) {
    const { cluster, made, goOn } = await making('made');
    const { bdevs } = cluster;
    bdevs.onRegister = ({ name }) => void told.push(`register ${name}`);
    bdevs.onResize = ({ name }) => void told.push(`resize ${name}`);
    bdevs.onUnregister = ({ name }) => void told.push(`unregister ${name}`);
    await cluster.until(bdevs.resize('X', 16));
    const gone = how === 'done' ? null : bdevs.delete('X');
    await someRounds(cluster);
    goOn();
    assert.equal(await cluster.until(made), how);
    await cluster.until(gone ?? bdevs.resize('X', 32));
    await cluster.close();
    assert.deepEqual(told.splice(0), how === 'done' ? ['register X', 'resize X', 'unregister X'] : []);
  }
});

test('the names of a disk that goes are taken until all is given back, and then it is told of', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const { bdevs } = cluster;
  await malloc(cluster, 'B');
  const told: string[] = [];
  bdevs.onRegister = ({ id }) => void told.push(`register ${id}`);
  let again: Promise<unknown> | null = null;
  bdevs.onUnregister = ({ id }) => {
    told.push(`unregister ${id}`);
    again ??= make();
  };
  const make = () => bdevs.create('slow', { name: 'X', holds: 'destroy', on: 'B' });
  const { id } = (await cluster.until(make())) as Bdev;
  const gone = bdevs.delete('X');
  await cluster.untilTrue(() => held.has('destroy'));
  await assert.rejects(cluster.until(bdevs.create('slow', { name: 'X', holds: 'made' })), { code: 'EEXIST' });
  bdevs.follow('X', 16);
  // Who removes it again waits with the first.
  let ended = false;
  const twice = bdevs.delete('X').then(() => {
    ended = true;
  });
  await someRounds(cluster);
  assert.equal(ended, false);
  held.get('destroy')?.();
  await cluster.until(Promise.all([gone, twice]));
  // Its base is free, and its name.
  const next = ((await cluster.until(again as never)) as Bdev).id;
  assert.deepEqual(told, [`register ${id}`, `unregister ${id}`, `register ${next}`]);
  assert.equal(bdevs.get('X').blocks, 8);
  held.delete('destroy');
  const last = bdevs.delete('X');
  await cluster.untilTrue(() => held.has('destroy'));
  held.get('destroy')?.();
  await cluster.until(last);
  held.clear();
  await cluster.close();
});

test('a disk that a core fails to let go of is given back all the same', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const { bdevs } = cluster;
  await malloc(cluster, 'B');
  let gone = 0;
  bdevs.onUnregister = () => void gone++;
  log.length = 0;
  const make = (stays: boolean) => bdevs.create('slow', { name: 'X', holds: 'made', on: 'B', stays });
  for (const stays of [true, false]) {
    const made = cluster.until(make(stays));
    await cluster.untilTrue(() => held.has('made'));
    held.get('made')?.();
    held.clear();
    await made;
    assert.equal(await cluster.until(outcome(bdevs.delete('X'))), stays ? 'no close' : 'done');
  }
  assert.equal(log.filter((step) => step === 'destroy').length, 2);
  assert.equal(gone, 2);
  await cluster.close();
});

test('what is asked for on a disk that is being made is made when that is there', async () => {
  for (const holds of ['create', 'attach 1', 'made'] as const) {
    const { cluster, made, goOn } = await making(holds);
    const { bdevs } = cluster;
    const params = { name: 'P', base_bdev_name: 'X' };
    const asked = outcome(bdevs.createOn('X', 'passthru', params, null));
    assert.equal(await cluster.until(asked), 'done', holds);
    goOn();
    assert.equal(await cluster.until(made), 'done');
    await cluster.until(bdevs.waitForExamine());
    assert.equal(bdevs.get('P').ready, true, holds);
    await cluster.until(bdevs.delete('X'));
    assert.deepEqual(bdevs.list(), []);
    assert.deepEqual(bdevs.waitingOn('X', 'passthru'), ['P'], 'it comes back with its base');
    await cluster.close();
  }
});

test('a disk that is being made is split when it is there', async () => {
  for (const holds of ['create', 'attach 1', 'made'] as const) {
    const { cluster, made, goOn } = await making(holds);
    const { bdevs } = cluster;
    const asked = outcome(createSplit(cluster.reactors[0], { base_bdev: 'X', split_count: 2 }));
    assert.equal(await cluster.until(asked), 'done', holds);
    goOn();
    assert.equal(await cluster.until(made), 'done');
    await cluster.until(bdevs.waitForExamine());
    for (const name of ['Xp0', 'Xp1']) assert.equal(bdevs.get(name).blocks, 4, holds);
    await cluster.until(bdevs.fini());
    await cluster.close();
  }
});
