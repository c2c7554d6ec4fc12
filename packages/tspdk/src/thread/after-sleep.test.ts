// What is done between two turns, after a long sleep, counts from now and not from the last turn: deadlines and periods.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../env/limits.ts';
import { TestCluster } from './test-host.ts';

test('an exit and a timed poller that begin after a long sleep get their whole time', () => {
  const cluster = new TestCluster(1);
  const host = cluster.host(0);
  const thread = host.create('t');
  // The clock went on while the reactor slept: nowUs is still that of the last turn.
  const wokeUs = 3600e6;
  host.clock.read = () => wokeUs;
  thread.run(() => {
    const timed = thread.registerPoller({ name: 'timed', fn: () => 0, periodUs: 1000 });
    assert.equal(thread.nextPollUs(), wokeUs + 1000);
    timed.unregister();
    thread.exit();
  });
  assert.equal(thread.exitDeadlineUs, wokeUs + limits.thread_exit_timeout_ms * 1000);
  assert.equal(host.create('later').createdUs, wokeUs);
});
