/**
 * The platform of a simulated application: reactors as simulated threads of one isolate, driven by the production loop.
 *
 * Only what stands around a reactor is simulated: clock, event loop, threads, control messages. There is no io_uring (`ring` is null, as
 * where it is denied); simulated disks and sockets get their place here, behind `openRing` and the ports of sock/ and bdev/.
 */
import type { Clock } from '../env/clock.ts';
import type { DoorbellTarget } from '../env/doorbell.ts';
import { assert, SpdkError } from '../env/errors.ts';
import { ControlLink, type ControlMessage } from '../event/control.ts';
import type { LaunchOptions, RemoteReactor } from '../event/launcher.ts';
import type { Platform } from '../event/platform.ts';
import type { Reactor } from '../event/reactor.ts';
import type { LoopPort } from '../event/reactor-host.ts';
import { type LoopOptions, ReactorLoop } from '../event/reactor-loop.ts';
import { makeWorkerReactor } from '../event/worker-reactor.ts';
import { simCore } from './isolation.ts';
import type { SimCore } from './sim-core.ts';
import { SimPort } from './sim-port.ts';
import type { SimScheduler } from './sim-scheduler.ts';
import { VirtualClock } from './virtual-clock.ts';

/** What goes wrong while reactors are brought up. */
export interface LaunchFaults {
  /** Cores whose thread says that it failed. */
  readonly failing?: readonly number[];
}

type Message =
  | ControlMessage
  | { readonly kind: 'bye' }
  | { readonly kind: 'ready'; readonly doorbell: DoorbellTarget | null };

/** One simulated application's threads. */
export class SimPlatform implements Platform {
  readonly shared = true;
  readonly main: SimCore;
  readonly #scheduler: SimScheduler;
  readonly #faults: LaunchFaults;
  readonly #threads = new Map<number, SimCore>();
  readonly #kill = new Map<number, () => void>();

  /** @param main the thread that calls `App.start`. */
  constructor(scheduler: SimScheduler, main: SimCore, faults: LaunchFaults = {}) {
    this.#scheduler = scheduler;
    this.main = main;
    this.#faults = faults;
    this.#threads.set(main.core, main);
  }

  clock(): Clock {
    return new VirtualClock(this.#scheduler.time, this.#scheduler.random, this.#scheduler.readUs);
  }

  makeLoop(reactor: Reactor, options: LoopOptions): LoopPort {
    const thread = simCore() as SimCore;
    thread.reactor = reactor;
    const loop = new ReactorLoop(reactor, options, thread);
    return {
      target: loop.doorbell.target,
      openRing: () => {
        reactor.ringReason = 'simulated';
        return () => {};
      },
      start: () => loop.start(),
      stop: () => loop.stop(),
    };
  }

  /** See launcher.ts, which does the same with real threads. */
  launch(options: LaunchOptions): Promise<RemoteReactor> {
    const { core } = options;
    const thread = this.#scheduler.add(core);
    const [here, there] = SimPort.pair<Message>(this.main, thread);
    const link = new ControlLink(options.local, here);
    let cause: unknown = new Error('its simulated thread ended');
    let ending = false;
    const exit = (): void => {
      if (!thread.alive) return;
      this.#scheduler.remove(thread);
      there.close();
    };
    this.#threads.set(core, thread);
    this.#kill.set(core, exit);
    thread.post(() => {
      if (this.#faults.failing?.includes(core)) {
        ending = true;
        cause = new SpdkError('EINVAL', `the simulated thread of core ${core} failed on purpose`);
        exit();
      } else this.#boot(options, thread, there, exit);
    });
    return new Promise((resolve, reject) => {
      const ended = new Promise<void>((done) => {
        here.onClose = () => {
          link.close(new SpdkError('ESHUTDOWN', `the reactor of core ${core} has ended`));
          reject(cause);
          if (!ending) options.onDeath(core, cause);
          done();
        };
      });
      here.onMessage = (message) => {
        if (message.kind === 'bye') return;
        if (message.kind !== 'ready') {
          link.receive(message);
          return;
        }
        const end = (): Promise<void> => {
          ending = true;
          here.postMessage({ kind: 'bye' });
          return ended;
        };
        resolve({ core, link, doorbell: message.doorbell, end });
      };
    });
  }

  /** Longer and longer: when something never comes to rest, virtual time need not pass in small steps. */
  pause(round: number): Promise<void> {
    const us = this.#scheduler.random.int(round < 20 ? 500 : 1000 * Math.min(round, 100));
    return new Promise((resolve) => void this.main.after(us, resolve));
  }

  later(ms: number, fn: () => void): () => void {
    const timer = this.main.after(ms * 1000, fn);
    return () => this.main.clearTimeout(timer);
  }

  /** The thread of `core`. @throws {SpdkError} ENODEV before it was launched. */
  thread(core: number): SimCore {
    const thread = this.#threads.get(core);
    if (thread === undefined) throw new SpdkError('ENODEV', `no simulated thread for core ${core}`);
    return thread;
  }

  /** Ends the thread of `core` (not the app core's) at once, as a crash would; what it had published stays so. */
  kill(core: number): void {
    this.#kill.get(core)?.();
  }

  #boot(options: LaunchOptions, thread: SimCore, port: SimPort<Message>, exit: () => void): void {
    const { host, link } = makeWorkerReactor({
      fabric: options.fabric,
      core: options.core,
      loop: options.loop,
      platform: this,
      port,
    });
    assert(thread.reactor === host.reactor, `the reactor of core ${options.core} lives on its thread`);
    port.onMessage = (message) => {
      if (message.kind === 'bye') exit();
      else if (message.kind !== 'ready') link.receive(message);
    };
    port.postMessage({ kind: 'ready', doorbell: host.loop.target });
  }
}
