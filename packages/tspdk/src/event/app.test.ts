// The application's life on real threads: start, iterate, stop from anywhere, and nothing left behind.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { dieHere, fixtureUrl, leakHere, stopFromHere, throwHere, visit, visitsOf } from './app.fixture.ts';
import { App } from './app.ts';
import { forEachReactor, forEachReactorAsync } from './for-each-reactor.ts';

const base = { cores: [0, 1], pin: false, signals: false, modules: [fixtureUrl] } as const;

test('forEachReactor runs on every core in order, then completes on the caller', async () => {
  const rc = await App.start(base, async (app) => {
    for (let i = 0; i < 100; i++) await forEachReactorAsync(app.reactor, visit);
    assert.deepEqual(await app.callAll(visitsOf, null), [100, 100]);
    assert.equal(app.reactor.iterations, 0);
    assert.equal(app.reactor.heap.blocks, 0);
    app.stop(0);
  });
  assert.equal(rc, 0);
});

test('stop while iterations are in flight: they finish, their blocks are freed, new ones are refused', async () => {
  let completions = 0;
  const rc = await App.start(base, (app) => {
    for (let i = 0; i < 500; i++) forEachReactor(app.reactor, visit, i, 0, () => completions++);
    app.stop(0);
    assert.throws(() => forEachReactor(app.reactor, visit, 0, 0, () => {}), { code: 'ESHUTDOWN' });
  });
  assert.equal(rc, 0, 'a leak would make it 1');
  assert.equal(completions, 500);
});

test('stop from a worker core; the first return code wins', async () => {
  const rc = await App.start(base, (app) => {
    app.reactor.send(1, stopFromHere, 7, 0, 0);
  });
  assert.equal(rc, 7);
  assert.equal(
    await App.start(base, (app) => {
      app.stop(3);
      app.stop(4);
    }),
    3,
  );
});

test('a stop: subsystems hear of it, the shutdown function runs, services stop, subsystems finish; what fails makes the code 1', async () => {
  const story: string[] = [];
  const say = (what: string) => () => void story.push(what);
  const part = {
    name: 'part',
    stopping: () => {
      story.push('stopping');
      throw new SpdkError('EIO', 'on purpose');
    },
    fini: say('fini'),
  };
  const services = [{ name: 'service', stop: say('service') }];
  const options = { ...base, subsystems: [part], services, shutdownFn: say('shutdown') };
  assert.equal(await App.start(options, (app) => app.stop(0)), 1);
  assert.deepEqual(story, ['stopping', 'shutdown', 'service', 'fini']);
});

test('a fault in an event stops the application with code 1', async () => {
  assert.equal(await App.start(base, (app) => app.reactor.send(1, throwHere, 0, 0, 0)), 1);
});

test('a leaked block makes the exit code 1', async () => {
  const rc = await App.start(base, async (app) => {
    app.reactor.send(1, leakHere, 0, 0, 0);
    await forEachReactorAsync(app.reactor, visit);
    app.stop(0);
  });
  assert.equal(rc, 1);
});

test('a start function that throws is the caller’s error, after an orderly stop', async () => {
  await assert.rejects(
    App.start(base, () => {
      throw new SpdkError('ENODEV', 'no such thing');
    }),
    /no such thing/,
  );
});

test('a module that does not load in a worker fails the start with its own message', async () => {
  await assert.rejects(
    App.start({ ...base, modules: ['data:text/javascript,throw new Error("broken on load")'] }, () => {}),
    /broken on load/,
  );
});

test('a worker that ends while it loads fails the start', async () => {
  await assert.rejects(
    App.start({ ...base, modules: ['data:text/javascript,process.exit(3)'] }, () => {}),
    /its thread ended with exit code 3/,
  );
});

test('a worker that dies stops the application with code 1; nothing can be sent to it any more', async () => {
  let refused: unknown;
  const rc = await App.start(base, async (app) => {
    app.reactor.send(1, dieHere, 0, 0, 0);
    // Nobody asks for it: it resolves when the application stops.
    await app.startInitAsked;
    try {
      app.reactor.send(1, visit, 0, 0, 0);
    } catch (error) {
      refused = error;
    }
  });
  assert.equal(rc, 1);
  assert.equal((refused as SpdkError).code, 'ESHUTDOWN');
});

/** Fewer where each takes seconds, as under the sanitizer. */
const cycles = Number(process.env.TSPDK_CYCLES ?? 200);

test(`${cycles} starts and stops in one process leave no thread, descriptor or timer behind`, async () => {
  const cycle = () =>
    App.start(base, async (app) => {
      await forEachReactorAsync(app.reactor, visit);
      app.stop(0);
    });
  assert.equal(await cycle(), 0);
  const before = {
    threads: count('task'),
    descriptors: count('fd'),
    resources: process.getActiveResourcesInfo().sort(),
  };
  for (let i = 0; i < cycles; i++) assert.equal(await cycle(), 0);
  assert.deepEqual(process.getActiveResourcesInfo().sort(), before.resources);
  assert.equal(count('fd'), before.descriptors);
  assert.equal(count('task'), before.threads);
});

function count(what: 'task' | 'fd'): number {
  return readdirSync(`/proc/self/${what}`).length;
}
