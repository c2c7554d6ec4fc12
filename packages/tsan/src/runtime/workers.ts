// Edges along the life of a worker: what its creator did is before all it does (so is what it is given: workerData and environment data), and all it did is before
// what its creator learns by 'exit' and terminate(). The worker's column of the clocks is taken here, before it exists, and what it needs to begin comes to it
// inside workerData, from which the program's own value is restored before the program starts.

import { createRequire, syncBuiltinESMExports } from 'node:module';
import type { Options } from '../report/options.ts';
import { Clock } from './clock.ts';
import { Control, ThreadField, threadInts } from './control.ts';
import { isEnvelope } from './envelope.ts';
import { hidden, type Messages } from './messages.ts';
import { patchClass, patchMethod } from './patch.ts';
import type { Runtime } from './runtime.ts';
import { stopProcess } from './stop.ts';
import { enterThread, leave, noteEnding, setTid } from './thread-table.ts';

type Threads = typeof import('node:worker_threads');
type WorkerOptions = import('node:worker_threads').WorkerOptions;
type Worker = import('node:worker_threads').Worker;

/** What a worker is given to begin with. */
export interface Birth {
  readonly jstsan: 'birth';
  readonly control: SharedArrayBuffer;
  readonly reporter: SharedArrayBuffer;
  readonly slot: number;
  readonly uid: number;
  readonly options: Options;
  /** Names of the environment data that it inherits. */
  readonly environment: readonly unknown[];
  readonly envelope: unknown;
}

export type Preload = (filename: string | URL, options: WorkerOptions) => [string | URL, WorkerOptions];

let preload: Preload = (filename, options) => [filename, options];

/** load/ sees to it that the sanitizer is there before the worker's program is. */
export function setWorkerPreload(own: Preload): void {
  preload = own;
}

const { construct, apply } = Reflect;
const threads = createRequire(import.meta.url)('node:worker_threads') as Threads;

export class Workers {
  readonly #runtime: Runtime;
  readonly #messages: Messages;
  readonly #reporter: SharedArrayBuffer;
  readonly #uids = new WeakMap<object, number>();
  readonly #environment: Set<unknown>;

  constructor(runtime: Runtime, messages: Messages, reporter: SharedArrayBuffer, environment: readonly unknown[]) {
    this.#runtime = runtime;
    this.#messages = messages;
    this.#reporter = reporter;
    this.#environment = new Set(environment);
  }

  install(): void {
    this.#patchEnvironment();
    this.#patchPrototype(threads.Worker.prototype);
    this.#patchConstructor();
  }

  #patchConstructor(): void {
    const original = threads.Worker;
    const create = (filename: unknown, options: unknown, target: unknown) =>
      this.#create(original, filename, options, target);
    const own = function Worker(this: unknown, filename: unknown, options: unknown) {
      if (new.target === undefined) return apply(original as never, this, [filename, options]);
      return create(filename, options, new.target === (own as unknown) ? original : new.target);
    } as unknown as Threads['Worker'];
    patchClass(own, original);
    threads.Worker = own;
  }

  #create(original: Threads['Worker'], filename: unknown, given: unknown, target: unknown): Worker {
    const options = (typeof given === 'object' && given !== null ? given : {}) as WorkerOptions;
    const name = typeof options.name === 'string' ? options.name : '';
    const { clock } = this.#runtime;
    const child = this.#enter(name);
    try {
      // Getters of the program's options are asked once, here.
      const withBirth = { ...options, workerData: this.#birth(child, options.workerData) };
      const args = preload(filename as string, withBirth);
      const worker = construct(original, args, target as Threads['Worker']) as Worker;
      this.#uids.set(worker, child.uid);
      setTid(this.#runtime.control, child.uid, worker.threadId);
      const port = hidden(worker, 'kPublicPort');
      if (typeof port === 'object' && port !== null) this.#messages.seePort(port);
      return worker;
    } catch (error) {
      leave(clock, child.uid);
      throw error;
    }
  }

  #enter(name: string): Clock {
    const { clock } = this.#runtime;
    try {
      return enterThread(clock, this.#runtime.captureWord(), name);
    } catch (error) {
      stopProcess((error as Error).message);
    }
  }

  #birth(child: Clock, workerData: unknown): Birth {
    const environment = [...this.#environment];
    const values = environment.map((key) => threads.getEnvironmentData(key as string));
    return {
      jstsan: 'birth',
      control: this.#runtime.control.memory,
      reporter: this.#reporter,
      slot: child.slot,
      uid: child.uid,
      options: this.#runtime.options,
      environment,
      // The environment's values are the same objects over there as those that Node hands over in the same message.
      envelope: this.#messages.seal({ workerData, values }),
    };
  }

  #patchPrototype(prototype: Worker): void {
    const uids = this.#uids;
    const { control, clock } = this.#runtime;
    patchMethod(prototype, 'terminate', (original: () => Promise<number>) => {
      const own = function terminate(this: object, ...args: []): Promise<number> {
        const uid = uids.get(this);
        if (uid !== undefined) noteEnding(control, uid);
        return apply(original, this, args);
      };
      return own;
    });
    const symbol = Object.getOwnPropertySymbols(prototype).find(({ description }) => description === 'kOnExit');
    if (symbol === undefined) throw new Error('this Node has no way to learn first of the end of a worker');
    patchMethod(prototype, symbol, (original: (...args: unknown[]) => unknown) => {
      const own = function onExit(this: object, ...args: unknown[]): unknown {
        const uid = uids.get(this);
        if (uid !== undefined) leave(clock, uid);
        return apply(original, this, args);
      };
      return own;
    });
  }

  #patchEnvironment(): void {
    const environment = this.#environment;
    patchMethod(threads, 'setEnvironmentData', (original: (key: unknown, value: unknown) => void) => {
      const own = function setEnvironmentData(key: unknown, value: unknown): void {
        original(key, value);
        if (value === undefined) environment.delete(key);
        else environment.add(key);
      };
      return own;
    });
  }
}

/** In a worker: what it was born with. Undefined in the main thread, and in a worker that nobody has prepared. */
export function takeBirth(): Birth | undefined {
  const data = threads.workerData as Partial<Birth> | null | undefined;
  if (data?.jstsan !== 'birth' || !isEnvelope(data.envelope)) return undefined;
  return data as Birth;
}

/** Gives the program its workerData back. */
export function restoreWorkerData(birth: Birth, messages: Messages): void {
  const { workerData } = messages.open(birth.envelope) as { workerData: unknown };
  (threads as { workerData: unknown }).workerData = workerData;
  syncBuiltinESMExports();
}

export function clockOf(birth: Birth): Clock {
  const control = new Control(birth.control);
  control.threads[(birth.uid % 4096) * threadInts + ThreadField.tid] = threads.threadId;
  return new Clock(control, birth.slot, birth.uid);
}
