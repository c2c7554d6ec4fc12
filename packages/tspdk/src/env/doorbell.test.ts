// The doorbell, both kinds: a ring may come at any moment of the loop going to sleep and must not be lost, nor may a
// bell keep its loop alive.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type DoorbellTarget, openDoorbell, ringDoorbell } from './doorbell.ts';
import { ffi } from './ffi.ts';

const here = new URL('./doorbell.js', import.meta.url).href;

/** A worker that opens a doorbell, sleeps with an unref'd immediate, and reports each of the first `count` wakes. */
function sleeper(native: boolean, count: number): Worker {
  const source = `
    import { parentPort } from 'node:worker_threads';
    import { openDoorbell } from ${JSON.stringify(here)};
    const bell = openDoorbell({ native: ${native} });
    let seen = 0;
    const turn = () => {
      if (bell.wakes !== seen) { seen = bell.wakes; parentPort.postMessage({ seen }); }
      if (seen < ${count}) setImmediate(turn).unref(); else bell.close();
    };
    setImmediate(turn).unref();
    parentPort.postMessage({ target: bell.target });`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
}

type Report = { target?: DoorbellTarget; seen?: number };

for (const native of [true, false]) {
  const kind = native ? 'eventfd' : 'atomics';
  test(`${kind}: each ring by another thread gives the sleeping loop a turn, and the closed bell lets it end`, {
    skip: native && ffi === null,
  }, async () => {
    const worker = sleeper(native, 5);
    let target: DoorbellTarget | undefined;
    const seen: number[] = [];
    worker.on('message', (report: Report) => {
      if (report.target !== undefined) target = report.target;
      else seen.push(report.seen!);
      // The next ring comes only after the last was seen: every one of them must wake.
      ringDoorbell(target!);
    });
    const code = await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
    assert.equal(code, 0);
    assert.equal(target!.kind, kind);
    assert.deepEqual(seen, [1, 2, 3, 4, 5]);
  });

  test(`${kind}: a thread that is terminated with its bell open ends`, { skip: native && ffi === null }, async () => {
    const worker = sleeper(native, 5);
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    assert.equal(await worker.terminate(), 1);
  });

  test(`${kind}: a ring before the loop sleeps is not lost, and rings fall together`, {
    skip: native && ffi === null,
  }, async () => {
    const bell = openDoorbell({ native });
    for (let ring = 0; ring < 100; ring++) ringDoorbell(bell.target);
    await new Promise<void>((resolve) => {
      const turn = () => (bell.wakes > 0 ? resolve() : void setImmediate(turn).unref());
      turn();
    });
    assert.ok(bell.wakes >= 1 && bell.wakes <= 100);
    bell.close();
    bell.close();
  });
}

test('eventfd: closing gives the descriptor back', { skip: ffi === null }, async () => {
  const count = () => readdirSync('/proc/self/fd').length;
  openDoorbell().close();
  const before = count();
  for (let round = 0; round < 50; round++) openDoorbell().close();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(count(), before);
});

test('a worker that calls process.exit while its doorbell rings ends alone', { skip: ffi === null }, () => {
  const worker = `
    const { openDoorbell, ringDoorbell } = await import(${JSON.stringify(here)});
    const bell = openDoorbell();
    setImmediate(() => {
      ringDoorbell(bell.target);
      process.exit(3);
    });`;
  const main = `
    import { Worker } from 'node:worker_threads';
    const ended = new Worker(new URL('data:text/javascript,' + ${JSON.stringify(encodeURIComponent(worker))}));
    ended.on('exit', (code) => console.log('exit', code));`;
  // An abort takes the whole process, so it has one of its own.
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', main], { encoding: 'utf8' });
  assert.deepEqual([result.status, result.signal, result.stdout], [0, null, 'exit 3\n'], result.stderr);
});
