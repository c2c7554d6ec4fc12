/**
 * Accepting connections with Node's own server. With FFI a connection's descriptor is duplicated and Node's socket let go before it has read a byte, so any
 * reactor may adopt it; without, the socket stays parked in the app core's group under its descriptor. When descriptors run
 * out libuv accepts and drops connections by itself. App core.
 */
import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { errnoOf, SpdkError, toSpdkError } from '../env/errors.ts';
import { ffi, ffiReason } from '../env/ffi.ts';
import { log } from '../log/index.ts';
import { handOver } from './hand-over.ts';
import { listenError } from './native-address.ts';
import { type NodeSockGroup, peerOf } from './node.ts';
import { formatHostPort, type Listener, type ListenHandler, type SockAddress } from './types.ts';
import { claimUnixPath, removeUnixPath, socketIdentity } from './unix-path.ts';

const sockLog = log.register('sock');
const BACKLOG = 4096;

class NodeListener implements Listener {
  readonly address: string;
  readonly port: number;
  readonly handsOver = ffi !== null;
  readonly reason = ffi === null ? `connections stay on the app core: no FFI (${ffiReason})` : '';
  readonly #server: Server;
  readonly #group: NodeSockGroup;
  readonly #handler: ListenHandler;
  readonly #cleanUp: () => void;
  #failing = false;
  #closed: Promise<void> | null = null;

  constructor(
    server: Server,
    group: NodeSockGroup,
    address: string,
    port: number,
    handler: ListenHandler,
    cleanUp: () => void,
  ) {
    this.#server = server;
    this.#group = group;
    this.address = address;
    this.port = port;
    this.#handler = handler;
    this.#cleanUp = cleanUp;
    server.on('connection', (socket) => this.#accepted(socket));
    server.on('error', (error) => sockLog.error(`${address}: ${error.message}`));
  }

  #accepted(socket: Socket): void {
    const peer = peerOf(socket);
    const fd = handOver(this.#group, socket);
    if (fd < 0) {
      if (!this.#failing) sockLog.error(`${this.address}: no descriptor is left for ${peer}; it was closed`);
      this.#failing = true;
      return;
    }
    this.#failing = false;
    this.#handler.onAccept(fd, peer);
  }

  close(): Promise<void> {
    if (this.#closed === null) {
      this.#closed = new Promise((resolve) => {
        this.#cleanUp();
        // `close` would wait for parked connections, which live on: what is waited for is that the descriptor is closed.
        this.#server.unref();
        this.#server.close();
        setImmediate(resolve);
      });
    }
    return this.#closed;
  }
}

/** Listens with Node's server. @throws {SpdkError} EADDRINUSE ..., naming the address. */
export async function listenNode(
  group: NodeSockGroup,
  address: SockAddress,
  handler: ListenHandler,
): Promise<Listener> {
  const server = createServer({ pauseOnConnect: ffi !== null, allowHalfOpen: true, noDelay: true });
  if ('path' in address) {
    const { path } = address;
    await claimUnixPath(path);
    await listening(server, { path, backlog: BACKLOG }, path);
    chmodSync(path, address.mode ?? 0o600);
    const identity = socketIdentity(path);
    return new NodeListener(server, group, path, 0, handler, () => removeUnixPath(path, identity));
  }
  const { host, port } = address;
  await listening(server, { host, port, backlog: BACKLOG }, formatHostPort(host, port));
  const bound = server.address() as { port: number };
  return new NodeListener(server, group, formatHostPort(host, bound.port), bound.port, handler, () => {});
}

function listening(server: Server, options: object, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const known = toSpdkError(error, `cannot listen on ${name}`);
      reject(
        error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN'
          ? new SpdkError('EADDRNOTAVAIL', known.message)
          : known.code === 'EIO'
            ? known
            : listenError(errnoOf(known.code), name),
      );
    });
    server.listen(options, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}
