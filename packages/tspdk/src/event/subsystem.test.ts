// The order of subsystems, and what happens when one fails. The names in brackets are those of SPDK's subsystem_ut; app-stop.sim.test.ts has the same
// under many schedules, with stops in the middle.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import type { App } from './app.ts';
import { type Subsystem, SubsystemGraph, sortSubsystems } from './subsystem.ts';

const named = (name: string, ...dependsOn: string[]): Subsystem => ({ name, dependsOn });
const order = (...subsystems: Subsystem[]) => sortSubsystems(subsystems).map(({ name }) => name);
/** No core of it dies. */
const app = { endOf: <T>(work: T) => work } as unknown as App;

test('[subsystem_sort_test_depends_on_single] a chain, given backwards, is put in order', () => {
  assert.deepEqual(order(named('c', 'b'), named('b', 'a'), named('a')), ['a', 'b', 'c']);
});

test('[subsystem_sort_test_depends_on_multiple] each comes after all that it needs; else the order given stays', () => {
  assert.deepEqual(
    order(named('nvmf', 'bdev', 'sock'), named('vhost', 'bdev'), named('bdev', 'iobuf'), named('sock'), named('iobuf')),
    ['iobuf', 'bdev', 'sock', 'nvmf', 'vhost'],
  );
  assert.deepEqual(order(named('z'), named('y'), named('x')), ['z', 'y', 'x']);
});

test('[subsystem_sort_test_missing_dependency] is refused, as are circles and names given twice', () => {
  assert.throws(() => order(named('a', 'b')), { code: 'ENOENT', message: /"a" depends on "b", which is not there/ });
  assert.throws(() => order(named('a', 'b'), named('b', 'c'), named('c', 'b')), {
    code: 'EDEADLK',
    message: /b → c → b/,
  });
  assert.throws(() => order(named('a', 'a')), { code: 'EDEADLK', message: /a → a/ });
  assert.throws(() => order(named('a'), named('a')), { code: 'EEXIST', message: /"a" is registered twice/ });
});

/** Subsystems a, b, c in a chain that write down what happens; `failing` names calls that throw. */
function chain(story: string[], failing: readonly string[] = []): SubsystemGraph {
  const step = (what: string) => async () => {
    await null;
    story.push(what);
    if (failing.includes(what)) throw new SpdkError('EIO', `${what} fails on purpose`);
  };
  const part = (name: string, ...dependsOn: string[]) => ({
    ...named(name, ...dependsOn),
    init: step(`init ${name}`),
    fini: step(`fini ${name}`),
  });
  return new SubsystemGraph([part('c', 'b'), part('a'), part('b', 'a')]);
}

test('[subsystem_fini_test] finished in reverse; one that fails does not keep the others', async () => {
  const story: string[] = [];
  const graph = chain(story, ['fini b']);
  await graph.init(app, () => false);
  assert.deepEqual(graph.initialised, ['a', 'b', 'c']);
  const errors = await graph.fini(app);
  assert.deepEqual(story, ['init a', 'init b', 'init c', 'fini c', 'fini b', 'fini a']);
  assert.deepEqual(
    errors.map(({ name }) => name),
    ['b'],
  );
  assert.deepEqual(await graph.fini(app), [], 'a second time does nothing');
  assert.equal(story.length, 6);
});

test('all that were initialised hear of the stop; one that fails then is finished all the same', async () => {
  const story: string[] = [];
  const part = (name: string, ...dependsOn: string[]): Subsystem => ({
    ...named(name, ...dependsOn),
    init: () => void story.push(`init ${name}`),
    stopping: async () => {
      await null;
      story.push(`stopping ${name}`);
      if (name === 'b') throw new SpdkError('EIO', 'it fails on purpose');
    },
    fini: () => void story.push(`fini ${name}`),
  });
  const graph = new SubsystemGraph([part('a'), part('b', 'a'), part('c', 'b')]);
  await graph.init(app, () => story.includes('init b'));
  const errors = await graph.stopping(app);
  assert.deepEqual(await graph.fini(app), []);
  assert.deepEqual(story, ['init a', 'init b', 'stopping b', 'stopping a', 'fini b', 'fini a']);
  assert.deepEqual(
    errors.map(({ name }) => name),
    ['b'],
  );
});

test('[subsystem_fini_test] only those that were initialised are finished', async () => {
  const story: string[] = [];
  const failed = chain(story, ['init b']);
  await assert.rejects(
    failed.init(app, () => false),
    /init b fails on purpose/,
  );
  await failed.fini(app);
  assert.deepEqual(story, ['init a', 'init b', 'fini a']);

  const cancelled: string[] = [];
  const graph = chain(cancelled);
  await graph.init(app, () => cancelled.includes('init b'));
  await graph.fini(app);
  assert.deepEqual(cancelled, ['init a', 'init b', 'fini b', 'fini a']);
});
