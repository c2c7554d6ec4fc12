/**
 * The JSON-RPC 2.0 server: how operators and SPDK's own tools talk to a running application.
 *
 * As SPDK's: no framing, batches, 64 connections, a unix socket with mode 0600 beside a lock file, TCP on loopback only when
 * asked. Plain node `net` on the app thread: a call is answered in the turn it arrives in, not at a poller's next tick. Several servers
 * may serve one registry (spdk_rpc_initialize can be given several addresses); closing one leaves the others alone.
 */
import { chmodSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import { SpdkError, toSpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { type LogComponent, log } from '../log/index.ts';
import { formatRpcAddress, isLoopback, parseRpcAddress, type RpcAddress } from './address.ts';
import { RpcConnection } from './connection.ts';
import type { RpcRegistry } from './registry.ts';
import { lockSocket, type SocketLock } from './socket-lock.ts';

export interface RpcServerOptions {
  /** A path, or a loopback `host:port` (port 0: any free one). */
  address: string | RpcAddress;
  log?: LogComponent;
  /** Does not keep the process alive by itself. Default false. */
  unref?: boolean;
}

export class RpcServer {
  readonly #server: Server;
  readonly #registry: RpcRegistry;
  readonly #log: LogComponent;
  readonly #connections = new Set<RpcConnection>();
  #lock: SocketLock | null = null;
  #address: RpcAddress;
  #paused = false;
  #accepted = 0;
  #closed: Promise<void> | null = null;

  private constructor(registry: RpcRegistry, address: RpcAddress, component: LogComponent) {
    this.#registry = registry;
    this.#address = address;
    this.#log = component;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#onConnection(socket));
    this.#server.maxConnections = limits.rpc_connections;
    this.#server.on('drop', () =>
      this.#log.warn(`${this.address}: connection refused, ${limits.rpc_connections} are open already`),
    );
  }

  /**
   * Starts to listen. App thread.
   * @throws {SpdkError} EADDRINUSE when another process serves the address, EPERM for a host that is not loopback, EINVAL,
   *   ENAMETOOLONG for a malformed one, EACCES when the directory cannot be written
   */
  static async listen(registry: RpcRegistry, options: RpcServerOptions): Promise<RpcServer> {
    const address = typeof options.address === 'string' ? parseRpcAddress(options.address) : options.address;
    const server = new RpcServer(registry, address, options.log ?? log.register('rpc'));
    await server.#listen();
    if (options.unref === true) server.#server.unref();
    return server;
  }

  /** The address as text; of TCP with the port that was found. */
  get address(): string {
    return formatRpcAddress(this.#address);
  }
  /** Connections that are open. */
  get connections(): number {
    return this.#connections.size;
  }
  get paused(): boolean {
    return this.#paused;
  }

  /** Takes no further requests, on old connections or new ones (spdk_rpc_server_pause). */
  pause(): void {
    this.#setPaused(true);
  }
  /** Takes requests again; those sent meanwhile are answered now (spdk_rpc_server_resume). */
  resume(): void {
    this.#setPaused(false);
  }
  #setPaused(paused: boolean): void {
    this.#paused = paused;
    for (const connection of this.#connections) connection.setPaused(paused);
  }

  /** Closes the socket and all connections and removes the socket and lock file. May be called twice. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#server.close(() => {
        this.#lock?.release();
        resolve();
      });
      for (const connection of this.#connections) connection.destroy();
    });
    return this.#closed;
  }

  async #listen(): Promise<void> {
    const address = this.#address;
    if ('path' in address) {
      this.#lock = await lockSocket(address.path);
      try {
        await this.#bind(() => withUmask(0o177, () => this.#server.listen(address.path)));
        chmodSync(address.path, 0o600);
      } catch (error) {
        this.#lock.release();
        this.#server.close();
        throw toSpdkError(error, `cannot listen on RPC socket ${address.path}`);
      }
      return;
    }
    if (!isLoopback(address.host)) {
      throw new SpdkError('EPERM', `RPC address ${this.address} is not loopback; calls are not authenticated`);
    }
    try {
      await this.#bind(() => this.#server.listen(address.port, address.host));
    } catch (error) {
      throw toSpdkError(error, `cannot listen on RPC address ${this.address}`);
    }
    this.#address = { host: address.host, port: (this.#server.address() as AddressInfo).port };
  }

  #bind(listen: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.once('listening', () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => this.#log.error(`${this.address}: ${error.message}`));
        resolve();
      });
      listen();
    });
  }

  #onConnection(socket: Socket): void {
    const connection = new RpcConnection(socket, {
      registry: this.#registry,
      log: this.#log,
      peer: `${this.address}#${++this.#accepted}`,
      paused: this.#paused,
      onClose: (closed) => this.#connections.delete(closed),
    });
    this.#connections.add(connection);
  }
}

/** Binding happens inside `listen`: the file must not be open to others even for a moment. Workers may not set the mask. */
function withUmask(mask: number, fn: () => void): void {
  if (!isMainThread) {
    fn();
    return;
  }
  const before = process.umask(mask);
  try {
    fn();
  } finally {
    process.umask(before);
  }
}
