/**
 * RPC methods about the framework itself: reactors, threads, pollers, channels, the end (SPDK: lib/event/app_rpc.c, lib/event/reactor_rpc.c).
 *
 * Times are in ticks; a tick is a microsecond here, and `tick_rate` says so, which is all that SPDK's own tools need.
 */
import { readlinkSync } from 'node:fs';
import { Cpuset } from '../../env/cpuset.ts';
import { SpdkError } from '../../env/errors.ts';
import type { AppService } from '../../event/app-options.ts';
import { type App, defineControl } from '../../event/index.ts';
import { type LogConfig, log } from '../../log/index.ts';
import { notifyOf } from '../../notify/index.ts';
import { RPC_RUNTIME, RPC_STARTUP, type RpcRegistry } from '../../rpc/index.ts';
import { getThreadById, localThreads, type Thread } from '../../thread/index.ts';
import { registerLogRpc } from './log.ts';
import { registerNotifyRpc } from './notify.ts';
import { registerRpcRpc } from './rpc.ts';
import { registerSubsystemRpc } from './subsystem.ts';

const TICK_RATE = 1_000_000;
const ALWAYS = RPC_STARTUP | RPC_RUNTIME;

/** Everything of one reactor that these methods tell. */
const describeReactor = defineControl('framework.describe', (_: null, reactor) => {
  reactor.settle();
  return {
    lcore: reactor.core,
    tid: threadIdOfOs(),
    busy: Math.round(reactor.stats.busyUs),
    idle: Math.round(reactor.stats.idleUs),
    turns: reactor.stats.turns,
    events: reactor.stats.events,
    threads: localThreads(reactor).map((thread) => describeThread(thread, getThreadById(reactor, thread.id)?.cpumask)),
  };
});

function describeThread(thread: Thread, cpumask: Cpuset | undefined) {
  const { busyUs, idleUs } = thread.stats();
  const pollers = [...thread.pollers.all()];
  const rows = pollers.map((poller) => ({
    name: poller.name,
    id: poller.id,
    state: poller.stateName,
    run_count: poller.runCount,
    busy_count: poller.busyCount,
    period_ticks: poller.periodTicks,
    paused: poller.stateName === 'paused',
  }));
  return {
    name: thread.name,
    id: thread.id,
    cpumask: (cpumask ?? new Cpuset([thread.core])).toString(),
    busy: Math.round(busyUs),
    idle: Math.round(idleUs),
    elapsed: Math.round(busyUs + idleUs),
    pollers: rows,
    io_channels: [...thread.channels.values()].map((channel) => ({
      name: channel.device.name,
      ref: (channel as { readonly ref?: number }).ref ?? 1,
    })),
  };
}

/** The operating system's id of this thread; 0 where it cannot be told. */
function threadIdOfOs(): number {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').pop());
  } catch {
    return 0;
  }
}

/** Log levels and flags hold for all cores: the app core's isolate tells the others. */
const applyLog = defineControl('framework.log', (config: LogConfig, reactor): void => {
  if (reactor.core !== reactor.app.mainCore) log.apply(config);
});

/** Registers the framework's methods on every application that has this service. `version` is the kit's. */
export function frameworkService(version: string): AppService {
  return {
    name: 'framework',
    modules: [import.meta.url],
    async start(app) {
      log.onChange = (config) => void app.callAll(applyLog, config).catch(() => {});
      await app.callAll(applyLog, log.config());
      registerRpcRpc(app.rpc, { version });
      registerLogRpc(app.rpc);
      registerNotifyRpc(app.rpc, { notify: notifyOf(app.reactor) });
      registerSubsystemRpc(app.rpc, { subsystems: () => configSubsystems(app) });
      registerReactorRpc(app.rpc, app);
      registerThreadRpc(app.rpc, app);
      registerKill(app.rpc, app);
    },
    stop() {
      log.onChange = null;
    },
  };
}

function configSubsystems(app: App) {
  return app.subsystems.order.map(({ name, dependsOn, writeConfig }) => ({
    name,
    dependsOn: dependsOn ?? [],
    writeConfigJson: async () => (writeConfig === undefined ? [] : await writeConfig(app)),
  }));
}

function registerReactorRpc(rpc: RpcRegistry, app: App): void {
  rpc.register({
    name: 'framework_get_reactors',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Lists the reactors with their busy and idle time and their threads.',
    handler: async () => ({
      tick_rate: TICK_RATE,
      pid: process.pid,
      reactors: (await app.callAll(describeReactor, null)).map((reactor) => ({
        lcore: reactor.lcore,
        tid: reactor.tid,
        busy: reactor.busy,
        idle: reactor.idle,
        in_interrupt: app.options.loop.mode === 'adaptive',
        irq: 0,
        sys: 0,
        lw_threads: reactor.threads.map(({ name, id, cpumask, elapsed }) => ({ name, id, cpumask, elapsed })),
      })),
    }),
  });
}

function registerThreadRpc(rpc: RpcRegistry, app: App): void {
  const threads = async () => (await app.callAll(describeReactor, null)).flatMap((reactor) => reactor.threads);
  rpc.register({
    name: 'thread_get_stats',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Tells busy and idle time and poller counts of every thread.',
    handler: async () => ({
      tick_rate: TICK_RATE,
      threads: (await threads()).map(({ name, id, cpumask, busy, idle, pollers }) => ({
        name,
        id,
        cpumask,
        busy,
        idle,
        active_pollers_count: pollers.filter((poller) => poller.period_ticks === 0 && !poller.paused).length,
        timed_pollers_count: pollers.filter((poller) => poller.period_ticks > 0 && !poller.paused).length,
        paused_pollers_count: pollers.filter((poller) => poller.paused).length,
      })),
    }),
  });
  rpc.register({
    name: 'thread_get_pollers',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Lists the pollers of every thread.',
    handler: async () => ({
      tick_rate: TICK_RATE,
      threads: (await threads()).map(({ name, id, pollers }) => {
        const plain =
          (timed: boolean) =>
          ({ name: n, id: i, state, run_count, busy_count, period_ticks }: (typeof pollers)[number]) => ({
            name: n,
            id: i,
            state,
            run_count,
            busy_count,
            ...(timed ? { period_ticks } : {}),
          });
        const is = (timed: boolean) => (poller: (typeof pollers)[number]) =>
          !poller.paused && poller.period_ticks > 0 === timed;
        return {
          name,
          id,
          active_pollers: pollers.filter(is(false)).map(plain(false)),
          timed_pollers: pollers.filter(is(true)).map(plain(true)),
          paused_pollers: pollers
            .filter((poller) => poller.paused)
            .map((poller) => plain(poller.period_ticks > 0)(poller)),
        };
      }),
    }),
  });
  rpc.register({
    name: 'thread_get_io_channels',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Lists the I/O channels of every thread.',
    handler: async () => ({
      tick_rate: TICK_RATE,
      threads: (await threads()).map(({ name, id, io_channels }) => ({ name, id, io_channels })),
    }),
  });
  rpc.register({
    name: 'thread_set_cpumask',
    states: RPC_RUNTIME,
    params: [
      { name: 'id', type: 'uint64', required: true, description: 'The thread' },
      { name: 'cpumask', type: 'string', required: true, description: 'Cores it may run on: a mask or a list' },
    ],
    summary: 'Sets the cores a thread may run on; its own core must be among them, as threads do not move yet.',
    handler: async ({ id, cpumask }) => {
      const facts = getThreadById(app.reactor, Number(id));
      if (facts === null) throw new SpdkError('ENOENT', `thread ${id} does not exist`);
      const cores = [...Cpuset.parse(cpumask)];
      await app.call(facts.core, setThreadMask, { id: facts.id, cores });
      return true;
    },
  });
}

const setThreadMask = defineControl(
  'framework.set_cpumask',
  (payload: { id: number; cores: number[] }, reactor): void => {
    const thread = localThreads(reactor).find((each) => each.id === payload.id);
    if (thread === undefined) throw new SpdkError('ENOENT', `thread ${payload.id} has exited`);
    thread.setCpumask(new Cpuset(payload.cores));
  },
);

/** Signals as rpc.py names them, with or without SIG, or as a number. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGKILL', 'SIGUSR1'] as const;
const NUMBERS: Record<string, (typeof SIGNALS)[number]> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  9: 'SIGKILL',
  10: 'SIGUSR1',
  15: 'SIGTERM',
};

function registerKill(rpc: RpcRegistry, app: App): void {
  rpc.register({
    name: 'spdk_kill_instance',
    states: ALWAYS,
    params: [
      {
        name: 'sig_name',
        type: 'string',
        required: true,
        description: `One of ${SIGNALS.join(', ')}, without SIG, or its number`,
      },
    ],
    summary: 'Sends a signal to this application.',
    handler: ({ sig_name }, context) => {
      const name = NUMBERS[sig_name] ?? SIGNALS.find((signal) => signal === sig_name || signal === `SIG${sig_name}`);
      if (name === undefined) throw new SpdkError('EINVAL', `signal '${sig_name}' is not one of ${SIGNALS.join(', ')}`);
      context.afterReply(() => {
        // The orderly stop does not need the operating system, which could reach a thread of another application in this process.
        if (name === 'SIGINT' || name === 'SIGTERM') app.stop(0);
        else process.kill(process.pid, name);
      });
      return true;
    },
  });
}
