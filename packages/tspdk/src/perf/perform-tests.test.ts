/** perform_tests on a real application: what it takes, what it keeps, what it answers, and the stop in its middle. */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { bdevRegistry } from '../bdev/index.ts';
import { App } from '../event/index.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { RPC_RUNTIME } from '../rpc/index.ts';
import { type PerfResult, perfSubsystem, perfTester } from './index.ts';

const cores = availableParallelism() > 1 ? [0, 1] : [0];

/** Runs `body` in an application with a memory disk M of 1 MiB; resolves with the exit code, 0 when nothing leaked. */
async function withApp(body: (app: App) => Promise<void>): Promise<number> {
  let failure: unknown = null;
  const subsystems = [bdevSubsystem, perfSubsystem];
  const shutdownFn = (app: App) => perfTester(app.reactor).stop();
  const rc = await App.start({ cores, pin: false, signals: false, subsystems, shutdownFn }, async (app) => {
    app.rpc.state = RPC_RUNTIME;
    await bdevRegistry(app.reactor).create('malloc', { name: 'M', block_size: 512, num_blocks: 2048 });
    try {
      await body(app);
    } catch (error) {
      failure = error;
    }
    app.stop(0);
  });
  if (failure !== null) throw failure;
  return rc;
}

const perform = (app: App, params: object): Promise<PerfResult> =>
  Promise.resolve(app.rpc.call('perform_tests', params) as Promise<PerfResult>);

test('parameters are bdevperf’s, stay for the next test, and the answer is the result', async () => {
  const rc = await withApp(async (app) => {
    const tester = perfTester(app.reactor);
    tester.options = { ...tester.options, ios: 100, everyCore: true };
    const given = { queue_depth: 4, io_size: '8k', time_in_sec: 60, workload_type: 'randrw', rw_percentage: 70 };
    const first = await perform(app, given);
    assert.equal(first.core_count, cores.length);
    assert.equal(first.results.length, cores.length);
    for (const [i, job] of first.results.entries()) {
      const { job: name, core, workload, percentage, status, queue_depth, io_size, io_completed, io_failed } = job;
      assert.deepEqual(
        { name, core, workload, percentage, status, queue_depth, io_size, io_completed, io_failed },
        {
          name: 'M',
          core: cores[i],
          workload: 'randrw',
          percentage: 70,
          status: 'finished',
          queue_depth: 4,
          io_size: 8192,
          io_completed: 100,
          io_failed: 0,
        },
      );
      assert.equal(job.core_mask, `0x${(1 << cores[i]).toString(16)}`);
    }
    assert.equal(first.total.io_completed, 100 * cores.length);
    const [{ queue_depth, io_size, workload }] = (await perform(app, { workload_type: 'verify' })).results;
    assert.deepEqual([queue_depth, io_size, workload], [4, 8192, 'verify']);
  });
  assert.equal(rc, 0);
});

test('what is wrong is refused, and changes nothing', async () => {
  const rc = await withApp(async (app) => {
    const cases: [object, RegExp][] = [
      [{ workload_type: 'nothing' }, /workload_type/],
      [{ queue_depth: 0 }, /queue depth 0: not a whole number from 1 to/],
      [{ io_size: 'much' }, /io_size "much": not a size/],
      [{ io_size: '1000' }, /I\/O size 1000: bdev "M" has blocks of 512/],
      [{ io_size: '2M' }, /I\/O size 2097152: bdev "M" has 1048576 bytes/],
      [{ workload_type: 'read', rw_percentage: 50 }, /rw_percentage 50: workload "read" has no mix/],
      [{ workload_type: 'rw', rw_percentage: 101 }, /101/],
      [{ time_in_sec: 0 }, /time 0/],
      [{ depth: 1 }, /unknown parameter 'depth'/],
    ];
    const before = perfTester(app.reactor).options;
    for (const [params, message] of cases) await assert.rejects(async () => perform(app, params), { message });
    assert.deepEqual(perfTester(app.reactor).options, before);
  });
  assert.equal(rc, 0);
});

test('one test at a time; the stop of the application ends it, and its result still comes', async () => {
  let result: Promise<PerfResult> | null = null;
  const rc = await withApp(async (app) => {
    const begun = new Promise<void>((resolve) => {
      perfTester(app.reactor).onStart = () => resolve();
    });
    result = perform(app, { time_in_sec: 3600 });
    await begun;
    await assert.rejects(perform(app, {}), /a test is under way already/);
  });
  assert.equal(rc, 0);
  const { results } = await (result as unknown as Promise<PerfResult>);
  assert.equal(results[0].status, 'terminated');
});

test('a test that fails is an error that says what failed and carries the figures', async () => {
  const rc = await withApp(async (app) => {
    await bdevRegistry(app.reactor).delete('M');
    await bdevRegistry(app.reactor).create('null', { name: 'N', block_size: 512, num_blocks: 2048 });
    // It keeps nothing.
    await assert.rejects(perform(app, { workload_type: 'verify' }), (error: { code: number; data: PerfResult }) => {
      assert.match(String(error), /bdevperf failed: bdev "N": at offset \d+ stands a5a5/);
      assert.equal(error.code, -32603);
      assert.equal(error.data.results[0].status, 'failed');
      return true;
    });
    // The next may be all right.
    const tester = perfTester(app.reactor);
    tester.options = { ...tester.options, ios: 100 };
    assert.equal((await perform(app, { workload_type: 'read' })).results[0].status, 'finished');
  });
  assert.equal(rc, 0);
});
