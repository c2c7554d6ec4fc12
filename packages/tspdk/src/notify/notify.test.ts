// Notifications are numbered, kept for a while, and said to be lost when they are.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { Notify } from './notify.ts';

// SPDK's notify unit test: notify. It applies whole.

test('notify: types, ids, from an id on, at most so many', () => {
  const notify = new Notify();
  assert.deepEqual(notify.types(), []);
  notify.registerType('bdev_register');
  notify.registerType('bdev_unregister');
  notify.registerType('bdev_register');
  assert.deepEqual(notify.types(), ['bdev_register', 'bdev_unregister']);
  assert.throws(
    () => notify.registerType(''),
    (error) => error instanceof SpdkError && error.code === 'EINVAL',
  );
  assert.throws(
    () => notify.send('other', ''),
    (error) => error instanceof SpdkError && error.code === 'ENOENT',
  );
  assert.deepEqual(notify.events(), []);
  assert.equal(notify.send('bdev_register', 'Malloc0'), 0);
  assert.equal(notify.send('bdev_unregister', 'Malloc0'), 1);
  assert.equal(notify.send('bdev_register', 'Malloc1'), 2);
  const event = (id: number) => notify.events()[id];
  assert.deepEqual(event(1), { id: 1, type: 'bdev_unregister', context: 'Malloc0' });
  assert.deepEqual(
    notify.events(1).map(({ id }) => id),
    [1, 2],
  );
  assert.deepEqual(
    notify.events(1, 1).map(({ id }) => id),
    [1],
  );
  assert.deepEqual(notify.events(0, 0), []);
  assert.deepEqual(notify.events(3), []);
  assert.deepEqual(notify.events(1e15), []);
});

test('notify: what was overwritten is skipped', () => {
  const notify = new Notify(4);
  notify.registerType('t');
  for (let i = 0; i < 11; i++) notify.send('t', `c${i}`);
  assert.deepEqual(
    notify.events().map(({ id, context }) => [id, context]),
    [
      [7, 'c7'],
      [8, 'c8'],
      [9, 'c9'],
      [10, 'c10'],
    ],
  );
  assert.deepEqual(
    notify.events(2, 2).map(({ id }) => id),
    [7, 8],
  );
  assert.deepEqual(
    notify.events(9).map(({ id }) => id),
    [9, 10],
  );
});

test('an instance for each application', () => {
  const [a, b] = [new Notify(), new Notify()];
  a.registerType('t');
  assert.deepEqual(b.types(), []);
});
