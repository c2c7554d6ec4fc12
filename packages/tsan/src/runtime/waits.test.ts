// Waits that nobody can end are reported and ended; a program that would go on is never said to hang.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Header } from './control.ts';
import { shareBuffer, simulateProcess } from './simulated.fixture.ts';
import { Waits } from './waits.ts';

const fixture = fileURLToPath(
  new URL(`./waits.fixture.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);

function run(kind: string, options = '') {
  const env = { ...process.env, JSTSAN_OPTIONS: options };
  const { status, stderr } = spawnSync(process.execPath, [fixture, kind], { encoding: 'utf8', env, timeout: 60_000 });
  return { status, stderr };
}

for (const kind of ['nobody', 'ended']) {
  test(`all threads wait: said with where each waits, and ended (${kind})`, () => {
    const { status, stderr } = run(kind);
    assert.match(stderr, /WARNING: ThreadSanitizer: all threads wait \(deadlock\)/);
    assert.equal(stderr.match(/waits\.fixture/g)!.length >= 2, true, stderr);
    assert.equal(status, 66);
  });
}

for (const kind of ['exit-listener', 'late', 'rounds']) {
  test(`no hang is made up where a thread is woken (${kind})`, () => {
    for (const options of ['', 'perturb=1:seed=1']) assert.deepEqual(run(kind, options), { status: 0, stderr: '' });
  });
}

function waitsOf(thread: ReturnType<typeof simulateProcess>): Waits {
  return new Waits(thread.runtime, () => {
    throw new Error('all threads wait');
  });
}

test('a thread that is on its way to a wait that is over by then does not count as waiting', () => {
  const main = simulateProcess();
  const other = main.create();
  const limits: number[] = [];
  const wait = (result: string) => (limitMs: number) => {
    limits.push(limitMs);
    return result;
  };
  // The other one has looked, found the value changed, and has not come back yet: meanwhile the main thread waits, and nothing moves.
  const result = waitsOf(other).forever(
    1,
    0,
    () => false,
    () => waitsOf(main).forever(1, 4, () => true, wait('ok')),
  );
  assert.equal(result, 'ok');
  assert.deepEqual(limits, [Number.POSITIVE_INFINITY]);
});

test('who is notified between its look and its sleep does not count as waiting', () => {
  const main = simulateProcess();
  const other = main.create();
  const buffer = shareBuffer(main, [main, other], 16);
  const view = main.view(Int32Array, buffer);
  let limit = 0;
  const result = waitsOf(other).forever(
    main.runtime.buffers.known(buffer)!.id,
    0,
    () => {
      main.notify(view, 0, 1);
      return true;
    },
    () =>
      waitsOf(main).forever(
        1,
        4,
        () => true,
        (limitMs) => {
          limit = limitMs;
          return 'ok';
        },
      ),
  );
  assert.equal(result, 'ok');
  assert.equal(limit, Number.POSITIVE_INFINITY);
});

test('one second that is gone at once, as after a stop of the process, is not believed', () => {
  const main = simulateProcess();
  const limits: number[] = [];
  const ended = () =>
    waitsOf(main).forever(
      1,
      4,
      () => true,
      (limitMs) => {
        limits.push(limitMs);
        return 'timed-out';
      },
    );
  assert.throws(ended, /all threads wait/);
  assert.equal(limits.length, 2);
  assert.equal(main.runtime.control.header[Header.deadlocked], 1);
});
