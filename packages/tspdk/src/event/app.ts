/**
 * The application: reactors on the cores of a mask, subsystems, a start function, and an orderly stop.
 *
 * The main thread is the main core's reactor; every further core in the mask is a worker thread. Mask 0x1 is therefore a single-threaded program.
 * SPDK: spdk_app_start, spdk_app_stop, spdk_app_start_shutdown.
 *
 * `stop(rc)` may come from any core, a signal, an RPC, during start-up, and any number of times; the first return code wins. What then
 * happens, and in which order, is argued in reactor-host.ts.
 */
import { allowedCores, pinThread } from '../env/affinity.ts';
import { Cpuset } from '../env/cpuset.ts';
import { current } from '../env/current.ts';
import { explain, SpdkError } from '../env/errors.ts';
import { createIoBufMemory, heldIoBufs, type IoBufMemory, type IoBufOptions } from '../env/iobuf.ts';
import { limits } from '../env/limits.ts';
import type { Segment } from '../env/segment.ts';
import { log } from '../log/index.ts';
import { RpcRegistry } from '../rpc/index.ts';
import { Thread } from '../thread/index.ts';
import type { AppHandle } from './app-handle.ts';
import { type AppOptions, type ResolvedOptions, resolveOptions } from './app-options.ts';
import { type Control, runControl } from './control.ts';
import { createFabric, type Fabric } from './fabric.ts';
import type { RemoteReactor } from './launcher.ts';
import type { Reactor } from './reactor.ts';
import { closeReactor, exitThreads, isQuiet, leaveReactor, ReactorHost, startReactor } from './reactor-host.ts';
import { attachSegment, configureIoBuf, detachSegment } from './segments.ts';
import { SignalWatch } from './signals.ts';
import { SubsystemGraph } from './subsystem.ts';

const appLog = log.register('app');

/** Runs on the app thread once everything is initialised. */
export type StartFn = (app: App) => Promise<void> | void;

/** A running application. Its methods run on the app core unless they say otherwise. */
export class App implements AppHandle {
  readonly options: ResolvedOptions;
  readonly fabric: Fabric;
  readonly host: ReactorHost;
  readonly subsystems: SubsystemGraph;
  /** The application's RPC methods. */
  readonly rpc = new RpcRegistry();
  /** Resolves when `framework_start_init` was called, or the stop came. */
  readonly startInitAsked: Promise<void>;
  /** Resolves when all subsystems are initialised and the configuration is in force; rejects when the application stops before. */
  readonly initialised: Promise<void>;
  askStartInit: () => void = () => {};
  markInitialised: () => void = () => {};
  readonly #remotes = new Map<number, RemoteReactor>();
  /** Cores whose thread has ended though nobody asked it to. */
  readonly #dead = new Set<number>();
  /** Resolves with the first of them. */
  readonly #firstDeath: Promise<number>;
  #markDeath: (core: number) => void = () => {};
  readonly #stopAsked: Promise<void>;
  #stopNow: () => void = () => {};
  #rc: number | null = null;
  /** From the end of the initialisation to the stop. */
  #running = false;
  #iobuf: IoBufMemory;
  #iobufOptions: IoBufOptions;
  /** What the main thread may run on when it is not pinned. */
  readonly #allowedBefore = allowedCores();

  private constructor(options: ResolvedOptions) {
    this.options = options;
    this.subsystems = new SubsystemGraph(options.subsystems);
    this.fabric = createFabric({
      cores: options.cores,
      mainCore: options.mainCore,
      ...(options.heapBytes === undefined ? {} : { heapBytes: options.heapBytes }),
      ...(options.iobuf === undefined ? {} : { iobuf: options.iobuf }),
      ...(options.mailboxEvents === undefined ? {} : { mailboxEvents: options.mailboxEvents }),
    });
    this.#iobuf = this.fabric.iobuf;
    this.#iobufOptions = options.iobuf ?? {};
    this.#stopAsked = new Promise((resolve) => {
      this.#stopNow = resolve;
    });
    this.#firstDeath = new Promise((resolve) => {
      this.#markDeath = resolve;
    });
    this.startInitAsked = Promise.race([
      this.#stopAsked,
      new Promise<void>((resolve) => {
        this.askStartInit = resolve;
      }),
    ]);
    this.initialised = new Promise((resolve, reject) => {
      this.markInitialised = resolve;
      void this.#stopAsked.then(() => reject(new SpdkError('ESHUTDOWN', 'the application is stopping')));
    });
    // Nobody may be waiting.
    this.initialised.catch(() => {});
    this.host = new ReactorHost({
      fabric: this.fabric,
      core: options.mainCore,
      app: this,
      clock: options.platform.clock(),
      makeLoop: (reactor) => options.platform.makeLoop(reactor, options.loop),
      onFault: (error, what) => this.fault(error, what),
      onStall: (text, kind) => {
        // Loading and configuring takes what it takes.
        if (kind === 'machine' || (kind === 'outside' && !this.#running)) appLog.info(text);
        else appLog.warn(text);
      },
    });
  }

  /**
   * Runs an application to its end. Resolves with the exit code: that of the first `stop`, or 1 when start-up failed or something leaked.
   * @throws {SpdkError} EINVAL for options that cannot be right; EBUSY when this thread already runs an application.
   */
  static async start(options: AppOptions, startFn: StartFn): Promise<number> {
    const resolved = resolveOptions(options);
    if (current.reactor !== null && !resolved.platform.shared) {
      throw new SpdkError('EBUSY', 'this thread already runs an application');
    }
    const app = new App(resolved);
    return app.#run(startFn);
  }

  get mainCore(): number {
    return this.fabric.mainCore;
  }
  get cores(): readonly number[] {
    return this.fabric.cores;
  }
  /** The app core's reactor. */
  get reactor(): Reactor {
    return this.host.reactor;
  }
  /** True from the first stop on. */
  get stopping(): boolean {
    return this.#rc !== null;
  }

  stop(rc: number): void {
    if (this.#rc !== null) return;
    this.#rc = rc;
    this.reactor.markStopping();
    this.#stopNow();
  }

  /** An event, poller or thread threw: said once with its stack, and the application stops with code 1. */
  fault(error: unknown, what: string): void {
    appLog.error(`${what}: ${error instanceof Error ? error.stack : String(error)}`);
    this.stop(1);
  }

  /** A worker's thread is gone: nobody sends to it any more, and the application stops with code 1. */
  #died(core: number, error: unknown): void {
    this.#dead.add(core);
    this.reactor.markDead(core);
    this.#markDeath(core);
    this.fault(error, `reactor ${core}`);
  }

  /**
   * What `work` ends with. Once a core has died that may never come, as its I/O and messages have gone with it: then it is left after `limits.stop_grace_ms`. App core only.
   * @throws {SpdkError} ETIMEDOUT when it was left; what `work` throws
   */
  async endOf<T>(work: Promise<T> | T): Promise<T> {
    if (!(work instanceof Promise)) return work;
    let ended = false;
    let callOff = (): void => {};
    const left = this.#firstDeath.then(
      (core) =>
        new Promise<never>((_, reject) => {
          if (ended) return;
          const ms = limits.stop_grace_ms;
          const what = `it has not ended in ${ms} ms, and core ${core} has died`;
          callOff = this.options.platform.later(ms, () => reject(new SpdkError('ETIMEDOUT', what)));
        }),
    );
    try {
      return await Promise.race([work, left]);
    } finally {
      ended = true;
      callOff();
    }
  }

  async call<P, R>(core: number, control: Control<P, R>, payload: P): Promise<R> {
    if (core === this.mainCore) return (await runControl(control.name, payload, this.reactor)) as R;
    const remote = this.#remotes.get(core);
    if (remote === undefined)
      throw new SpdkError('EINVAL', `no reactor on core ${core}: cores are ${this.cores.join(',')}`);
    return (await remote.link.call(control.name, payload)) as R;
  }

  /** Runs a control function on every core, the app core first; the others at the same time. Rejects with the first error, after all answered. */
  async callAll<P, R>(control: Control<P, R>, payload: P): Promise<R[]> {
    const first = await this.call(this.mainCore, control, payload);
    const others = this.cores.filter((core) => core !== this.mainCore);
    const answers = await Promise.allSettled(others.map((core) => this.call(core, control, payload)));
    const failed = answers.find((answer) => answer.status === 'rejected');
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    return [first, ...answers.map((answer) => (answer as PromiseFulfilledResult<R>).value)];
  }

  /** The pools that I/O buffers come from. */
  get iobufMemory(): IoBufMemory {
    return this.#iobuf;
  }

  /**
   * Other counts and sizes for the I/O buffer pools; before the subsystems are initialised.
   * @throws {SpdkError} EINVAL; EBUSY when buffers are out.
   */
  async setIoBufOptions(options: IoBufOptions): Promise<void> {
    if (heldIoBufs(this.#iobuf).length > 0)
      throw new SpdkError('EBUSY', 'I/O buffers are in use, the pools cannot change');
    const wanted = { ...this.#iobufOptions, ...options };
    this.#iobuf = createIoBufMemory(this.cores.length, wanted);
    this.#iobufOptions = wanted;
    await this.callAll(configureIoBuf, this.#iobuf);
  }

  /** Memory for I/O data on every reactor under one number. Zeroed. */
  async shareSegment(sizeBytes: number): Promise<Segment> {
    const sab = new SharedArrayBuffer(sizeBytes);
    const id = this.reactor.allocSegmentId();
    await this.callAll(attachSegment, { id, sab });
    return this.reactor.segments.get(id);
  }

  /** Forgets a segment on every reactor; nobody may use it any more. */
  async dropSegment(segment: Segment): Promise<void> {
    await this.callAll(detachSegment, { id: segment.id });
  }

  async #run(startFn: StartFn): Promise<number> {
    const { options } = this;
    if (!options.platform.shared) current.reactor = this.reactor;
    const signals = options.signals ? new SignalWatch(this) : null;
    let failure: unknown = null;
    try {
      await this.#startReactors();
      await this.endOf(this.#startServices());
      if (!this.stopping) {
        this.#running = true;
        await this.endOf(startFn(this));
      }
    } catch (error) {
      failure = error;
      if (!options.throwOnStartFailure) appLog.error(`start-up failed: ${explain(error)}`);
      this.stop(1);
    }
    await this.#stopAsked;
    this.#running = false;
    const rc = await this.#shutdown();
    signals?.close();
    if (!options.platform.shared) current.reactor = null;
    if (failure !== null && options.throwOnStartFailure) throw failure;
    return rc;
  }

  async #startReactors(): Promise<void> {
    const { options } = this;
    const parts = [...options.services, ...options.subsystems];
    const modules = [...new Set([...options.modules, ...parts.flatMap((part) => [...(part.modules ?? [])])])];
    const others = this.cores.filter((core) => core !== this.mainCore);
    const launched = await Promise.allSettled(
      others.map(async (core) => {
        const remote = await options.platform.launch({
          fabric: this.fabric,
          core,
          modules,
          loop: options.loop,
          pin: options.pin,
          local: this.reactor,
          onDeath: (dead, error) => this.#died(dead, error),
        });
        this.#remotes.set(core, remote);
      }),
    );
    const failed = launched.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    // Pinned only now: threads inherit the mask of the one that makes them.
    if (options.pin) {
      const { pinned, reason } = pinThread([this.mainCore]);
      if (!pinned) appLog.notice(`threads are not pinned: ${reason}`);
    }
    const doorbells = this.cores.map((core) =>
      core === this.mainCore ? this.host.loop.target : (this.#remotes.get(core) as RemoteReactor).doorbell,
    );
    await this.callAll(startReactor, { doorbells });
    Thread.create(this.reactor, { name: 'app_thread', cpumask: new Cpuset([this.mainCore]) });
    if (this.reactor.ring !== null) appLog.info(`io_uring: ${this.reactor.ring.summary}`);
    else appLog.notice(`io_uring is not used, the node backends serve instead: ${this.reactor.ringReason}`);
  }

  async #startServices(): Promise<void> {
    for (const service of this.options.services) await service.start?.(this);
    for (const subsystem of this.subsystems.order) subsystem.registerRpc?.(this);
    for (const service of this.options.services) if (!this.stopping) await service.beforeInit?.(this);
    await this.subsystems.init(this, () => this.stopping);
    for (const service of this.options.services) if (!this.stopping) await service.afterInit?.(this);
    this.markInitialised();
  }

  async #shutdown(): Promise<number> {
    const { options } = this;
    let rc = this.#rc as number;
    for (const { name, error } of await this.subsystems.stopping(this)) {
      appLog.error(`subsystem "${name}" failed to stop: ${error instanceof Error ? error.stack : String(error)}`);
      rc ||= 1;
    }
    try {
      await this.endOf(options.shutdownFn?.(this));
    } catch (error) {
      appLog.error(`shutdown function: ${error instanceof Error ? error.stack : String(error)}`);
      rc ||= 1;
    }
    for (const service of [...options.services].reverse()) {
      try {
        await this.endOf(service.stop?.(this));
      } catch (error) {
        appLog.error(
          `service "${service.name}" failed to stop: ${error instanceof Error ? error.stack : String(error)}`,
        );
        rc ||= 1;
      }
    }
    for (const { name, error } of await this.subsystems.fini(this)) {
      appLog.error(`subsystem "${name}" failed to finish: ${error instanceof Error ? error.stack : String(error)}`);
      rc ||= 1;
    }
    await this.#onLive(this.#liveCores(), exitThreads);
    if (!(await this.#quiesce())) rc ||= 1;
    // What closers send (a block that goes home) has to arrive too.
    await this.#onLive(this.#liveCores().reverse(), closeReactor);
    if (!(await this.#quiesce())) rc ||= 1;
    const leaked = await this.#leave();
    for (const { core, kind, count } of heldIoBufs(this.#iobuf)) {
      leaked.push(`leak: core ${core} still holds ${count} ${kind} I/O buffer(s)`);
    }
    await Promise.all([...this.#remotes.values()].map((remote) => remote.end()));
    if (options.pin) pinThread(this.#allowedBefore);
    for (const line of leaked) appLog.error(line);
    return leaked.length > 0 || this.#dead.size > 0 ? rc || 1 : rc;
  }

  /** Waits until no event is under way on any core; see reactor-host.ts. False when that took longer than the grace. */
  async #quiesce(): Promise<boolean> {
    const began = this.reactor.clock.read();
    let before = -1;
    for (let round = 0; ; round++) {
      const reports = await this.#onLive(this.#liveCores(), isQuiet);
      const events = reports.reduce((sum, report) => sum + report.events, 0);
      const busy = reports.filter((report) => report.iterations > 0 || report.threads > 0 || report.work);
      if (busy.length === 0 && events === before) return true;
      // What was under way through a core that died never ends.
      const graceMs = this.#dead.size > 0 ? limits.stop_dead_grace_ms : limits.stop_grace_ms;
      if (this.reactor.clock.read() - began > graceMs * 1000) {
        const who = busy
          .map(
            (report) =>
              `core ${report.core}: ${report.iterations} iteration(s) in flight, ${report.threads} thread(s) not exited`,
          )
          .join('; ');
        appLog.error(`cores are still busy ${graceMs} ms after the stop, leaving anyway: ${who || 'events go on'}`);
        return false;
      }
      before = events;
      await this.options.platform.pause(round);
    }
  }

  /** One core after the other; one that dies meanwhile is left out, and so is what it keeps another from. */
  async #onLive<R>(cores: readonly number[], control: Control<null, R>): Promise<R[]> {
    const answers: R[] = [];
    for (const core of cores) {
      try {
        answers.push(await this.endOf(this.call(core, control, null)));
      } catch (error) {
        if (this.#dead.size === 0) throw error;
        if (!this.#dead.has(core)) appLog.error(`core ${core} failed to stop: ${explain(error)}`);
      }
    }
    return answers;
  }

  /** Workers first, the app core last. What is still allocated comes back as lines for the log. */
  async #leave(): Promise<string[]> {
    const lines: string[] = [];
    for (const { core, blocks } of await this.#onLive(this.#liveCores().reverse(), leaveReactor)) {
      for (const held of blocks) {
        lines.push(
          `leak: core ${core} still holds ${held.blocks} block(s), ${held.bytes} bytes, allocated by ${held.site}`,
        );
      }
    }
    return lines;
  }

  /** The app core and every worker that came up and lives. */
  #liveCores(): number[] {
    return [this.mainCore, ...this.cores.filter((core) => this.#remotes.has(core) && !this.#dead.has(core))];
  }
}
