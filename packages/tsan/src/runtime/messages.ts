// Edges along messages: what a thread did before it posted one is before what another does after receiving it. Values travel in envelopes on the ports that the
// program can see (made by it, received by it, its parentPort and those inside its Workers); Node's own ports stay as they are.

import { createRequire } from 'node:module';
import { isEnvelope, open, seal } from './envelope.ts';
import { patchClass, patchMethod } from './patch.ts';
import type { Runtime } from './runtime.ts';

type Threads = typeof import('node:worker_threads');
type Post = (this: object, value: unknown, transfer?: unknown) => unknown;

/** Through which Node gives a message to whoever listens on a port, in whatever way. */
const dispatch = Symbol.for('nodejs.internal.kHybridDispatch');
const { apply, construct } = Reflect;

export class Messages {
  readonly #runtime: Runtime;
  readonly #visible = new WeakSet<object>();
  readonly #threads: Threads;
  readonly isPort: (value: object) => boolean;
  readonly seePort = (port: object): void => {
    this.#visible.add(port);
  };

  constructor(runtime: Runtime, threads = createRequire(import.meta.url)('node:worker_threads') as Threads) {
    this.#runtime = runtime;
    this.#threads = threads;
    const { MessagePort } = threads;
    this.isPort = (value) => value instanceof MessagePort;
  }

  seal(value: unknown): unknown {
    this.#runtime.perturb?.(1);
    return seal(this.#runtime, value, this.isPort);
  }

  open(data: unknown): unknown {
    return open(this.#runtime, data, this.seePort);
  }

  install(): void {
    const { MessagePort, parentPort } = this.#threads;
    if (parentPort !== null) this.seePort(parentPort);
    this.#patchPort(MessagePort.prototype);
    this.#patchChannel();
    this.#patchBroadcast();
    this.#patchReceive();
    this.#patchClone();
    this.#patchToThread();
  }

  #patchPort(prototype: object): void {
    const visible = this.#visible;
    const sealed = (value: unknown) => this.seal(value);
    const opened = (data: unknown) => this.open(data);
    patchMethod(prototype, 'postMessage', (original: Post) => {
      const own = function postMessage(this: object, ...args: [unknown, unknown?]): unknown {
        if (args.length > 0 && visible.has(this)) args[0] = sealed(args[0]);
        return apply(original, this, args);
      };
      return own as Post;
    });
    // The method is inherited, from a class that Node does not show.
    const inherited = (prototype as Record<symbol, unknown>)[dispatch] as (
      data: unknown,
      ...rest: unknown[]
    ) => unknown;
    Object.defineProperty(prototype, dispatch, {
      configurable: true,
      writable: true,
      value(this: object, data: unknown, ...rest: unknown[]) {
        // Events that the program makes itself, and the port's own 'close', have another kind of first argument.
        return apply(inherited, this, [isEnvelope(data) ? opened(data) : data, ...rest]);
      },
    });
  }

  #patchChannel(): void {
    const original = this.#threads.MessageChannel;
    const see = this.seePort;
    const own = function MessageChannel(this: unknown, ...args: unknown[]) {
      if (new.target === undefined) return apply(original as never, this, args);
      const channel = construct(
        original,
        args,
        new.target === (own as unknown) ? original : new.target,
      ) as InstanceType<Threads['MessageChannel']>;
      see(channel.port1);
      see(channel.port2);
      return channel;
    } as unknown as Threads['MessageChannel'];
    patchClass(own, original);
    this.#threads.MessageChannel = own;
    replaceGlobal('MessageChannel', original, own);
  }

  /** A channel's handle is a port that Node keeps to itself; it becomes one that the program can see. */
  #patchBroadcast(): void {
    const { BroadcastChannel } = this.#threads;
    const see = this.seePort;
    patchMethod(BroadcastChannel.prototype, 'postMessage', (original: Post) => {
      const own = function postMessage(this: object, ...args: [unknown]): unknown {
        const handle = handleOf(this);
        if (handle !== undefined) see(handle);
        return apply(original, this, args);
      };
      return own as Post;
    });
  }

  #patchReceive(): void {
    const opened = (data: unknown) => this.open(data);
    patchMethod(this.#threads, 'receiveMessageOnPort', (original: Threads['receiveMessageOnPort']) => {
      const own = function receiveMessageOnPort(port: Parameters<typeof original>[0]) {
        const received = original(port);
        if (received !== undefined) received.message = opened(received.message);
        return received;
      };
      return own;
    });
  }

  #patchClone(): void {
    const sealed = (value: unknown) => this.seal(value);
    const opened = (data: unknown) => this.open(data);
    patchMethod(globalThis, 'structuredClone', (original: typeof structuredClone) => {
      const own = function structuredClone(...args: unknown[]) {
        if (args.length === 0 || isPrimitive(args[0])) return apply(original, undefined, args);
        return opened(apply(original, undefined, [sealed(args[0]), ...args.slice(1)]));
      };
      return own as typeof structuredClone;
    });
  }

  /** Node 22 on: messages from any thread to any, received by process.on('workerMessage'). */
  #patchToThread(): void {
    const sealed = (value: unknown) => this.seal(value);
    patchMethod(this.#threads, 'postMessageToThread', (original: (id: number, ...rest: unknown[]) => Promise<void>) => {
      const own = function postMessageToThread(id: number, ...rest: unknown[]): Promise<void> {
        if (rest.length > 0) rest[0] = sealed(rest[0]);
        return original(id, ...rest);
      };
      return own;
    });
    if (!('postMessageToThread' in this.#threads)) return;
    const opened = (data: unknown) => this.open(data);
    patchMethod(process, 'emit', inheritedEmit(opened));
    const emit = process.emit as unknown as (...args: unknown[]) => boolean;
    if (Object.hasOwn(process, 'emit')) return;
    Object.defineProperty(process, 'emit', {
      configurable: true,
      enumerable: false,
      writable: true,
      value: inheritedEmit(opened)(emit),
    });
  }
}

function inheritedEmit(opened: (data: unknown) => unknown) {
  return (original: (...args: unknown[]) => boolean) =>
    function emit(this: unknown, name: unknown, value: unknown, ...rest: unknown[]): boolean {
      return apply(original, this, [name, name === 'workerMessage' ? opened(value) : value, ...rest]);
    };
}

function isPrimitive(value: unknown): boolean {
  return value === null || (typeof value !== 'object' && typeof value !== 'function');
}

/** The value under a symbol that Node does not give out, by its name. */
export function hidden(object: object, name: string): unknown {
  for (let each: object | null = object; each !== null; each = Object.getPrototypeOf(each)) {
    const symbol = Object.getOwnPropertySymbols(each).find(({ description }) => description === name);
    if (symbol !== undefined) return (object as Record<symbol, unknown>)[symbol];
  }
  return undefined;
}

function handleOf(channel: object): object | undefined {
  const handle = hidden(channel, 'kHandle');
  return typeof handle === 'object' && handle !== null ? handle : undefined;
}

export function replaceGlobal(name: string, original: unknown, own: unknown): void {
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, name);
  if (descriptor === undefined || (globalThis as Record<string, unknown>)[name] !== original) return;
  Object.defineProperty(globalThis, name, {
    configurable: true,
    enumerable: descriptor.enumerable ?? false,
    writable: true,
    value: own,
  });
}
