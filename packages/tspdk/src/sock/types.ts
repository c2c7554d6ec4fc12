/**
 * The port to stream sockets: what a target needs of a connection, whichever backend carries it.
 *
 * `uring` gives the kernel the addresses of the caller's memory; `node` uses Node's own sockets. Both keep the same promises:
 * - a sock belongs to the reactor whose group adopted it, and every call and callback is on that reactor;
 * - one receive and one send may be outstanding at a time; their memory belongs to the backend until the callback;
 * - callbacks never come from inside the call that causes them, and come from a poll (of the ring, or of the group);
 * - after `close()` only `onClose` comes, once, when nothing touches the caller's memory any more; receives and sends after
 *   `close()` do nothing.
 */
import type { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';

/** The user's side of a connection. */
export interface SockHandler {
  /** `bytes` arrived in the memory given to `recv`; 0: the peer has ended its stream; negative: -errno. */
  onRecv(bytes: number): void;
  /** All bytes went to the kernel (their number), or -errno. Never less than all. */
  onSent(result: number): void;
  onClose(): void;
}

/** One connection. */
export interface Sock {
  /** The descriptor; -1 when the backend has none, and after the end. */
  readonly fd: number;
  /** For the log: "127.0.0.1:5566", "[::1]:5566", "unix". */
  readonly peer: string;
  handler: SockHandler;
  /** Whether `recv` waits for `least` bytes, with one wake-up for all of them. */
  readonly gathers: boolean;
  /** The last receive took all that was there, as far as is known: the next one will have to wait. */
  readonly drained: boolean;
  /**
   * Receives 1 to `bytes` bytes to `offset` of `segment`. `least` (1): the caller has no good use for less, so a backend that `gathers` waits for so
   * many, or the end of the stream, or `hurry`, unless something is there already; less may come all the same.
   */
  recv(segment: Segment, offset: number, bytes: number, least?: number): void;
  /**
   * As `recv` to `offset` of `segment`; what comes after those `bytes` may go, up to `nextBytes`, to `nextOffset` of `next`. `onRecv` gets
   * the sum.
   */
  recvTwo(
    segment: Segment,
    offset: number,
    bytes: number,
    next: Segment,
    nextOffset: number,
    nextBytes: number,
    least: number,
  ): void;
  /** The receive under way shall take what is there, as soon as that is a byte. */
  hurry(): void;
  /** Sends all of `iovs`, which stays as it is until `onSent`. At least one byte. */
  send(iovs: IoVecs): void;
  /** Ends both directions and gives up what is outstanding. Again: does nothing. */
  close(): void;
}

/** The connections of one reactor. */
export interface SockGroup {
  readonly backend: 'uring' | 'node';
  /** Connections not yet closed. */
  readonly count: number;
  /** Whether `poll` has something to deliver. */
  readonly pending: boolean;
  /** Takes a connected stream socket over, with the descriptor, which it closes in the end. `peer` when it is known already. */
  adopt(fd: number, handler: SockHandler, peer?: string): Sock;
  /** Ends an accepted connection that nobody adopts. */
  refuse(fd: number): void;
  /** Delivers callbacks. Returns how many. Called each turn. */
  poll(): number;
  /** Closes all connections; resolves after the last `onClose`. The reactor goes on polling until then. */
  close(): Promise<void>;
}

/** Where to listen. `host`: a name or address, IPv6 without brackets; `port` 0: any free one. `mode`: of the socket file, default 0o600. */
export type SockAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string; readonly mode?: number };

export interface ListenHandler {
  /**
   * A new connection. The descriptor is the receiver's: a group adopts it (on any reactor, when `handsOver`), or `refuse` ends it.
   * Called on the app core.
   */
  onAccept(fd: number, peer: string): void;
}

/** A listening socket. */
export interface Listener {
  /** "127.0.0.1:10809", "[::1]:10809", or the path. With the port that the system chose. */
  readonly address: string;
  /** 0 for a unix socket. */
  readonly port: number;
  /** Whether descriptors may be adopted on other reactors. */
  readonly handsOver: boolean;
  /** Why not; empty when they may. */
  readonly reason: string;
  /** Accepts no more, removes the socket file. Accepted connections live on. */
  close(): Promise<void>;
}

/** What the peer of a unix socket is called. */
export const UNIX_PEER = 'unix';
/** The peer of a connection that was gone before anyone could ask. */
export const UNKNOWN_PEER = 'unknown';

/** "host:port" as people write it; IPv6 in brackets. */
export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
