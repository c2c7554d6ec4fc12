// test_scheduler, test_governor, test_scheduler_set_isolated_core_mask of SPDK's reactor_ut, as far as threads that do not move have them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App } from '../../event/index.ts';
import { coreLoad, Schedulers, schedulersOf } from '../../event/scheduler.ts';
import { schedulerSubsystem } from './index.ts';

test('test_scheduler: chosen by name; an unknown name or option changes nothing; the old one is told', () => {
  const told: string[] = [];
  const policy = (name: string) => ({
    name,
    init: () => void told.push(`init ${name}`),
    deinit: () => void told.push(`deinit ${name}`),
    balance: () => [],
  });
  const schedulers = new Schedulers();
  assert.throws(() => schedulers.current, { code: 'ENOENT' });
  schedulers.register(policy('a'));
  schedulers.register(policy('b'));
  assert.throws(() => schedulers.register(policy('a')), { code: 'EEXIST' });
  assert.equal(schedulers.current.name, 'a', 'the first is the default');
  schedulers.set('b', 1000, {});
  assert.deepEqual([schedulers.current.name, schedulers.periodUs, told], ['b', 1000, ['init b', 'deinit a']]);
  assert.throws(() => schedulers.set('c', 5, {}), { code: 'EINVAL', message: /"c" is not one of a, b/ });
  assert.throws(() => schedulers.set('a', 5, { load_limit: 1 }), { message: /takes no option "load_limit"/ });
  assert.deepEqual([schedulers.current.name, schedulers.periodUs], ['b', 1000]);
});

test('the RPCs of scheduler, governor and isolated cores; loads of all cores are told', async () => {
  const rc = await App.start(
    {
      cores: [0, 1],
      pin: false,
      signals: false,
      subsystems: [schedulerSubsystem],
    },
    async (app) => {
      const call = async (method: string, params?: Record<string, unknown>) => app.rpc.call(method, params);
      await call('scheduler_set_options', { isolated_core_mask: '0x2' });
      await assert.rejects(
        call('scheduler_set_options', { isolated_core_mask: '0x8' }),
        /isolated core 3 is not one of 0,1/,
      );
      await assert.rejects(call('scheduler_set_options', { scheduling_core: 1 }), /scheduling core 1/);
      await call('framework_set_scheduler', { name: 'static', period: 500 });
      assert.deepEqual(await call('framework_get_scheduler'), {
        scheduler_name: 'static',
        scheduler_period: 500,
        isolated_core_mask: schedulersOf(app.reactor).isolated.toString(),
        scheduling_core: 0,
      });
      await assert.rejects(call('framework_set_scheduler', { name: 'dynamic' }), /"dynamic" is not one of static/);
      const loads = await app.callAll(coreLoad, null);
      assert.deepEqual(
        loads.map((load) => [load.core, load.threads.map((thread) => thread.name)]),
        [
          [0, ['app_thread']],
          [1, []],
        ],
      );
      app.stop(0);
    },
  );
  assert.equal(rc, 0);
});
