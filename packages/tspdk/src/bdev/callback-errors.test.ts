/** What users' code throws, in callbacks and events: the reactor hears of it, and nobody else is left waiting. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BdevDesc, type BdevEvent } from './desc.ts';
import { ENOMEM } from './status.ts';
import { make, onCores, setUp, takeBdevIos } from './stub-setup.sim.ts';

const BLOCK = 512;
const throwing = (): never => {
  throw new Error('user bug');
};

test('an event handler that throws: the other owners on every core are told, and the disk goes', async () => {
  const { cluster, close } = await onCores({ reactors: 2 });
  await make(cluster, { name: 'E' });
  const events: string[] = [];
  const opened = (core: number, name: string, and: () => void = () => {}): void => {
    const onEvent = (event: BdevEvent): void => {
      events.push(`${name} ${event}`);
      if (event === 'remove') desc.close();
      and();
    };
    const desc = cluster.on(core, () => BdevDesc.open('E', { write: false, onEvent }));
  };
  opened(0, 'first', throwing);
  opened(0, 'second');
  opened(1, 'third');
  await cluster.until(cluster.bdevs.resize('E', 2048));
  await cluster.until(cluster.bdevs.delete('E'));
  assert.deepEqual(events.splice(0, 3), ['first resize', 'second resize', 'third resize']);
  assert.deepEqual(events, ['first remove', 'second remove', 'third remove']);
  assert.equal(cluster.bdevs.has('E'), false);
  assert.deepEqual(
    cluster.faults.splice(0).map((error) => (error as Error).message),
    ['user bug', 'user bug'],
  );
  await close();
});

test('the last callback of a channel that is closed throws: the channel goes, and so can the disk', async () => {
  const { cluster, channel, desc, stub, buf, tearDown } = await setUp();
  channel.read(buf, 0, 0, BLOCK, throwing, null);
  desc.close();
  // Reported in a turn of its own, as what is completed inside a submit is.
  channel.shared.manager.depth++;
  stub.complete(1);
  channel.shared.manager.depth--;
  cluster.turns();
  assert.match(String(cluster.faults.splice(0)), /user bug/);
  assert.equal(stub.closed, true);
  await cluster.until(cluster.bdevs.delete('S'));
  await tearDown();
});

test('who waits for a BdevIo and throws when there is one: those behind have theirs', async () => {
  const { cluster, channel, stub, buf, done, cb, tearDown } = await setUp();
  const giveBack = takeBdevIos(channel.shared.manager.pool);
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'none'), ENOMEM);
  channel.queueIoWait({ onReady: throwing });
  channel.queueIoWait({ onReady: () => void channel.read(buf, 0, 0, BLOCK, cb, 'second') });
  giveBack();
  cluster.settle();
  assert.match(String(cluster.faults.splice(0)), /user bug/);
  assert.equal(stub.outstanding.length, 1);
  stub.complete(1);
  assert.deepEqual(done, ['second 0']);
  await tearDown();
});

test('what waits for its time and throws takes nothing else with it that is due', async () => {
  const { cluster, bdev, tearDown } = await setUp();
  const called: string[] = [];
  bdev.manager.retryAfter(10, { retry: throwing });
  bdev.manager.retryAfter(10, { retry: () => void called.push('second') });
  cluster.clock.nowUs += 10;
  cluster.turns();
  assert.deepEqual(called, ['second']);
  assert.match(String(cluster.faults.splice(0)), /user bug/);
  await tearDown();
});
