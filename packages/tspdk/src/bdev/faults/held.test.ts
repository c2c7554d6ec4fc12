/** What faults hold back, and what may end it: an abort, a reset, the end of the disk or of the application. Aborts and resets that go wrong themselves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IO_WRITE } from '../io-type.ts';
import { faulty } from './fault-setup.sim.ts';

const BLOCK = 512;

test('stuck: until it is resumed, aborted or reset', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=write,action=stuck');
  for (const name of ['a', 'b', 'c']) assert.equal(channel.write(buf, 0, 0, BLOCK, cb, name), 0);
  settle();
  assert.equal(stub.outstanding.length, 0);
  assert.equal(await cluster.until(faults.stuck('S')), 3);
  assert.equal(channel.abort('b'), 1);
  settle();
  assert.deepEqual(done.splice(0), ['b -125']);
  await cluster.until(faults.clear('S'));
  assert.equal(await cluster.until(faults.resume('S')), 2, 'they outlive their rule');
  assert.equal(stub.outstanding.length, 2);
  stub.complete(2);
  settle();
  assert.deepEqual(done.splice(0), ['a 0', 'c 0']);
  await add('op=write,action=stuck');
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'd'), 0);
  assert.equal(channel.reset(cb, 'reset'), 0);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done, ['d -125', 'reset 0']);
  await tearDown();
});

test('errno of what is held back: at submission the disk never has it, at completion it has done it', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=read,action=delay,delay_us=50,errno=ETIMEDOUT');
  await add('op=write,action=delay,delay_us=50,errno=ENOSPC,stage=completion');
  await add('op=flush,action=stuck,errno=EBUSY');
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'read'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'write'), 0);
  assert.equal(channel.flush(0, BLOCK, cb, 'flush'), 0);
  assert.deepEqual(
    stub.outstanding.map((io) => io.type),
    [IO_WRITE],
  );
  stub.complete(1);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done.splice(0), ['read -110', 'write -28']);
  assert.equal(await cluster.until(faults.resume('S')), 1);
  settle();
  assert.deepEqual(done, ['flush -16']);
  assert.equal(stub.outstanding.length, 0);
  await tearDown();
});

test('a delayed I/O ends at once when it is aborted or its disk is reset, at either stage', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, tearDown } = await faulty();
  await add('op=read,action=delay,delay_us=3600000000');
  await add('op=write,action=delay,delay_us=3600000000,stage=completion');
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'a'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'b'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'with the disk'), 0);
  stub.complete(1);
  settle();
  assert.deepEqual(done, []);
  assert.deepEqual([channel.abort('a'), channel.abort('b'), channel.abort('with the disk')], [1, 1, 1]);
  settle();
  assert.deepEqual(done.splice(0).sort(), ['a -125', 'b -125', 'with the disk -125']);
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'c'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'd'), 0);
  stub.complete(1);
  settle();
  assert.equal(channel.reset(cb, 'reset'), 0);
  await cluster.untilTrue(() => done.length === 3);
  assert.deepEqual(done.sort(), ['c -125', 'd -125', 'reset 0']);
  await tearDown();
});

test('a delay that ends early leaves no timer', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, tearDown } = await faulty();
  await add('op=read,action=delay,delay_us=3600000000');
  await add('op=write,action=delay,delay_us=3600000000,stage=completion');
  for (const name of ['aborted', 'reset']) {
    assert.equal(channel.read(buf, 0, 0, BLOCK, cb, name), 0);
    assert.equal(channel.write(buf, 0, 0, BLOCK, cb, name), 0);
  }
  stub.complete(2);
  settle();
  assert.equal(channel.abort('aborted'), 2);
  assert.equal(channel.reset(cb, 'done'), 0);
  await cluster.untilTrue(() => done.length === 5);
  // Those with which strikes are reported.
  cluster.clock.nowUs += 2_000_000;
  settle();
  assert.equal(channel.shared.manager.nextPollUs(), Number.POSITIVE_INFINITY);
  await tearDown();
});

test('what is held back ends when its disk goes', async () => {
  const { cluster, desc, channel, stub, buf, done, cb, add, settle } = await faulty();
  await add('op=read,action=stuck');
  await add('op=write,action=delay,delay_us=3600000000');
  await add('op=flush,action=delay,delay_us=3600000000,stage=completion');
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'stuck'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'delayed'), 0);
  assert.equal(channel.flush(0, BLOCK, cb, 'done'), 0);
  stub.complete(1);
  settle();
  assert.deepEqual(done, []);
  const gone = cluster.until(cluster.bdevs.delete('S'));
  await cluster.untilTrue(() => done.length === 3);
  assert.deepEqual(done.sort(), ['delayed -19', 'done -19', 'stuck -19']);
  desc.close();
  await gone;
  await cluster.close();
});

test('what is with the disk when that goes, or the application, is not held back when the disk has done it', async () => {
  for (const how of ['disk', 'application'] as const) {
    const { cluster, desc, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
    await add('op=write,action=delay,delay_us=3600000000,stage=completion');
    assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'w'), 0);
    const gone = cluster.until(how === 'disk' ? cluster.bdevs.delete('S') : faults.close());
    if (how === 'disk') await cluster.untilTrue(() => channel.shared.bdev.removing);
    else await gone;
    assert.deepEqual(done, []);
    stub.complete(1);
    settle();
    assert.deepEqual(done, [how === 'disk' ? 'w -19' : 'w 0']);
    if (how === 'application') await tearDown();
    else {
      desc.close();
      await gone;
      await cluster.close();
    }
  }
});

test('when the application stops nothing goes wrong any more, and what is held back ends', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=read,action=stuck');
  await add('op=write,action=delay,delay_us=3600000000');
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'stuck'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'delayed'), 0);
  await cluster.until(faults.close());
  settle();
  assert.deepEqual(done.splice(0).sort(), ['delayed -19', 'stuck -19']);
  assert.deepEqual(faults.list(), []);
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'r'), 0);
  stub.complete(1);
  settle();
  assert.deepEqual(done, ['r 0']);
  // RPC is served for a while yet: what a new rule would hold back nobody would end.
  await assert.rejects(add('op=read,action=stuck'), {
    code: 'ESHUTDOWN',
    message: 'bdev "S" takes no fault rules: the application is stopping',
  });
  await tearDown();
});

test('reset: only by its name, and each of what can happen to it', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  const write = (): void => {
    assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'w'), 0);
    assert.equal(channel.reset(cb, 'reset'), 0);
  };
  const ended = async (count: number): Promise<string[]> => {
    await cluster.untilTrue(() => done.length === count);
    settle();
    return done.splice(0);
  };
  await add('errno=ENOSPC,skip=1');
  write();
  assert.deepEqual(await ended(2), ['w -125', 'reset 0'], 'op=all is not for resets');
  await cluster.until(faults.clear('S'));

  await add('op=reset,errno=EBUSY,count=1');
  write();
  assert.deepEqual(await ended(1), ['reset -16']);
  assert.equal(stub.outstanding.length, 1, 'it has aborted nothing');
  await add('op=reset,action=lost,count=1');
  assert.equal(channel.reset(cb, 'reset'), 0);
  assert.deepEqual(await ended(1), ['reset 0']);
  assert.equal(stub.outstanding.length, 1, 'nor has this one');
  await add('op=reset,stage=completion,errno=ETIMEDOUT,count=1');
  assert.equal(channel.reset(cb, 'reset'), 0);
  assert.deepEqual(await ended(2), ['w -125', 'reset -110']);

  await add('op=reset,action=stuck,count=1');
  write();
  settle();
  assert.equal(await cluster.until(faults.stuck('S')), 1);
  assert.equal(channel.reset(cb, 'another'), 0);
  assert.deepEqual(await ended(2), ['w -125', 'another 0'], 'another passes it');
  assert.equal(await cluster.until(faults.resume('S')), 1);
  assert.deepEqual(await ended(1), ['reset 0']);

  await add('op=reset,action=delay,delay_us=400,count=1');
  const from = cluster.clock.nowUs;
  write();
  assert.deepEqual(await ended(2), ['w -125', 'reset 0']);
  assert.ok(cluster.clock.nowUs - from >= 400);

  channel.connection = 7;
  await add('op=reset,errno=EBUSY,connection=7');
  write();
  assert.deepEqual(await ended(1), ['reset -16']);
  channel.connection = 8;
  assert.equal(channel.reset(cb, 'reset'), 0);
  assert.deepEqual(await ended(2), ['w -125', 'reset 0']);
  const { outstanding, resets, layered } = channel.shared;
  assert.deepEqual([outstanding, resets, layered], [0, 0, 0]);
  await tearDown();
});

test('abort: it finds nothing to end, or says that it has; by what its I/O is', async () => {
  const { channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  for (const [name, lba] of [
    ['a', 0],
    ['b', 10],
  ] as const) {
    assert.equal(channel.write(buf, 0, lba * BLOCK, BLOCK, cb, name), 0);
  }
  await add('op=abort,offset_blocks=10,num_blocks=1,count=1');
  await add('op=abort,action=lost,offset_blocks=10,num_blocks=1,count=1');
  assert.equal(channel.abort('a'), 1);
  assert.equal(channel.abort('b'), 0);
  assert.equal(channel.abort('b'), 1);
  settle();
  assert.deepEqual(done.splice(0), ['a -125']);
  assert.equal(stub.outstanding.length, 1);
  assert.equal(channel.abort('b'), 1);
  settle();
  assert.deepEqual(done, ['b -125']);
  assert.deepEqual(
    faults.list('S').map(({ struck }) => struck),
    [1, 1],
  );
  await tearDown();
});
