/** Faults on demand: where and when rules strike. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { malloc } from '../../module/bdev/malloc/malloc-setup.sim.ts';
import '../../module/bdev/passthru/passthru-bdev.ts';
import { startCluster } from '../cluster.sim.ts';
import { BdevDesc } from '../desc.ts';
import { faulty } from './fault-setup.sim.ts';
import { faultRegistry } from './registry.ts';

const BLOCK = 512;

test('where and when: range, skip, every, count, time', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  /** Reads `count` times a block at `lba`; the positions that failed. */
  const failures = (count: number, lba = 0, blocks = 1): number[] => {
    for (let i = 0; i < count; i++) assert.equal(channel.read(buf, 0, lba * BLOCK, blocks * BLOCK, cb, i), 0);
    stub.complete(stub.outstanding.length);
    settle();
    return done
      .splice(0)
      .filter((each) => !each.endsWith(' 0'))
      .map((each) => Number(each.split(' ')[0]))
      .sort((a, b) => a - b);
  };
  await add('skip=2,every=3,count=2');
  assert.deepEqual(failures(15), [4, 7]);
  await cluster.until(faults.clear('S'));
  await add('offset_blocks=10,num_blocks=2');
  assert.deepEqual([failures(1, 9), failures(1, 10), failures(1, 11), failures(1, 12)], [[], [0], [0], []]);
  assert.deepEqual([failures(1, 8, 3), failures(1, 0, 100)], [[0], [0]]);
  await cluster.until(faults.clear('S'));
  const { clock } = cluster;
  await add('start_ms=10,duration_ms=5');
  assert.deepEqual(failures(1), []);
  clock.nowUs += 10_000;
  cluster.round();
  assert.deepEqual(failures(1), [0]);
  clock.nowUs += 5000;
  cluster.round();
  assert.deepEqual(failures(1), []);
  const [{ id }] = faults.list('S');
  await cluster.until(faults.remove(id));
  await assert.rejects(cluster.until(faults.remove(id)), { code: 'ENOENT' });
  await tearDown();
});

test('queue_depth: what the disk has counts, once each; what is held back, or done, does not', async () => {
  const { channel, stub, buf, done, cb, add, settle, tearDown } = await faulty();
  await add('op=flush,action=stuck');
  await add('op=unmap,action=delay,delay_us=3600000000,stage=completion');
  await add('op=read,errno=EBUSY,queue_depth=2');
  const start = (name: string): void => {
    if (name === 'flush') assert.equal(channel.flush(0, BLOCK, cb, name), 0);
    else if (name === 'unmap') assert.equal(channel.unmap(0, BLOCK, cb, name), 0);
    else assert.equal(channel.read(buf, 0, 0, BLOCK, cb, name), 0);
    settle();
  };
  for (const name of ['flush', 'flush', 'unmap', 'read']) start(name);
  assert.equal(stub.outstanding.length, 2, 'one on its way to a delay, and one that found it alone');
  start('struck');
  assert.deepEqual(done.splice(0), ['struck -16']);
  stub.complete(1);
  start('again');
  assert.deepEqual(done, [], 'one is done, though held back');
  start('struck');
  assert.deepEqual(done.splice(0), ['struck -16']);
  assert.equal(channel.reset(cb, 'reset'), 0);
  settle();
  assert.equal(done.length, 6);
  await tearDown();
});

test('rules follow one another by the state of their disk', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=write,action=error,state=1,new_state=2,count=1');
  await add('op=read,action=error,errno=EBUSY,state=2,new_state=3,count=1');
  await add('op=flush,action=error,errno=ENOSPC,state=3,new_state=1,count=1');
  const step = (start: () => number): string => {
    assert.equal(start(), 0);
    stub.complete(stub.outstanding.length);
    settle();
    return done.splice(0).join();
  };
  const read = () => step(() => channel.read(buf, 0, 0, BLOCK, cb, 'r'));
  const flush = () => step(() => channel.flush(0, BLOCK, cb, 'f'));
  assert.deepEqual([read(), flush()], ['r 0', 'f 0']);
  assert.equal(
    step(() => channel.write(buf, 0, 0, BLOCK, cb, 'w')),
    'w -5',
  );
  assert.equal(faults.state('S'), 2);
  assert.deepEqual([flush(), read(), read(), flush(), flush()], ['f 0', 'r -16', 'r 0', 'f -28', 'f 0']);
  assert.equal(faults.state('S'), 1);
  faults.setState('S', 3);
  assert.equal(faults.state('S'), 3);
  assert.throws(() => faults.setState('S', 0), { code: 'EINVAL' });
  await cluster.until(faults.clear('S'));
  await tearDown();
});

test('set_state: nothing goes wrong, and the I/O goes on to the rules behind it', async () => {
  const { channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=flush,action=set_state,skip=2,count=1,state=1,new_state=2');
  await add('op=flush,errno=EBUSY,state=2,new_state=3');
  await add('op=flush,errno=ENOSPC,state=3');
  const flush = (): string => {
    assert.equal(channel.flush(0, BLOCK, cb, 'f'), 0);
    stub.complete(stub.outstanding.length);
    settle();
    return done.splice(0).join();
  };
  assert.deepEqual([flush(), flush(), faults.state('S')], ['f 0', 'f 0', 1]);
  assert.deepEqual([flush(), faults.state('S')], ['f 0', 2], 'it has come in state 1');
  assert.deepEqual([flush(), faults.state('S')], ['f -16', 3]);
  assert.deepEqual([flush(), flush()], ['f -28', 'f -28']);
  assert.deepEqual(
    faults.list('S').map(({ seen, struck }) => [seen, struck]),
    [
      [3, 1],
      [1, 1],
      [2, 2],
    ],
  );
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'r'), 0);
  stub.complete(1);
  settle();
  await tearDown();
});

test('the first rule that applies strikes, those behind it do not see the I/O; one step of the state is all that it takes', async () => {
  const { channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=read,action=set_state,state=1,new_state=2');
  await add('op=read,errno=EBUSY,state=1,new_state=3');
  await add('op=read,errno=ENOSPC,skip=1,every=2');
  await add('op=read,errno=ETIMEDOUT');
  const read = (): string => {
    assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'r'), 0);
    stub.complete(stub.outstanding.length);
    settle();
    return done.splice(0).join();
  };
  assert.deepEqual([read(), read(), read()], ['r -110', 'r -110', 'r -28']);
  assert.equal(faults.state('S'), 2);
  assert.deepEqual(
    faults.list('S').map(({ seen, struck }) => [seen, struck]),
    [
      [1, 1],
      [1, 0],
      [3, 1],
      [2, 2],
    ],
  );
  await tearDown();
});

test('a rule for one connection: only its I/Os, also those that reach the disk through another', async () => {
  const cluster = await startCluster();
  await malloc(cluster, 'B', 64);
  await cluster.until(cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'B' }));
  const faults = faultRegistry(cluster.reactors[0]);
  await cluster.until(faults.add('B', { op: 'write', errno: 'ENOSPC', connection: 7 }));
  const desc = BdevDesc.open('P', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(BLOCK);
  const statuses: number[] = [];
  for (const connection of [0, 7, 8, 7, 0]) {
    channel.connection = connection;
    assert.equal(
      channel.write(buf, 0, 0, BLOCK, (_, status) => void statuses.push(status), null),
      0,
    );
    await cluster.untilTrue(() => statuses[statuses.length - 1] !== undefined);
    cluster.turns();
  }
  assert.deepEqual(statuses, [0, -28, 0, -28, 0]);
  assert.equal(faults.list('B')[0].seen, 2);
  desc.close();
  await cluster.close();
});
