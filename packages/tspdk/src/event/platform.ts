/**
 * What an application runs on: threads, clock and loop of the machine. The simulator stands in with its own.
 */
import { type Clock, RealClock } from '../env/clock.ts';
import { askForInlining } from '../env/jit.ts';
import { setDoorbellFd } from './fabric.ts';
import { type LaunchOptions, launchWorker, type RemoteReactor } from './launcher.ts';
import type { Reactor } from './reactor.ts';
import type { LoopPort } from './reactor-host.ts';
import { type LoopOptions, ReactorLoop } from './reactor-loop.ts';
import { openReactorRing } from './ring-pollable.ts';

/** See `realPlatform`. */
export interface Platform {
  /** True when several reactors share this isolate, so that `current.reactor` is set by turns only. */
  readonly shared: boolean;
  clock(): Clock;
  makeLoop(reactor: Reactor, options: LoopOptions): LoopPort;
  launch(options: LaunchOptions): Promise<RemoteReactor>;
  /** Lets other cores get on between two rounds of asking whether all is quiet. */
  pause(round: number): Promise<void>;
  /** Calls `fn` in `ms` milliseconds, on the app core. Returns what calls that off. */
  later(ms: number, fn: () => void): () => void;
}

/** Worker threads, the monotonic clock, libuv. */
export const realPlatform: Platform = {
  shared: false,
  clock: () => new RealClock(),
  makeLoop: (reactor, options) => {
    askForInlining();
    const loop = new ReactorLoop(reactor, options);
    setDoorbellFd(reactor.fabric, reactor.index, loop.doorbell.fd);
    return {
      target: loop.doorbell.target,
      openRing: () => openReactorRing(reactor, loop.doorbell.fd),
      start: () => loop.start(),
      stop: () => loop.stop(),
    };
  },
  launch: launchWorker,
  pause: (round) =>
    round < 100 ? new Promise((done) => setImmediate(done)) : new Promise((done) => setTimeout(done, 1)),
  later: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};
