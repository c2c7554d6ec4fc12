/**
 * One client of the JSON-RPC server: bytes in, calls, replies out.
 *
 * Replies go out as the calls finish, a batch's together (JSON-RPC 2.0, section 6). Nothing a client does reaches beyond its
 * own connection: one that does not read is not read from either (`rpc_unread_bytes`), one with too many calls under way
 * waits (`rpc_outstanding_calls`), one that sends what is not JSON gets a parse error and is closed, since such a stream
 * cannot be picked up again. App thread only.
 */
import type { Socket } from 'node:net';
import { limits } from '../env/limits.ts';
import type { LogComponent } from '../log/index.ts';
import { parseJson, stringifyJson } from './json.ts';
import { JsonSplitter, type JsonText } from './json-splitter.ts';
import type { RpcContext, RpcRegistry } from './registry.ts';
import { RPC_INTERNAL_ERROR, RPC_INVALID_REQUEST, RPC_PARSE_ERROR, RpcError, toRpcError } from './rpc-error.ts';
import { type RpcId, type RpcRequest, readRequest } from './rpc-request.ts';

export interface RpcConnectionOptions {
  registry: RpcRegistry;
  log: LogComponent;
  /** The client's name in log lines. */
  peer: string;
  /** Starts without reading. */
  paused: boolean;
  onClose(connection: RpcConnection): void;
}

/** Takes the reply of one call, or null when it gets none. */
type Answer = (reply: string | null) => void;

export class RpcConnection {
  readonly peer: string;
  readonly #socket: Socket;
  readonly #registry: RpcRegistry;
  readonly #log: LogComponent;
  readonly #splitter = new JsonSplitter();
  /** Calls whose promise is not settled. */
  readonly #waiting = new Set<CallContext>();
  /** Replies of the pump that is running; they leave in one write. */
  #out = '';
  #pumping = false;
  #paused: boolean;
  /** The client sent all it will send. */
  #ended = false;
  /** The stream is broken; the rest is thrown away. */
  #broken = false;
  #discardedBytes = 0;

  constructor(socket: Socket, options: RpcConnectionOptions) {
    this.#socket = socket;
    this.#registry = options.registry;
    this.#log = options.log;
    this.peer = options.peer;
    this.#paused = options.paused;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('drain', () => this.#pump());
    socket.on('end', () => {
      this.#ended = true;
      this.#pump();
    });
    socket.on('error', (error) => this.#log.debug(() => `${this.peer}: ${error.message}`));
    socket.on('close', () => {
      for (const context of this.#waiting) context.closed();
      this.#waiting.clear();
      options.onClose(this);
    });
    if (this.#paused) socket.pause();
  }

  /** Calls under way. */
  get outstanding(): number {
    return this.#waiting.size;
  }

  setPaused(paused: boolean): void {
    this.#paused = paused;
    if (paused) this.#socket.pause();
    else this.#pump();
  }

  /** Closes at once; what the operating system has taken is still delivered. */
  destroy(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    if (this.#broken) {
      this.#discardedBytes += chunk.length;
      if (this.#discardedBytes > limits.rpc_request_bytes_max) this.#socket.destroy();
      return;
    }
    this.#splitter.push(chunk);
    this.#pump();
  }

  /** Takes complete requests as long as there is room for their replies. */
  #pump(): void {
    if (this.#pumping || this.#socket.destroyed) return;
    this.#pumping = true;
    let more = !this.#broken;
    while (more && this.#mayTake()) {
      const next = this.#splitter.next() ?? (this.#ended ? this.#splitter.end() : null);
      if (next !== null) this.#take(next);
      else if (this.#splitter.error !== null) this.#break(this.#splitter.error);
      more = next !== null && !this.#broken;
    }
    this.#pumping = false;
    this.#flush();
    if (this.#broken || (!more && this.#ended)) this.#endWhenDone();
    else if (more) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  #mayTake(): boolean {
    if (this.#paused || this.#waiting.size >= limits.rpc_outstanding_calls) return false;
    return this.#out.length + this.#socket.writableLength <= limits.rpc_unread_bytes;
  }

  /** The stream makes no sense any more: says so and stops listening. */
  #break(why: string): void {
    this.#broken = true;
    const tooLarge = why === 'size';
    const detail = tooLarge ? `a request of more than ${limits.rpc_request_bytes_max} bytes` : why;
    this.#log.warn(`${this.peer}: closed, its stream is not JSON-RPC: ${detail}`);
    this.#send(errorReply(null, new RpcError(tooLarge ? RPC_INVALID_REQUEST : RPC_PARSE_ERROR, undefined, detail)));
  }

  #endWhenDone(): void {
    if (this.#waiting.size > 0 || this.#socket.writableEnded) return;
    this.#socket.end();
    // Reading on lets a broken client see the reply: closing with unread bytes would reset the connection.
    this.#socket.resume();
  }

  #take(json: JsonText): void {
    let value: unknown;
    try {
      value = json.longNumber ? parseJson(json.text) : JSON.parse(json.text);
    } catch {
      this.#break('syntax');
      return;
    }
    if (Array.isArray(value)) this.#batch(value);
    else this.#single(value, (reply) => this.#send(reply));
  }

  #batch(values: readonly unknown[]): void {
    if (values.length === 0 || values.length > limits.rpc_batch_calls) {
      const detail = `a batch has 1 to ${limits.rpc_batch_calls} requests, not ${values.length}`;
      this.#send(errorReply(null, new RpcError(RPC_INVALID_REQUEST, undefined, detail)));
      return;
    }
    const replies: string[] = [];
    let missing = values.length;
    let bytes = 0;
    for (const value of values) {
      this.#single(value, (reply, id) => {
        if (reply !== null) {
          bytes += reply.length;
          replies.push(bytes <= limits.rpc_reply_bytes_max ? reply : tooLargeReply(id));
        }
        if (--missing === 0 && replies.length > 0) this.#send(`[${replies.join(',')}]`);
      });
    }
  }

  #single(value: unknown, answer: (reply: string | null, id: RpcId) => void): void {
    let request: RpcRequest;
    try {
      request = readRequest(value);
    } catch (error) {
      answer(errorReply(null, toRpcError(error)), null);
      return;
    }
    this.#call(request, (reply) => answer(reply, request.id));
  }

  #call(request: RpcRequest, answer: Answer): void {
    const context = new CallContext(request.method, this.peer, this.#socket);
    let result: unknown;
    try {
      result = this.#registry.call(request.method, request.params, context);
    } catch (error) {
      answer(this.#failed(request, error));
      context.replied();
      return;
    }
    if (!isPromise(result)) {
      answer(successReply(request.id, result));
      context.replied();
      return;
    }
    this.#waiting.add(context);
    const settle = (reply: string | null): void => {
      // Not there any more: the client went away.
      if (!this.#waiting.delete(context)) return;
      answer(reply);
      context.replied();
      this.#pump();
    };
    result.then(
      (resolved) => settle(successReply(request.id, resolved)),
      (error: unknown) => settle(this.#failed(request, error)),
    );
  }

  #failed(request: RpcRequest, error: unknown): string {
    const rpcError = toRpcError(error);
    if (rpcError.code === RPC_INTERNAL_ERROR && error !== rpcError) {
      const stack = error instanceof Error ? error.stack : undefined;
      this.#log.error(`RPC method ${request.method} failed unexpectedly: ${stack ?? rpcError.message}`);
    }
    return errorReply(request.id, rpcError);
  }

  #send(reply: string | null): void {
    if (reply === null) return;
    this.#out += `${reply}\n`;
    if (!this.#pumping) this.#flush();
  }

  #flush(): void {
    if (this.#out === '' || this.#socket.destroyed) return;
    const out = this.#out;
    this.#out = '';
    this.#socket.write(out);
  }
}

/** What a handler may ask of the call's connection. */
class CallContext implements RpcContext {
  readonly method: string;
  readonly peer: string;
  readonly #socket: Socket;
  #afterReply: (() => void)[] | null = null;
  constructor(method: string, peer: string, socket: Socket) {
    this.method = method;
    this.peer = peer;
    this.#socket = socket;
  }
  afterReply(fn: () => void): void {
    this.#afterReply ??= [];
    this.#afterReply.push(fn);
  }
  /** The reply was handed over: it leaves with the next flush, after which an empty write returns. */
  replied(): void {
    const after = this.#afterReply;
    if (after === null) return;
    this.#afterReply = null;
    const run = (): void => {
      for (const fn of after) fn();
    };
    setImmediate(() => {
      if (this.#socket.destroyed || this.#socket.writableEnded) run();
      else this.#socket.write('', run);
    });
  }
  /** The connection is gone: no reply will leave. */
  closed(): void {
    const after = this.#afterReply ?? [];
    this.#afterReply = null;
    for (const fn of after) fn();
  }
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function idText(id: RpcId): string {
  return typeof id === 'bigint' ? String(id) : JSON.stringify(id);
}

/** Null for a notification: success is not answered. */
function successReply(id: RpcId, result: unknown): string | null {
  if (id === null) return null;
  let text: string;
  try {
    text = stringifyJson(result === undefined ? true : result);
  } catch (error) {
    return errorReply(id, toRpcError(error));
  }
  if (text.length > limits.rpc_reply_bytes_max) return tooLargeReply(id);
  return `{"jsonrpc":"2.0","id":${idText(id)},"result":${text}}`;
}

function tooLargeReply(id: RpcId): string {
  const detail = `the result has more than ${limits.rpc_reply_bytes_max} bytes`;
  return errorReply(id, new RpcError(RPC_INTERNAL_ERROR, undefined, detail));
}

function errorReply(id: RpcId, error: RpcError): string {
  return `{"jsonrpc":"2.0","id":${idText(id)},"error":${stringifyJson(error.toObject())}}`;
}
