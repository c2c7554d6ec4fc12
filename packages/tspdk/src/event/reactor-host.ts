/**
 * One reactor with everything its thread needs around it: loop, closers, and the life-cycle calls of the app core.
 *
 * The app core's own reactor and those of workers (and of the simulator) are made here alike, so that start and stop treat all cores the same.
 *
 * The order of stopping, and why nothing is lost or runs late: (1) the app core marks the application as stopping, so no new
 * iteration starts; (2) subsystems finish, lightweight threads exit; (3) `quiet` is asked of all cores in rounds until no core has an
 * iteration in flight, work in a mailbox, or has run an event since the round before: as an event can only be
 * caused by an event, a poller or a callback, and all of those are gone, no event is then under way; (4) every core `close`s what it has opened,
 * and quiet is awaited again, for what that sent; (5) every core `leave`s: it becomes `shutdown` (sends to it are refused from here on)
 * and reports what its heap still holds. A core whose thread died is left out, and the exit code is 1.
 * What went through that core never comes back, so whoever waits for it (a subsystem for its I/O) is left after its time: `App.endOf`.
 */
import { adoptAllocSiteTable } from '../env/alloc-site.ts';
import type { Clock } from '../env/clock.ts';
import type { DoorbellTarget } from '../env/doorbell.ts';
import { adoptFunctionTable } from '../env/event-fn.ts';
import type { HeldBlocks } from '../env/heap.ts';
import { localThreads } from '../thread/index.ts';
import type { AppHandle } from './app-handle.ts';
import { defineControl } from './control.ts';
import { type Fabric, reactorState } from './fabric.ts';
// For their event functions: every reactor must know them.
import './for-each-reactor.ts';
import './worker-app.ts';
import { localKey, Reactor } from './reactor.ts';
import type { ReactorOptions } from './reactor-options.ts';

/** What drives a reactor: reactor-loop.ts, or the simulator's scheduler. */
export interface LoopPort {
  readonly target: DoorbellTarget | null;
  /** Opens what the loop's reactor needs of the kernel (its io_uring); returns what closes it. */
  openRing(): () => void;
  start(): void;
  stop(): void;
}

/** What an application's reactors run on. */
export interface HostOptions {
  readonly fabric: Fabric;
  readonly core: number;
  readonly app: AppHandle;
  readonly clock: Clock;
  readonly makeLoop: (reactor: Reactor) => LoopPort;
  readonly onFault: ReactorOptions['onFault'];
  readonly onStall: NonNullable<ReactorOptions['onStall']>;
}

/** Runs on the reactor's thread at its end. */
export type Closer = () => Promise<void> | void;

/** A reactor and its surroundings on its own thread. */
export class ReactorHost {
  readonly reactor: Reactor;
  readonly loop: LoopPort;
  /** Run in reverse order when the reactor leaves. */
  readonly closers: Closer[] = [];

  constructor(options: HostOptions) {
    this.reactor = new Reactor(options);
    this.loop = options.makeLoop(this.reactor);
    this.reactor.local(hostKey).host = this;
    this.closers.push(this.loop.openRing());
  }

  /** Everyone is there: take the doorbells and begin to turn. */
  start(doorbells: readonly (DoorbellTarget | null)[]): void {
    this.reactor.setDoorbells(doorbells);
    this.reactor.setState(reactorState.running);
    this.loop.start();
  }

  /** Closes everything that was opened here. Turns go on. */
  async close(): Promise<void> {
    this.reactor.setState(reactorState.exiting);
    for (let close = this.closers.pop(); close !== undefined; close = this.closers.pop()) await close();
  }

  /** No more turns; what is still allocated comes back. After `close`. */
  leave(): HeldBlocks[] {
    this.reactor.setState(reactorState.shutdown);
    this.loop.stop();
    return this.reactor.heap.held();
  }
}

const hostKey = localKey('reactor_host', () => ({ host: null as ReactorHost | null }));

/** The host of `reactor`. */
export function hostOf(reactor: Reactor): ReactorHost {
  return reactor.local(hostKey).host as ReactorHost;
}

/** Something to close when this reactor leaves; last in, first out. */
export function onReactorLeave(reactor: Reactor, close: Closer): void {
  hostOf(reactor).closers.push(close);
}

/** Answer of one core to "is all quiet?". */
export interface QuietReport {
  readonly core: number;
  readonly iterations: number;
  /** Lightweight threads that have not exited. */
  readonly threads: number;
  readonly work: boolean;
  readonly events: number;
}

export const startReactor = defineControl(
  'event.start',
  (payload: { doorbells: (DoorbellTarget | null)[] }, reactor): void => hostOf(reactor).start(payload.doorbells),
);

export const isQuiet = defineControl('event.quiet', (_: null, reactor): QuietReport => {
  reactor.kick();
  // One that another core was making when the threads were asked to exit has arrived since.
  exitRunning(reactor);
  return {
    core: reactor.core,
    iterations: reactor.iterations,
    threads: localThreads(reactor).length,
    work: reactor.hasWork(),
    events: reactor.stats.events,
  };
});

/** Asks every lightweight thread of the core to exit; `quiet` tells when they have. */
export const exitThreads = defineControl('event.exit_threads', (_: null, reactor): void => exitRunning(reactor));

function exitRunning(reactor: Reactor): void {
  for (const thread of localThreads(reactor)) if (thread.isRunning) thread.run(() => thread.exit());
}

export const closeReactor = defineControl('event.close', (_: null, reactor): Promise<void> => hostOf(reactor).close());

export const leaveReactor = defineControl(
  'event.leave',
  (_: null, reactor): { core: number; blocks: HeldBlocks[] } => ({
    core: reactor.core,
    blocks: hostOf(reactor).leave(),
  }),
);

/** Tables that give names the same numbers in every isolate; a worker adopts them before anything else. */
export interface ProcessTables {
  readonly functions: SharedArrayBuffer;
  readonly sites: SharedArrayBuffer;
}

/** Adopts the process's tables. */
export function adoptTables(tables: ProcessTables): void {
  adoptFunctionTable(tables.functions);
  adoptAllocSiteTable(tables.sites);
}
