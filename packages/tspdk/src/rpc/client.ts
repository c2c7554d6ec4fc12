/**
 * A JSON-RPC client: `call` and its answer, over a unix socket or TCP.
 *
 * Speaks to this kit's server and to SPDK's. Calls may overlap; each is matched with its reply by id. When the
 * connection ends, calls that are still open reject with ECONNRESET.
 */
import { connect, type Socket } from 'node:net';
import { SpdkError, toSpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { formatRpcAddress, parseRpcAddress, type RpcAddress } from './address.ts';
import { parseJson, stringifyJson } from './json.ts';
import { JsonSplitter } from './json-splitter.ts';
import { RpcError, type RpcErrorObject } from './rpc-error.ts';

interface Pending {
  readonly method: string;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A connection to an RPC server, the kit's or SPDK's. */
export class RpcClient {
  readonly #socket: Socket;
  readonly #splitter = new JsonSplitter(limits.rpc_reply_bytes_max + 1024);
  readonly #pending = new Map<number, Pending>();
  readonly #address: string;
  #lastId = 0;
  #failure: SpdkError | null = null;

  private constructor(socket: Socket, address: string) {
    this.#socket = socket;
    this.#address = address;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', (error) => this.#fail(toSpdkError(error, address)));
    socket.on('close', () => this.#fail(new SpdkError('ECONNRESET', `${address} closed the connection`)));
  }

  /** Connects. @throws {SpdkError} ENOENT, ECONNREFUSED, EACCES when nobody listens there */
  static connect(address: string | RpcAddress): Promise<RpcClient> {
    const parsed = typeof address === 'string' ? parseRpcAddress(address) : address;
    const text = formatRpcAddress(parsed);
    return new Promise((resolve, reject) => {
      const socket = connect('path' in parsed ? { path: parsed.path } : { ...parsed, noDelay: true });
      const failed = (error: Error): void => reject(toSpdkError(error, `cannot connect to ${text}`));
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.off('error', failed);
        resolve(new RpcClient(socket, text));
      });
    });
  }

  /**
   * Calls a method and waits for its result. Bigints are sent as integers, and integers past 2^53 come back as bigints.
   * @throws {RpcError} what the server answered; {SpdkError} ECONNRESET when it went away
   */
  call(method: string, params?: Record<string, unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) {
        reject(this.#failure);
        return;
      }
      const id = ++this.#lastId;
      const text = stringifyJson({ jsonrpc: '2.0', id, method, params });
      this.#pending.set(id, { method, resolve, reject });
      this.#socket.write(`${text}\n`);
    });
  }

  /** Closes the connection. Calls still open reject. */
  async close(): Promise<void> {
    if (this.#socket.closed) return;
    await new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.destroy();
    });
  }

  #onData(chunk: Buffer): void {
    this.#splitter.push(chunk);
    for (let json = this.#splitter.next(); json !== null; json = this.#splitter.next()) {
      try {
        this.#onReply(json.longNumber ? parseJson(json.text) : JSON.parse(json.text));
      } catch {
        this.#protocolError('a reply is not JSON');
        return;
      }
    }
    if (this.#splitter.error !== null) this.#protocolError(`a reply is not JSON (${this.#splitter.error})`);
  }

  #onReply(reply: unknown): void {
    if (typeof reply !== 'object' || reply === null || Array.isArray(reply)) {
      this.#protocolError('a reply is not an object');
      return;
    }
    const { id, result, error, jsonrpc } = reply as Record<string, unknown>;
    if (jsonrpc !== undefined && jsonrpc !== '2.0') {
      this.#protocolError('a reply is not JSON-RPC 2.0');
      return;
    }
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined;
    if (pending === undefined) {
      // An error without id says that the server could not read what we sent.
      const text = isErrorObject(error) ? toError(error).message : 'a reply to no call';
      this.#protocolError(text);
      return;
    }
    this.#pending.delete(id as number);
    if (error === undefined) pending.resolve(result);
    else if (isErrorObject(error)) pending.reject(toError(error));
    else pending.reject(new SpdkError('EPROTO', `${this.#address}: the error of '${pending.method}' is malformed`));
  }

  #protocolError(what: string): void {
    this.#fail(new SpdkError('EPROTO', `${this.#address}: ${what}`));
    this.#socket.destroy();
  }

  #fail(error: SpdkError): void {
    this.#failure ??= error;
    for (const pending of this.#pending.values()) pending.reject(this.#failure);
    this.#pending.clear();
  }
}

function isErrorObject(value: unknown): value is RpcErrorObject {
  if (typeof value !== 'object' || value === null) return false;
  const { code, message } = value as Record<string, unknown>;
  return typeof code === 'number' && typeof message === 'string';
}

function toError(object: RpcErrorObject): RpcError {
  return new RpcError(object.code, object.message, object.data);
}
