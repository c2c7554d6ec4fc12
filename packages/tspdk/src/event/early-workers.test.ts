// Threads that are begun before the application is there: taken over with what they have loaded, or their fault told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { earlyMark, fixtureUrl, visit, visitsOf } from './app.fixture.ts';
import { App } from './app.ts';
import { startEarlyWorker } from './early-workers.ts';
import { forEachReactorAsync } from './for-each-reactor.ts';

const base = { cores: [0, 1], pin: false, signals: false, modules: [fixtureUrl] } as const;

/** The mark of each core's thread, and how often an event was run there. */
async function run(): Promise<{ marks: string[]; visits: number[] }> {
  let marks: string[] = [];
  let visits: number[] = [];
  const rc = await App.start(base, async (app) => {
    marks = await app.callAll(earlyMark, null);
    const before = await app.callAll(visitsOf, null);
    await forEachReactorAsync(app.reactor, visit);
    visits = (await app.callAll(visitsOf, null)).map((count, i) => count - before[i]);
    app.stop(0);
  });
  assert.equal(rc, 0);
  return { marks, visits };
}

test('a thread begun early is the reactor’s, with its functions numbered as everywhere; the next application makes its own', async () => {
  // Loaded first, so that the thread numbers its functions from 0 until it knows better.
  startEarlyWorker(1, [fixtureUrl, 'data:text/javascript,globalThis.earlyMark = "begun early"']);
  assert.deepEqual(await run(), { marks: ['none', 'begun early'], visits: [1, 1] });
  assert.deepEqual(await run(), { marks: ['none', 'none'], visits: [1, 1] });
});

test('what fails in a thread begun early fails the start, with its own message', async () => {
  startEarlyWorker(1, ['data:text/javascript,throw new Error("broken early")']);
  await assert.rejects(run(), /broken early/);
});
