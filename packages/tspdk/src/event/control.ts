/**
 * Control calls: async functions that one core runs for another, with structured data and an answer.
 *
 * For everything that is not an I/O: attach a bdev on every reactor, collect statistics, hand over a connection. Payload and result cross by
 * structured clone, so SharedArrayBuffers stay shared and closures cannot cross. The functions are registered by name at module load,
 * as event functions are, and run on the reactor they are called on.
 */
import { type ErrorCode, SpdkError, toSpdkError } from '../env/errors.ts';
import type { Reactor } from './reactor.ts';

/** A registered control function. */
export interface Control<P, R> {
  readonly name: string;
  /** Never set: carries the types. */
  readonly types?: (payload: P) => R;
}

type Handler = (payload: unknown, reactor: Reactor) => unknown;

const registered = new Map<string, Handler>();

/**
 * Registers `handler` under `name` ("layer.noun.verb").
 * @throws {SpdkError} EEXIST when the name is registered.
 */
export function defineControl<P, R>(
  name: string,
  handler: (payload: P, reactor: Reactor) => R | Promise<R>,
): Control<P, R> {
  if (registered.has(name)) throw new SpdkError('EEXIST', `control function "${name}" is already registered`);
  registered.set(name, handler as Handler);
  return { name };
}

/** Runs a registered function here. @throws {SpdkError} ENOSYS when its module is not loaded. */
export async function runControl(name: string, payload: unknown, reactor: Reactor): Promise<unknown> {
  const handler = registered.get(name);
  if (handler === undefined) {
    throw new SpdkError('ENOSYS', `control function "${name}": its module is not loaded on core ${reactor.core}`);
  }
  // The reactor may have slept: what the handler takes for now must not be the time of its last turn.
  reactor.clock.read();
  return handler(payload, reactor);
}

/** A request or its answer, between two cores. */
export type ControlMessage =
  | { readonly kind: 'call'; readonly id: number; readonly name: string; readonly payload: unknown }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | {
      readonly kind: 'error';
      readonly id: number;
      readonly code: ErrorCode;
      readonly message: string;
      readonly stack: string;
    };

/** Carries messages to the other core; a MessagePort, or the simulator's. */
export interface ControlPort {
  postMessage(message: ControlMessage): void;
}

/** One end of the talk between two cores: numbers the calls and finds their answers. */
export class ControlLink {
  readonly #reactor: Reactor;
  readonly #port: ControlPort;
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>();
  #ids = 0;
  #closed: SpdkError | null = null;

  constructor(reactor: Reactor, port: ControlPort) {
    this.#reactor = reactor;
    this.#port = port;
  }

  /** Runs `name` on the other side. */
  call(name: string, payload: unknown): Promise<unknown> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      const id = ++this.#ids;
      this.#pending.set(id, { resolve, reject });
      try {
        this.#port.postMessage({ kind: 'call', id, name, payload });
      } catch (error) {
        this.#pending.delete(id);
        reject(toSpdkError(error, `control function "${name}"`));
      }
    });
  }

  /** A message came from the other side. */
  receive(message: ControlMessage): void {
    if (message.kind === 'call') {
      void this.#answer(message.id, message.name, message.payload);
      return;
    }
    const waiting = this.#pending.get(message.id);
    if (waiting === undefined) return;
    this.#pending.delete(message.id);
    if (message.kind === 'result') waiting.resolve(message.value);
    else {
      const error = new SpdkError(message.code, message.message);
      error.stack = message.stack;
      waiting.reject(error);
    }
  }

  /** The other side is gone: every pending and later call fails. */
  close(reason: SpdkError): void {
    this.#closed = reason;
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#pending.clear();
  }

  async #answer(id: number, name: string, payload: unknown): Promise<void> {
    let answer: ControlMessage;
    try {
      answer = { kind: 'result', id, value: await runControl(name, payload, this.#reactor) };
      this.#port.postMessage(answer);
    } catch (thrown) {
      const error = toSpdkError(thrown, `control function "${name}"`);
      const stack = (thrown instanceof Error ? thrown.stack : undefined) ?? error.stack ?? '';
      this.#port.postMessage({ kind: 'error', id, code: error.code, message: error.message, stack });
    }
  }
}
