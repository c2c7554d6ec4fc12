/**
 * Accepting connections on io_uring: one submission that completes for every connection (multishot), or one each on older kernels.
 *
 * When the process has no descriptor left (or the kernel no memory) the listener pauses for `limits.accept_backoff_ms`, says so once per
 * episode, and tries again: connections wait in the kernel's queue meanwhile, and the ring does not spin. App core.
 */
import { chmodSync } from 'node:fs';
import type { Ffi } from '../env/ffi.ts';
import { limits } from '../env/limits.ts';
import { IORING_CQE_F_MORE, type Ring, type RingOp } from '../env/uring.ts';
import { log } from '../log/index.ts';
import { listenInet, listenUnix, localPort, peerName } from './native-address.ts';
import { formatHostPort, type Listener, type ListenHandler, type SockAddress } from './types.ts';
import { claimUnixPath, removeUnixPath, socketIdentity } from './unix-path.ts';
import type { UringSockGroup } from './uring.ts';

const sockLog = log.register('sock');
const EINTR = 4;
const EAGAIN = 11;
const EINVAL = 22;
const EPROTO = 71;
const ECONNABORTED = 103;
/** The connection, not the listener, has failed: the next one may be there. */
const PASSING = new Set([EINTR, EAGAIN, EPROTO, ECONNABORTED]);

class UringListener implements Listener, RingOp {
  readonly address: string;
  readonly port: number;
  readonly handsOver = true;
  readonly reason = '';
  readonly #ffi: Ffi;
  readonly #ring: Ring;
  readonly #fd: number;
  readonly #handler: ListenHandler;
  readonly #cleanUp: () => void;
  #multishot = true;
  #armed = false;
  #failing = false;
  #retry: NodeJS.Timeout | null = null;
  #closed: Promise<void> | null = null;
  #whenClosed: () => void = () => {};

  constructor(
    group: UringSockGroup,
    fd: number,
    address: string,
    port: number,
    handler: ListenHandler,
    cleanUp: () => void,
  ) {
    this.#ffi = group.ffi;
    this.#ring = group.ring;
    this.#fd = fd;
    this.address = address;
    this.port = port;
    this.#handler = handler;
    this.#cleanUp = cleanUp;
    this.#arm();
  }

  #arm(): void {
    this.#armed = true;
    if (this.#multishot) this.#ring.acceptMultishot(this.#fd, this);
    else this.#ring.accept(this.#fd, this);
  }

  onCqe(res: number, flags: number): void {
    if ((flags & IORING_CQE_F_MORE) === 0) this.#armed = false;
    try {
      if (res >= 0) this.#accepted(res);
      else if (this.#closed === null) this.#failed(-res);
    } finally {
      // Also when the handler threw: the listener goes on.
      if (!this.#armed) {
        if (this.#closed !== null) this.#end();
        else if (this.#retry === null) this.#arm();
      }
    }
  }

  #accepted(fd: number): void {
    this.#failing = false;
    if (this.#closed !== null) this.#ffi.close(fd);
    else this.#handler.onAccept(fd, peerName(this.#ffi, fd));
  }

  #failed(errno: number): void {
    if (PASSING.has(errno)) return;
    if (errno === EINVAL && this.#multishot) {
      this.#multishot = false;
      return;
    }
    if (!this.#failing) {
      sockLog.error(`${this.address}: cannot accept a connection (errno ${errno}); trying again`);
    }
    this.#failing = true;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      if (!this.#armed) this.#arm();
    }, limits.accept_backoff_ms);
  }

  close(): Promise<void> {
    if (this.#closed === null) {
      this.#closed = new Promise((resolve) => {
        this.#whenClosed = resolve;
      });
      if (this.#retry !== null) clearTimeout(this.#retry);
      this.#cleanUp();
      if (this.#armed) this.#ring.cancel(this);
      else this.#end();
    }
    return this.#closed;
  }

  #end(): void {
    this.#ffi.close(this.#fd);
    this.#whenClosed();
  }
}

/** Listens with the group's ring. @throws {SpdkError} EADDRINUSE ..., naming the address. */
export async function listenUring(
  group: UringSockGroup,
  address: SockAddress,
  handler: ListenHandler,
): Promise<Listener> {
  if ('path' in address) {
    const { path } = address;
    await claimUnixPath(path);
    const fd = listenUnix(group.ffi, path, () => chmodSync(path, address.mode ?? 0o600));
    const identity = socketIdentity(path);
    return new UringListener(group, fd, path, 0, handler, () => removeUnixPath(path, identity));
  }
  const fd = await listenInet(group.ffi, address.host, address.port);
  const port = localPort(group.ffi, fd);
  return new UringListener(group, fd, formatHostPort(address.host, port), port, handler, () => {});
}
