// The table of threads: ids that never recur, one owner a place, and readers that see a thread whole or not at all.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { Cpuset } from '../env/cpuset.ts';
import { SpdkError } from '../env/errors.ts';
import type { TableJob } from './shared-thread-table.fixture.ts';
import { SharedThreadTable, SLOT_CREATING, SLOT_EXITING, SLOT_FREE, SLOT_RUNNING } from './shared-thread-table.ts';

test('random lives of threads agree with a plain map; a stale id means nothing', () => {
  const step = fc.record({
    what: fc.constantFrom('create', 'create', 'run', 'exit', 'free', 'free'),
    which: fc.nat(1000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const table = new SharedThreadTable(undefined, 8);
      const other = new SharedThreadTable(table.buffer);
      const model = new Map<number, number>();
      const gone: number[] = [];
      for (const { what, which } of steps) {
        const id = [...model.keys()][which % Math.max(1, model.size)];
        if (what === 'create') {
          if (model.size === 8) {
            assert.throws(
              () => table.allocate('', 0, new Cpuset()),
              (error) => error instanceof SpdkError && error.code === 'ENOSPC',
            );
            continue;
          }
          const made = table.allocate(`name ${which}`, which & 3, new Cpuset([which & 1023]));
          for (const old of [...model.keys(), ...gone]) assert.ok(made > old, 'ids ascend');
          model.set(made, SLOT_CREATING);
          const facts = { id: made, name: `name ${which}`, core: which & 3, cpumask: new Cpuset([which & 1023]) };
          assert.deepEqual(other.facts(made), { ...facts, bound: false });
        } else if (id === undefined) continue;
        else if (what === 'free') {
          table.free(id);
          model.delete(id);
          gone.push(id);
        } else {
          const state = what === 'run' ? SLOT_RUNNING : SLOT_EXITING;
          table.setState(id, state);
          model.set(id, state);
        }
      }
      assert.equal(other.count, model.size);
      assert.deepEqual(other.ids(), [...model.keys()]);
      for (const [id, state] of model) assert.equal(other.state(id), state);
      for (const id of [...gone, 0, -1, 10_000]) {
        assert.equal(other.state(id), SLOT_FREE);
        assert.equal(other.core(id), -1);
        assert.equal(other.facts(id), null);
        if (gone.includes(id)) assert.throws(() => table.setState(id, SLOT_RUNNING), /is in the table/);
      }
      const alive = [...model].filter(([, state]) => state !== SLOT_EXITING).map(([id]) => id);
      const walked: number[] = [];
      for (let id = other.nextAlive(0); id !== 0; id = other.nextAlive(id)) walked.push(id);
      assert.deepEqual(walked, alive);
    }),
  );
});

test('cores that create and end threads at once get each id once, and a reader never sees two threads mixed', async () => {
  const table = new SharedThreadTable(undefined, 8);
  const times = 4000;
  const workers = [0, 1].map((core) => {
    const job: TableJob = { table: table.buffer, core, times };
    return new Worker(new URL('./shared-thread-table.fixture.js', import.meta.url), { workerData: job });
  });
  let running = workers.length;
  const results = workers.map(async (worker) => {
    // Both are listened for at once: a worker's last message and its exit can come in one tick.
    const [[ids]] = (await Promise.all([once(worker, 'message'), once(worker, 'exit')])) as [[number[]], unknown];
    running--;
    return ids;
  });
  while (running > 0) {
    for (const id of table.ids()) {
      const facts = table.facts(id);
      if (facts === null) continue;
      assert.equal(facts.name, `core_${facts.core}`);
      assert.deepEqual([...facts.cpumask], [facts.core]);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  const all = (await Promise.all(results)).flat();
  assert.equal(new Set(all).size, 2 * times);
  assert.equal(table.count, 0);
  assert.deepEqual(table.ids(), []);
});

test('ids that are used up end the creation of threads', () => {
  const table = new SharedThreadTable(undefined, 8);
  Atomics.store(table.words, 0, 0x7fff_fffd);
  const last = table.allocate('last', 0, new Cpuset([0]));
  assert.equal(last, 0x7fff_fffe);
  assert.equal(table.facts(last)?.name, 'last');
  assert.throws(
    () => table.allocate('late', 0, new Cpuset([0])),
    (error) => error instanceof SpdkError && error.code === 'ENOSPC' && /ids are used up/.test(error.message),
  );
  table.free(last);
});
