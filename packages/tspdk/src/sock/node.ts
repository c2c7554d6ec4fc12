/**
 * Sockets on Node's own `net`: for systems without io_uring. The same promises as the uring backend, with a copy on receive.
 *
 * Node's events only note what happened and put the connection on a list; `poll` delivers from it, so callbacks come from the reactor's turn as
 * they do from the ring. What is sent is not copied: Node gets views of the segments and holds them until the write is over.
 * While the list is not empty an immediate is scheduled, so that the event loop does not sleep over it.
 */
import { Socket } from 'node:net';
import { assert, SpdkError } from '../env/errors.ts';
import { ffi } from '../env/ffi.ts';
import type { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import { formatHostPort, type Sock, type SockGroup, type SockHandler, UNIX_PEER, UNKNOWN_PEER } from './types.ts';

const EPIPE = 32;

/** The descriptor behind a Node socket; -1 when there is none (Windows) or it is closed. */
export function fdOf(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}

/** As the uring backend names it. */
export function peerOf(socket: Socket): string {
  if (socket.remoteAddress === undefined) {
    const handle = (socket as unknown as { _handle?: object | null })._handle;
    return handle?.constructor.name === 'Pipe' ? UNIX_PEER : UNKNOWN_PEER;
  }
  return formatHostPort(socket.remoteAddress.replace(/^::ffff:(?=\d+\.)/, ''), socket.remotePort ?? 0);
}

/** Node's system errors carry -errno; its stream errors (written after the end) carry none. */
function errnoOf(error: Error): number {
  const errno = (error as NodeJS.ErrnoException).errno;
  return typeof errno === 'number' && errno < 0 ? errno : -EPIPE;
}

class NodeSock implements Sock {
  /** Node reads ahead by itself. */
  readonly gathers = false;
  readonly drained = true;
  readonly peer: string;
  handler: SockHandler;
  /** On the group's list. */
  listed = false;
  readonly #group: NodeSockGroup;
  readonly #socket: Socket;
  #segment: Segment | null = null;
  #offset = 0;
  #bytes = 0;
  #sending = false;
  /** Result of the send that is over and not yet delivered. */
  #sent: number | null = null;
  #ended = false;
  #errno = 0;
  #closing = false;
  #closed = false;
  #delivered = false;

  constructor(group: NodeSockGroup, socket: Socket, handler: SockHandler, peer: string) {
    this.#group = group;
    this.#socket = socket;
    this.handler = handler;
    this.peer = peer;
    const list = () => group.list(this);
    socket.setNoDelay(true);
    socket.on('readable', list);
    socket.on('end', () => {
      this.#ended = true;
      list();
    });
    socket.on('error', (error) => {
      this.#errno = errnoOf(error);
      list();
    });
    socket.on('close', () => {
      this.#closed = true;
      list();
    });
  }

  get fd(): number {
    return fdOf(this.#socket);
  }

  recv(segment: Segment, offset: number, bytes: number): void {
    if (this.#closing) return;
    assert(this.#segment === null, 'one receive at a time');
    if (!(offset >= 0 && bytes > 0 && offset + bytes <= segment.sizeBytes)) {
      throw new SpdkError('ERANGE', `receive of ${bytes} bytes at ${offset} of a segment of ${segment.sizeBytes}`);
    }
    this.#segment = segment;
    this.#offset = offset;
    this.#bytes = bytes;
    this.#group.list(this);
  }

  /** One place is as good as two: Node has the bytes already. */
  recvTwo(segment: Segment, offset: number, bytes: number): void {
    this.recv(segment, offset, bytes);
  }

  hurry(): void {}

  send(iovs: IoVecs): void {
    if (this.#closing) return;
    assert(!this.#sending, 'one send at a time');
    assert(iovs.totalBytes > 0, 'a send has at least one byte');
    this.#sending = true;
    const total = iovs.totalBytes;
    const last = iovs.count - 1;
    const done = (error?: Error | null) => {
      this.#sent = error ? errnoOf(error) : total;
      this.#group.list(this);
    };
    this.#socket.cork();
    for (let i = 0; i <= last; i++) {
      const piece = Buffer.from((iovs.segment[i] as Segment).sab, iovs.offset[i], iovs.bytes[i]);
      if (i === last) this.#socket.write(piece, done);
      else this.#socket.write(piece);
    }
    this.#socket.uncork();
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#socket.destroy();
    this.#group.list(this);
  }

  /** Delivers what is there. Returns the number of callbacks. */
  deliver(): number {
    let delivered = 0;
    if (!this.#closing && this.#sent !== null) {
      const sent = this.#sent;
      this.#sent = null;
      this.#sending = false;
      delivered++;
      this.handler.onSent(sent);
    }
    if (!this.#closing && this.#segment !== null) delivered += this.#deliverRecv(this.#segment);
    if (this.#closing && this.#closed && !this.#delivered) {
      this.#delivered = true;
      this.#group.forget(this);
      delivered++;
      this.handler.onClose();
      this.#group.settle();
    }
    return delivered;
  }

  #deliverRecv(segment: Segment): number {
    const socket = this.#socket;
    // Reading nothing from an empty stream makes it fetch, and makes its end known.
    const chunk = socket.read(Math.min(this.#bytes, socket.readableLength)) as Buffer | null;
    let result: number;
    if (chunk !== null && chunk.length > 0) {
      segment.u8.set(chunk, this.#offset);
      result = chunk.length;
    } else if (this.#errno !== 0) {
      result = this.#errno;
    } else if (this.#ended || this.#closed) {
      result = 0;
    } else {
      return 0;
    }
    this.#segment = null;
    this.handler.onRecv(result);
    return 1;
  }
}

export class NodeSockGroup implements SockGroup {
  readonly backend = 'node';
  readonly #socks = new Set<NodeSock>();
  /** Accepted here and not yet adopted, by descriptor: how a connection gets to `adopt` where nothing can duplicate descriptors. */
  readonly #parked = new Map<number, Socket>();
  #list: NodeSock[] = [];
  #delivering: NodeSock[] = [];
  #whenEmpty: (() => void)[] = [];

  get count(): number {
    return this.#socks.size;
  }

  get pending(): boolean {
    return this.#list.length > 0;
  }

  /** Keeps an accepted socket until `adopt` or `refuse` names its descriptor. */
  park(fd: number, socket: Socket): void {
    this.#parked.set(fd, socket);
  }

  adopt(fd: number, handler: SockHandler, peer?: string): Sock {
    const parked = this.#parked.get(fd);
    this.#parked.delete(fd);
    const socket = parked ?? new Socket({ fd, allowHalfOpen: true });
    const sock = new NodeSock(this, socket, handler, peer ?? peerOf(socket));
    this.#socks.add(sock);
    return sock;
  }

  refuse(fd: number): void {
    const parked = this.#parked.get(fd);
    this.#parked.delete(fd);
    if (parked !== undefined) parked.destroy();
    else if (ffi !== null) ffi.close(fd);
    else new Socket({ fd }).destroy();
  }

  list(sock: NodeSock): void {
    if (sock.listed) return;
    sock.listed = true;
    if (this.#list.length === 0) setImmediate(() => {});
    this.#list.push(sock);
  }

  poll(): number {
    if (this.#list.length === 0) return 0;
    const socks = this.#list;
    this.#list = this.#delivering;
    this.#delivering = socks;
    let delivered = 0;
    let at = 0;
    try {
      while (at < socks.length) {
        const sock = socks[at++];
        sock.listed = false;
        delivered += sock.deliver();
      }
    } finally {
      // A callback threw: the others keep their turn.
      for (; at < socks.length; at++) {
        socks[at].listed = false;
        this.list(socks[at]);
      }
      socks.length = 0;
    }
    return delivered;
  }

  forget(sock: NodeSock): void {
    this.#socks.delete(sock);
  }

  settle(): void {
    if (this.#socks.size > 0) return;
    const waiting = this.#whenEmpty;
    this.#whenEmpty = [];
    for (const resolve of waiting) resolve();
  }

  close(): Promise<void> {
    for (const socket of this.#parked.values()) socket.destroy();
    this.#parked.clear();
    return new Promise((resolve) => {
      this.#whenEmpty.push(resolve);
      for (const sock of this.#socks) sock.close();
      this.settle();
    });
  }
}
