/**
 * The scheduler subsystem: the policies there are, and the RPC methods that choose one (SPDK: module/event/subsystems/scheduler).
 */
import { Cpuset } from '../../env/cpuset.ts';
import { SpdkError } from '../../env/errors.ts';
import type { App, Subsystem } from '../../event/index.ts';
import { schedulersOf } from '../../event/scheduler.ts';
import { log } from '../../log/index.ts';
import { RPC_RUNTIME, RPC_STARTUP } from '../../rpc/index.ts';
import { staticScheduler } from './static.ts';

const schedulerLog = log.register('scheduler');

/** framework_{set,get}_scheduler, framework_get_governor, scheduler_set_options, and the switches about cores. */
export const schedulerSubsystem: Subsystem = {
  name: 'scheduler',
  modules: [import.meta.url],
  registerRpc(app) {
    schedulersOf(app.reactor).register(staticScheduler);
    registerChoice(app);
    registerOptions(app);
    registerSwitches(app);
  },
  writeConfig(app) {
    const schedulers = schedulersOf(app.reactor);
    return [
      {
        method: 'framework_set_scheduler',
        params: { name: schedulers.current.name, period: schedulers.periodUs, ...schedulers.current.getOptions?.() },
      },
    ];
  },
};

function registerChoice(app: App): void {
  const schedulers = schedulersOf(app.reactor);
  app.rpc.register({
    name: 'framework_set_scheduler',
    states: RPC_STARTUP | RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The scheduler; static is the only one' },
      {
        name: 'period',
        type: 'uint64',
        description: 'Microseconds between two decisions: kept and told, without effect while static is the only one',
      },
      { name: 'load_limit', type: 'uint32', description: 'Of the dynamic scheduler' },
      { name: 'core_limit', type: 'uint32', description: 'Of the dynamic scheduler' },
      { name: 'core_busy', type: 'uint32', description: 'Of the dynamic scheduler' },
      {
        name: 'mappings',
        type: 'string',
        description: 'Of the static scheduler: threads do not move, so it is refused',
      },
    ],
    summary: 'Chooses the scheduler.',
    handler: ({ name, period, ...options }) => {
      const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
      schedulers.set(name, period === undefined ? undefined : Number(period), given);
      return true;
    },
  });
  app.rpc.register({
    name: 'framework_get_scheduler',
    states: RPC_STARTUP | RPC_RUNTIME,
    params: [],
    summary: 'Tells the current scheduler, its period and options.',
    handler: () => ({
      scheduler_name: schedulers.current.name,
      scheduler_period: schedulers.periodUs,
      isolated_core_mask: schedulers.isolated.toString(),
      scheduling_core: app.mainCore,
      ...(schedulers.governor === null ? {} : { governor_name: schedulers.governor.name }),
      ...schedulers.current.getOptions?.(),
    }),
  });
  app.rpc.register({
    name: 'framework_get_governor',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Tells the governor of core frequencies; an empty object, as there is none.',
    handler: () => (schedulers.governor === null ? {} : { governor_name: schedulers.governor.name }),
  });
}

function registerOptions(app: App): void {
  const schedulers = schedulersOf(app.reactor);
  app.rpc.register({
    name: 'scheduler_set_options',
    states: RPC_STARTUP,
    params: [
      { name: 'scheduling_core', type: 'uint32', description: 'The core that decides; here always the main core' },
      {
        name: 'isolated_core_mask',
        type: 'string',
        description: 'Cores for bound threads only: kept and told to schedulers; new threads are still placed there',
      },
    ],
    summary: 'Sets which core schedules and which cores are left alone.',
    handler: ({ scheduling_core, isolated_core_mask }) => {
      if (scheduling_core !== undefined && scheduling_core !== app.mainCore) {
        throw new SpdkError('EINVAL', `scheduling core ${scheduling_core}: it is the main core, ${app.mainCore}`);
      }
      if (isolated_core_mask !== undefined) {
        const isolated = Cpuset.parse(isolated_core_mask);
        for (const core of isolated) {
          if (!app.cores.includes(core)) {
            throw new SpdkError('EINVAL', `isolated core ${core} is not one of ${app.cores.join(',')}`);
          }
        }
        schedulers.isolated = isolated;
        schedulerLog.notice(
          'the isolated core mask is kept for schedulers; new threads are still placed on those cores',
        );
      }
      return true;
    },
  });
}

function registerSwitches(app: App): void {
  let monitored = false;
  app.rpc.register({
    name: 'framework_monitor_context_switch',
    states: RPC_RUNTIME,
    params: [{ name: 'enabled', type: 'boolean', description: 'Whether to watch; without it, tells whether it does' }],
    summary:
      'Watches for context switches of reactors: accepted and remembered; a sleeping reactor switches by design.',
    handler: ({ enabled }) => {
      if (enabled === true && !monitored) {
        schedulerLog.notice('context switches are not watched: a reactor that sleeps when idle switches by design');
      }
      monitored = enabled ?? monitored;
      return { enabled: monitored };
    },
  });
  for (const verb of ['enable', 'disable'] as const) {
    app.rpc.register({
      name: `framework_${verb}_cpumask_locks`,
      states: RPC_STARTUP | RPC_RUNTIME,
      params: [],
      summary: `Accepted: cores are not locked against other processes, so there is nothing to ${verb}.`,
      handler: () => true,
    });
  }
}
