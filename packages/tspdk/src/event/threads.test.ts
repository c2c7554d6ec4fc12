// Lightweight threads on real cores: the contract of thread/ on reactors that sleep and wake, in worker threads.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cpuset } from '../env/cpuset.ts';
import {
  exitThread,
  forEachChannelAsync,
  forEachThreadAsync,
  getCount,
  sendCriticalMsg,
  sendMsg,
  Thread,
} from '../thread/index.ts';
import { App } from './app.ts';
import {
  closeChannel,
  critical,
  fixtureUrl,
  openChannel,
  ping,
  registerDevice,
  startTimer,
  takeSeen,
  takeVisits,
  unregisterDevice,
  visit,
  visitChannel,
} from './threads.fixture.ts';

const base = { cores: [0, 1], pin: false, signals: false, modules: [fixtureUrl] } as const;
const on = (core: number) => new Cpuset([core]);

/** Lets the cores work until `done` says so. The test runner's own timeout is the only limit. */
async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 1));
}

test('messages between threads of two cores run once, in order, in both directions', async () => {
  const count = 5000;
  const rc = await App.start(base, async (app) => {
    const home = Thread.create(app.reactor, { name: 'home', cpumask: on(0) }) as Thread;
    const far = Thread.create(app.reactor, { name: 'far', cpumask: on(1) });
    for (let seq = 0; seq < count; seq++) sendMsg(far.id, ping, home.id, seq);
    const answers: number[] = [];
    await until(async () => {
      answers.push(...(await app.call(0, takeSeen, null)));
      return answers.length >= count;
    });
    const expected = Array.from({ length: count }, (_, i) => i);
    assert.deepEqual(answers, expected);
    assert.deepEqual(await app.call(1, takeSeen, null), expected);
    app.stop(0);
  });
  assert.equal(rc, 0);
});

test('iterations over threads and channels of two cores come home; devices and threads go', async () => {
  const rc = await App.start(base, async (app) => {
    const { reactor } = app;
    const home = Thread.create(reactor, { name: 'home', cpumask: on(0) }) as Thread;
    const far = [1, 1].map((core, i) => Thread.create(reactor, { name: `far${i}`, cpumask: on(core) }));
    await forEachThreadAsync(home, visit, 0);
    const visits = await app.callAll(takeVisits, null);
    assert.deepEqual(visits, [2, 2], 'the app thread is one of them');

    const id = reactor.allocIoDeviceId();
    await app.callAll(registerDevice, id);
    for (const thread of [home, ...far]) sendMsg(thread.id, openChannel, id, 0);
    await forEachThreadAsync(home, visit, 0);
    await app.callAll(takeVisits, null);
    assert.equal(await forEachChannelAsync(home, id, visitChannel, 0), 0);
    assert.deepEqual(await app.callAll(takeVisits, null), [1, 2]);

    const gone = app.callAll(unregisterDevice, id);
    for (const thread of [home, ...far]) sendMsg(thread.id, closeChannel, 0, 0);
    await gone;
    for (const thread of far) sendMsg(thread.id, exitThread, 0, 0);
    await until(() => getCount(reactor) === 2);
    app.stop(0);
  });
  assert.equal(rc, 0);
});

test('a timed poller and a critical message wake a core that sleeps', async () => {
  const rc = await App.start(base, async (app) => {
    const home = Thread.create(app.reactor, { name: 'home', cpumask: on(0) }) as Thread;
    const far = Thread.create(app.reactor, { name: 'far', cpumask: on(1) });
    sendMsg(far.id, startTimer, home.id, 0);
    const calls: number[] = [];
    await until(async () => {
      calls.push(...(await app.call(0, takeSeen, null)));
      return calls.length === 3;
    });
    assert.deepEqual(calls, [3, 2, 1]);
    assert.equal(sendCriticalMsg(far.id, critical), 0);
    await until(async () => (await app.call(0, takeSeen, null))[0] === 99);
    app.stop(0);
  });
  assert.equal(rc, 0);
});

test('threads created and exited in turn leave nothing behind', async () => {
  const rc = await App.start(base, async (app) => {
    const before = getCount(app.reactor);
    for (let i = 0; i < 300; i++) {
      const thread = Thread.create(app.reactor, { cpumask: on(i & 1) });
      sendMsg(thread.id, visit, 0, 0);
      sendMsg(thread.id, exitThread, 0, 0);
    }
    await until(() => getCount(app.reactor) === before);
    assert.deepEqual(await app.callAll(takeVisits, null), [150, 150]);
    app.stop(0);
  });
  assert.equal(rc, 0);
});
