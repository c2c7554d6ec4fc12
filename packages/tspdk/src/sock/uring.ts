/**
 * Sockets on io_uring: the kernel reads and writes the caller's segments by address, nothing is copied or allocated per I/O.
 *
 * Operations are queued in the reactor's ring and go out, for all connections together, with its next poll; callbacks come from that poll.
 * A gathered send is a msghdr with up to `limits.sock_iovecs` pieces in native memory of the connection, and is repeated from where the
 * kernel stopped until all is sent.
 *
 * A receive of at least so many bytes sets the socket's SO_RCVLOWAT and polls first: TCP then wakes us once, when they are there. (A first try without
 * polling would take what is there, and a wait for time costs four times as much as being woken, where a timer is programmed through a
 * hypervisor.) Unix sockets know no such mark: there `least` only makes the kernel go on receiving until a buffer is full.
 *
 * Closing, in this order, so that no kernel write can land in memory that was given back: shut down both directions (a peer that never
 * reads does not hold us), cancel what is outstanding, wait for each completion, close the descriptor, then `onClose`.
 * The group must be closed before its ring.
 */
import { assert, SpdkError } from '../env/errors.ts';
import { type Ffi, ffi } from '../env/ffi.ts';
import type { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import { sanitizer, tellForeign } from '../env/sanitizer.ts';
import type { Segment } from '../env/segment.ts';
import { MSG_NOSIGNAL, MSG_WAITALL } from '../env/uring/layout.ts';
import { IORING_CQE_F_SOCK_NONEMPTY, type Ring, type RingOp } from '../env/uring.ts';
import { peerName, setNoDelay, setReceiveLow, setSendBuffer } from './native-address.ts';
import { type Sock, type SockGroup, type SockHandler, UNIX_PEER } from './types.ts';

const WORD = 4294967296;
/** What one call to the kernel moves at most; results are 31-bit. */
const ROUND_BYTES_MAX = 0x40000000;
const EINTR = 4;
const EIO = 5;
const SHUT_RDWR = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0x800;

/** `struct msghdr` (56 bytes), 4 bytes to spare, the value of SO_RCVLOWAT, then the pieces: 16 bytes each. */
const LEAST_WORD = 15;
const IOVECS_AT = 64;
/** Behind them another, with two pieces, for receives. */
const RECV_AT = IOVECS_AT + limits.sock_iovecs * 16;
const RECV_IOVECS_AT = RECV_AT + 64;
const BLOCK_BYTES = RECV_IOVECS_AT + 2 * 16;
/** A send of no more hardly ever has to wait for room in the socket's buffer. */
const SMALL_SEND_BYTES = 64 * 1024;
const MSG_IOV_WORD = 4;
const MSG_IOVLEN_WORD = 6;

/** Native memory of one connection; reused by later ones. */
interface Block {
  readonly address: number;
  readonly words: Int32Array;
}

/** A `struct iovec`, from word `at` on. */
function setIovec(words: Int32Array, at: number, address: number, bytes: number): void {
  words[at] = address | 0;
  words[at + 1] = (address / WORD) | 0;
  words[at + 2] = bytes;
  words[at + 3] = 0;
}

function checkRange(segment: Segment, offset: number, bytes: number): void {
  if (!(offset >= 0 && bytes > 0 && offset + bytes <= segment.sizeBytes)) {
    throw new SpdkError('ERANGE', `receive of ${bytes} bytes at ${offset} of a segment of ${segment.sizeBytes}`);
  }
}

class RecvOp implements RingOp {
  readonly sock: UringSock;
  constructor(sock: UringSock) {
    this.sock = sock;
  }
  onCqe(res: number, flags: number): void {
    this.sock.received(res, flags);
  }
}

class SendOp implements RingOp {
  readonly sock: UringSock;
  constructor(sock: UringSock) {
    this.sock = sock;
  }
  onCqe(res: number): void {
    this.sock.sent(res);
  }
}

class CloseOp implements RingOp {
  readonly sock: UringSock;
  constructor(sock: UringSock) {
    this.sock = sock;
  }
  onCqe(): void {
    this.sock.ended();
  }
}

class UringSock implements Sock {
  fd: number;
  readonly peer: string;
  handler: SockHandler;
  readonly block: Block;
  readonly gathers: boolean;
  readonly #group: UringSockGroup;
  readonly #ring: Ring;
  readonly #recvOp = new RecvOp(this);
  readonly #sendOp = new SendOp(this);
  #receiving = false;
  #sending = false;
  #closing = false;
  /** The next receive need not try before there is data. */
  drained = false;
  // Kept while the kernel may write there, so that the memory lives.
  #segment: Segment | null = null;
  #offset = 0;
  #bytes = 0;
  /** Where it goes on after those; null: nowhere. */
  #next: Segment | null = null;
  /** The socket's SO_RCVLOWAT. */
  #least = 1;
  // The send under way: pieces before #piece are sent, and #pieceDone bytes of it.
  #iovs: IoVecs | null = null;
  #piece = 0;
  #pieceDone = 0;
  #total = 0;

  constructor(group: UringSockGroup, fd: number, handler: SockHandler, peer: string, block: Block) {
    this.#group = group;
    this.#ring = group.ring;
    this.fd = fd;
    this.handler = handler;
    this.peer = peer;
    this.block = block;
    this.gathers = peer !== UNIX_PEER;
  }

  recv(segment: Segment, offset: number, bytes: number, least = 1): void {
    if (this.#closing) return;
    assert(!this.#receiving, 'one receive at a time');
    checkRange(segment, offset, bytes);
    this.#receiving = true;
    this.#segment = segment;
    this.#offset = offset;
    this.#bytes = bytes < ROUND_BYTES_MAX ? bytes : ROUND_BYTES_MAX;
    let flags = 0;
    // What is there is taken without a look at the mark.
    if (!this.gathers) flags = least >= bytes ? MSG_WAITALL : 0;
    else if (this.drained) this.#setLeast(least);
    if (sanitizer !== null) tellForeign(segment.address + offset, this.#bytes, true);
    this.#ring.recv(this.fd, segment.address + offset, this.#bytes, flags, this.#recvOp, this.drained);
  }

  recvTwo(
    segment: Segment,
    offset: number,
    bytes: number,
    next: Segment,
    nextOffset: number,
    nextBytes: number,
    least: number,
  ): void {
    if (!this.gathers || bytes + nextBytes > ROUND_BYTES_MAX) {
      this.recv(segment, offset, bytes, least);
      return;
    }
    if (this.#closing) return;
    assert(!this.#receiving, 'one receive at a time');
    checkRange(segment, offset, bytes);
    checkRange(next, nextOffset, nextBytes);
    this.#receiving = true;
    this.#segment = segment;
    this.#next = next;
    if (this.drained) this.#setLeast(least);
    if (sanitizer !== null) {
      tellForeign(segment.address + offset, bytes, true);
      tellForeign(next.address + nextOffset, nextBytes, true);
    }
    const { words, address } = this.block;
    setIovec(words, RECV_IOVECS_AT >> 2, segment.address + offset, bytes);
    setIovec(words, (RECV_IOVECS_AT + 16) >> 2, next.address + nextOffset, nextBytes);
    this.#ring.recvmsg(this.fd, address + RECV_AT, 0, this.#recvOp, this.drained);
  }

  hurry(): void {
    if (this.#receiving && !this.#closing) this.#setLeast(1);
  }

  #setLeast(bytes: number): void {
    if (bytes === this.#least) return;
    this.#least = bytes;
    this.block.words[LEAST_WORD] = bytes;
    setReceiveLow(this.#group.ffi, this.fd, this.block.address + LEAST_WORD * 4);
  }

  received(res: number, flags: number): void {
    if (res === -EINTR && !this.#closing) {
      if (this.#next !== null) this.#ring.recvmsg(this.fd, this.block.address + RECV_AT, 0, this.#recvOp);
      else this.#ring.recv(this.fd, this.#segment!.address + this.#offset, this.#bytes, 0, this.#recvOp);
      return;
    }
    this.#receiving = false;
    this.#segment = null;
    this.#next = null;
    this.drained = (flags & IORING_CQE_F_SOCK_NONEMPTY) === 0;
    if (this.#closing) this.#endWhenQuiet();
    else this.handler.onRecv(res);
  }

  send(iovs: IoVecs): void {
    if (this.#closing) return;
    assert(!this.#sending, 'one send at a time');
    assert(iovs.totalBytes > 0, 'a send has at least one byte');
    this.#sending = true;
    this.#iovs = iovs;
    this.#piece = 0;
    this.#pieceDone = 0;
    this.#total = 0;
    this.#sendRound();
  }

  #sendRound(): void {
    const iovs = this.#iovs!;
    const { words, address } = this.block;
    let at = IOVECS_AT >> 2;
    let room = ROUND_BYTES_MAX;
    let done = this.#pieceDone;
    let count = 0;
    for (let i = this.#piece; i < iovs.count && count < limits.sock_iovecs && room > 0; i++) {
      let bytes = iovs.bytes[i] - done;
      if (bytes > room) bytes = room;
      const from = (iovs.segment[i] as Segment).address + iovs.offset[i] + done;
      if (sanitizer !== null) tellForeign(from, bytes, false);
      setIovec(words, at, from, bytes);
      at += 4;
      room -= bytes;
      count++;
      done = 0;
    }
    words[MSG_IOVLEN_WORD] = count;
    const small = ROUND_BYTES_MAX - room <= SMALL_SEND_BYTES;
    this.#ring.sendmsg(this.fd, address, MSG_NOSIGNAL | MSG_WAITALL, this.#sendOp, small);
  }

  sent(res: number): void {
    if (this.#closing) {
      this.#finishSend();
      this.#endWhenQuiet();
      return;
    }
    if (res > 0) {
      this.#advance(res);
      if (this.#total < this.#iovs!.totalBytes) {
        this.#sendRound();
        return;
      }
      const total = this.#total;
      this.#finishSend();
      this.handler.onSent(total);
    } else if (res === -EINTR) {
      this.#sendRound();
    } else {
      this.#finishSend();
      this.handler.onSent(res === 0 ? -EIO : res);
    }
  }

  #finishSend(): void {
    this.#sending = false;
    this.#iovs = null;
  }

  #advance(bytes: number): void {
    const iovs = this.#iovs!;
    this.#total += bytes;
    let left = bytes;
    while (left > 0) {
      const rest = iovs.bytes[this.#piece] - this.#pieceDone;
      if (left < rest) {
        this.#pieceDone += left;
        return;
      }
      left -= rest;
      this.#piece++;
      this.#pieceDone = 0;
    }
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#group.ffi.shutdown(this.fd, SHUT_RDWR);
    if (this.#receiving) this.#ring.cancel(this.#recvOp);
    if (this.#sending) this.#ring.cancel(this.#sendOp);
    this.#endWhenQuiet();
  }

  #endWhenQuiet(): void {
    if (this.#receiving || this.#sending) return;
    this.#ring.closeFd(this.fd, new CloseOp(this));
  }

  ended(): void {
    this.fd = -1;
    this.#group.forget(this);
    this.handler.onClose();
    this.#group.settle();
  }
}

export class UringSockGroup implements SockGroup {
  readonly backend = 'uring';
  readonly pending = false;
  readonly ring: Ring;
  readonly ffi: Ffi;
  readonly #socks = new Set<UringSock>();
  #blocks: Block[] = [];
  #whenEmpty: (() => void)[] = [];

  constructor(ring: Ring) {
    assert(ffi !== null, 'a ring exists only where there is FFI');
    this.ring = ring;
    this.ffi = ffi;
  }

  get count(): number {
    return this.#socks.size;
  }

  adopt(fd: number, handler: SockHandler, peer?: string): Sock {
    // A descriptor that does not block would complete with EAGAIN instead of waiting in the ring.
    const flags = this.ffi.fcntl(fd, F_GETFL, 0);
    if ((flags & O_NONBLOCK) !== 0) this.ffi.fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    const name = peer ?? peerName(this.ffi, fd);
    // TCP sizes its buffers by itself, and better.
    if (name === UNIX_PEER) setSendBuffer(this.ffi, fd, limits.sock_unix_send_bytes);
    else setNoDelay(this.ffi, fd);
    const block = this.#blocks.pop() ?? this.#newBlock();
    const sock = new UringSock(this, fd, handler, name, block);
    this.#socks.add(sock);
    return sock;
  }

  #newBlock(): Block {
    const address = this.ffi.calloc(BLOCK_BYTES);
    if (address === 0) throw new SpdkError('ENOMEM', 'no memory for a connection');
    const words = new Int32Array(this.ffi.viewOf(address, BLOCK_BYTES));
    const iovecs = address + IOVECS_AT;
    words[MSG_IOV_WORD] = iovecs | 0;
    words[MSG_IOV_WORD + 1] = (iovecs / WORD) | 0;
    const recv = RECV_AT >> 2;
    words[recv + MSG_IOV_WORD] = (address + RECV_IOVECS_AT) | 0;
    words[recv + MSG_IOV_WORD + 1] = ((address + RECV_IOVECS_AT) / WORD) | 0;
    words[recv + MSG_IOVLEN_WORD] = 2;
    return { address, words };
  }

  refuse(fd: number): void {
    this.ffi.close(fd);
  }

  /** Nothing: the ring's poll delivers. */
  poll(): number {
    return 0;
  }

  forget(sock: UringSock): void {
    this.#socks.delete(sock);
    this.#blocks.push(sock.block);
  }

  /** Wakes those who wait for the last connection to end, and gives the native memory back. */
  settle(): void {
    if (this.#socks.size > 0 || this.#whenEmpty.length === 0) return;
    for (const block of this.#blocks) this.ffi.free(block.address);
    this.#blocks = [];
    const waiting = this.#whenEmpty;
    this.#whenEmpty = [];
    for (const resolve of waiting) resolve();
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenEmpty.push(resolve);
      for (const sock of this.#socks) sock.close();
      this.settle();
    });
  }
}
