// When a connection lets requests gather, and when it stops: the decisions alone, no clock.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from './pace.ts';

/** Feeds `batches` of `started` requests; returns the last wait. */
function feed(pace: Pace, batches: number, started: number, replying = false): number {
  let us = 0;
  for (let i = 0; i < batches; i++) us = pace.next(started, replying);
  return us;
}

test('a client with one request at a time never waits', () => {
  assert.equal(feed(new Pace(), 100_000, 1), 0);
});

test('a few coincidences are no evidence, several requests at once or overlapping replies are', () => {
  const pace = new Pace();
  for (let i = 0; i < 1000; i++) {
    assert.equal(feed(pace, 3, 2), 0);
    assert.equal(feed(pace, 6, 1), 0);
  }
  assert.ok(feed(new Pace(), 10, 3) > 0);
  assert.ok(feed(new Pace(), 10, 1, true) > 0);
});

test('it waits longer while it finds little, shorter while it finds much, within bounds', () => {
  const pace = new Pace();
  const first = feed(pace, 8, 8);
  assert.ok(feed(pace, 4, 5) > first);
  const longest = feed(pace, 100, 5);
  assert.equal(feed(pace, 100, 5), longest);
  assert.ok(longest <= 50, 'less than a slice');
  assert.ok(feed(pace, 4, 20) < longest);
  assert.equal(feed(pace, 100, 20), first);
});

test('it stops when waiting does not pay, and tries again ever more rarely until it does', () => {
  const pace = new Pace();
  feed(pace, 8, 3);
  let batches = 0;
  const rests: number[] = [];
  for (let i = 0; i < 4; i++) {
    while (pace.next(2, true) > 0) batches++;
    assert.ok(batches > 0);
    batches = 0;
    while (pace.next(2, true) === 0) batches++;
    rests.push(batches);
    batches = 0;
  }
  assert.ok(rests[3] > rests[0] * 4, String(rests));
  feed(pace, 10, 10);
  while (pace.next(2, true) > 0);
  batches = 0;
  while (pace.next(2, true) === 0) batches++;
  assert.ok(batches <= rests[0], 'a good time makes it forget the bad ones');
});
