/**
 * One connection to a remote export, for one lightweight thread: requests go out together, replies come in any order, data straight to and from the submitter's memory. Data path;
 * connecting is link.ts's business.
 *
 * When the connection is lost, requests without a reply go back in line in their old order and are sent again when there is a new one. To do a write twice is to do it once: nobody else
 * may have written there in between, for whoever overlaps a request that has not completed gets either, and what has completed was answered and is not sent again.
 *
 * A slot's memory is free to change when both the reply has come and the kernel has let go of what was sent: a server may answer early, on purpose or not.
 */
import type { BdevIo } from '../../bdev/bdev-io.ts';
import {
  type BackendChannel,
  IO_FLAG_FUA,
  IO_FLAG_NO_HOLE,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
} from '../../bdev/index.ts';
import { ECANCELED, EIO, ENODEV, ENOMEM } from '../../bdev/status.ts';
import { IoVecs } from '../../env/iovecs.ts';
import { limits } from '../../env/limits.ts';
import { makeSegment, type Segment } from '../../env/segment.ts';
import type { Sock, SockGroup, SockHandler } from '../../sock/index.ts';
import * as wire from '../wire.ts';
import { Replies, type RepliesOwner } from './replies.ts';
import { SLOT_AWAY, SLOT_FREE, SLOT_QUEUED, Slot } from './slot.ts';

const ENOTCONN = 0;
const CONNECTED = 1;
/** The socket is going, and the kernel may still touch our memory. */
const LEAVING = 2;

/** What a channel needs of those around it. */
export interface ChannelHost {
  readonly socks: SockGroup;
  /** TX_* of the export. */
  readonly flags: number;
  readonly structured: boolean;
  /** Have `flush` called in the next turn. */
  touch(channel: InitiatorChannel): void;
  /** The connection is over, `reason` as people read it; the channel wants another. `proven`: it has been good for something. */
  lost(channel: InitiatorChannel, reason: string, proven: boolean): void;
  /** The first request of this connection has been answered: it is good for something. */
  proven(channel: InitiatorChannel): void;
  closed(channel: InitiatorChannel): void;
}

export class InitiatorChannel implements BackendChannel, SockHandler, RepliesOwner {
  readonly #host: ChannelHost;
  readonly #slots: readonly Slot[];
  readonly #free: Slot[];
  #head: Slot | null = null;
  #tail: Slot | null = null;
  #order = 0;
  #sock: Sock | null = null;
  #state = ENOTCONN;
  #closing = false;
  /** Too long without a connection: what comes is refused. */
  #refusing = false;
  /** Tells a reply of this connection from one of an earlier. */
  #epoch = 0;
  #reason = '';
  /** The connection has answered a request. */
  #proven = false;
  touched = false;

  // Sending.
  readonly #headers: Segment = makeSegment(
    0,
    new SharedArrayBuffer((limits.nbd_client_requests + 1) * wire.REQUEST_BYTES),
  );
  readonly #iovs = new IoVecs(limits.nbd_client_requests + limits.nbd_client_segments + 1);
  readonly #batch: Slot[] = [];
  #batchCount = 0;
  #sending = false;

  readonly #replies: Replies;

  constructor(host: ChannelHost) {
    this.#host = host;
    this.#replies = new Replies(this, host.structured);
    this.#slots = Array.from({ length: limits.nbd_client_requests }, (_, index) => new Slot(index));
    this.#free = [...this.#slots];
  }

  submit(io: BdevIo): void {
    if (this.#refusing) {
      io.complete(ENODEV);
      return;
    }
    const slot = this.#free.pop();
    if (slot === undefined) {
      io.complete(ENOMEM);
      return;
    }
    slot.io = io;
    slot.order = ++this.#order;
    slot.flushing = false;
    slot.rewind();
    this.#queue(slot);
    this.#touch();
  }

  /** Which request has waited longest, by a number that no other has; 0: none waits. Not a data path: looks at all. */
  get oldest(): number {
    let oldest = 0;
    for (const { state, order } of this.#slots) {
      if (state !== SLOT_FREE && (oldest === 0 || order < oldest)) oldest = order;
    }
    return oldest;
  }

  #queue(slot: Slot): void {
    slot.state = SLOT_QUEUED;
    slot.next = null;
    if (this.#tail === null) this.#head = slot;
    else this.#tail.next = slot;
    this.#tail = slot;
  }

  #touch(): void {
    if (!this.touched) this.#host.touch(this);
  }

  /** Sends what is in line. Once a turn. */
  flush(): void {
    if (this.#state !== CONNECTED || this.#sending || this.#head === null) return;
    const iovs = this.#iovs;
    iovs.reset();
    this.#batchCount = 0;
    for (let slot: Slot | null = this.#head; slot !== null; slot = this.#head) {
      const io = slot.io as BdevIo;
      const data = io.type === IO_WRITE && !slot.flushing ? io.iovs : null;
      if (iovs.count + 1 + (data?.count ?? 0) > iovs.capacity) break;
      this.#head = slot.next;
      if (this.#head === null) this.#tail = null;
      slot.next = null;
      slot.state = SLOT_AWAY;
      this.#batch[this.#batchCount++] = slot;
      this.#writeHeader(slot, io);
      iovs.push(this.#headers, slot.index * wire.REQUEST_BYTES, wire.REQUEST_BYTES);
      if (data === null) continue;
      for (let i = 0; i < data.count; i++) iovs.push(data.segment[i] as Segment, data.offset[i], data.bytes[i]);
    }
    this.#sending = true;
    (this.#sock as Sock).send(iovs);
  }

  #writeHeader(slot: Slot, io: BdevIo): void {
    const { flags } = this.#host;
    let command = wire.CMD_FLUSH;
    let commandFlags = 0;
    const canFua = (flags & wire.TX_SEND_FUA) !== 0 && (io.flags & IO_FLAG_FUA) !== 0;
    if (io.type === IO_READ) command = wire.CMD_READ;
    else if (io.type === IO_UNMAP) command = wire.CMD_TRIM;
    else if (!slot.flushing && io.type !== IO_FLUSH) {
      command = io.type === IO_WRITE ? wire.CMD_WRITE : wire.CMD_WRITE_ZEROES;
      if (canFua) commandFlags |= wire.CMD_FLAG_FUA;
      if (io.type === IO_WRITE_ZEROES && (io.flags & IO_FLAG_NO_HOLE) !== 0) commandFlags |= wire.CMD_FLAG_NO_HOLE;
    }
    const ranged = command !== wire.CMD_FLUSH;
    const at = slot.index * wire.REQUEST_BYTES;
    const { view } = this.#headers;
    view.setUint32(at, wire.REQUEST_MAGIC);
    view.setUint16(at + 4, commandFlags);
    view.setUint16(at + 6, command);
    view.setInt32(at + 8, this.#epoch);
    view.setInt32(at + 12, slot.index);
    wire.writeOffset(view, at + 16, ranged ? io.byteOffset : 0);
    view.setUint32(at + 24, ranged ? io.bytes : 0);
  }

  onSent(result: number): void {
    this.#sending = false;
    if (result < 0) {
      this.leave(`it cannot be written to (${result})`);
      return;
    }
    if (this.#closing) {
      this.#sock?.close();
      return;
    }
    for (let i = 0; i < this.#batchCount; i++) {
      const slot = this.#batch[i];
      slot.sent = true;
      if (slot.answered) this.#finish(slot);
    }
    this.#batchCount = 0;
    if (this.#head !== null) this.#touch();
  }

  /** There is a connection, past its handshake. Control path calls it. */
  attach(fd: number): void {
    this.#epoch = (this.#epoch + 1) | 0;
    this.#state = CONNECTED;
    this.#proven = false;
    this.#refusing = false;
    this.#sock = this.#host.socks.adopt(fd, this);
    this.#replies.begin();
    this.#replies.receive(this.#sock);
    this.#touch();
  }

  onRecv(bytes: number): void {
    if (bytes <= 0) this.leave(bytes === 0 ? 'the server has ended it' : `it cannot be read from (${bytes})`);
    else if (this.#replies.took(bytes)) this.#replies.receive(this.#sock as Sock);
  }

  /** The request that a reply is for; null when there is none such under way. */
  slotOf(epoch: number, index: number): Slot | null {
    if (epoch !== this.#epoch || index >= this.#slots.length) return null;
    const slot = this.#slots[index];
    return slot.state === SLOT_AWAY && !slot.answered ? slot : null;
  }

  /** The whole reply has come. */
  answered(slot: Slot): void {
    if (slot.error === wire.NBD_ESHUTDOWN) {
      this.leave('the server is shutting down');
      return;
    }
    const io = slot.io as BdevIo;
    if (io.type === IO_READ && slot.error === 0 && slot.received !== io.bytes) slot.error = wire.NBD_EIO;
    slot.answered = true;
    if (!this.#proven) {
      this.#proven = true;
      this.#host.proven(this);
    }
    if (slot.sent) this.#finish(slot);
  }

  #finish(slot: Slot): void {
    const io = slot.io as BdevIo;
    const { flags } = this.#host;
    const lasting = (io.flags & IO_FLAG_FUA) !== 0 && (io.type === IO_WRITE || io.type === IO_WRITE_ZEROES);
    const mayFlush = (flags & (wire.TX_SEND_FUA | wire.TX_SEND_FLUSH)) === wire.TX_SEND_FLUSH;
    if (slot.error === 0 && lasting && mayFlush && !slot.flushing) {
      slot.flushing = true;
      slot.rewind();
      this.#queue(slot);
      this.#touch();
      return;
    }
    const { error } = slot;
    this.#release(slot);
    io.complete(error === 0 ? 0 : statusOf(error));
  }

  #release(slot: Slot): void {
    slot.io = null;
    slot.state = SLOT_FREE;
    slot.next = null;
    this.#free.push(slot);
  }

  /** The connection is over. Its memory is ours again at `onClose`. */
  leave(reason: string): void {
    if (this.#state !== CONNECTED) return;
    this.#state = LEAVING;
    this.#reason = reason;
    this.#replies.end();
    (this.#sock as Sock).close();
  }

  onClose(): void {
    const wanted = this.#state === LEAVING && !this.#closing;
    this.#state = ENOTCONN;
    this.#sock = null;
    this.#sending = false;
    this.#batchCount = 0;
    if (this.#closing) {
      this.#host.closed(this);
      return;
    }
    this.#sendAgain();
    if (this.#refusing) this.#failAll();
    if (wanted) this.#host.lost(this, this.#reason, this.#proven);
  }

  /**
   * What has no reply goes back in line, before what never was away. A write that a flush was to make lasting begins anew: a server that has died may have lost it.
   */
  #sendAgain(): void {
    const away = this.#slots.filter((slot) => slot.state === SLOT_AWAY);
    for (const slot of away) {
      if (!slot.answered) continue;
      slot.sent = true;
      this.#finish(slot);
    }
    const again = this.#slots.filter((slot) => slot.state !== SLOT_FREE).sort((a, b) => a.order - b.order);
    this.#head = null;
    this.#tail = null;
    for (const slot of again) {
      slot.rewind();
      slot.flushing = false;
      this.#queue(slot);
    }
  }

  /** There has been no connection that answers for too long: all that waits fails, and so does what comes, until there is another one. */
  refuse(): void {
    // Nobody has asked it anything yet.
    if (this.#state === CONNECTED && this.#free.length === this.#slots.length) return;
    this.#refusing = true;
    if (this.#state === ENOTCONN) this.#failAll();
    else this.leave('the server does not answer');
  }

  /** The disk is going: there is nothing to wait for without a connection. */
  refuseUnlessConnected(): void {
    if (this.#state === ENOTCONN) this.refuse();
  }

  #failAll(): void {
    for (let slot = this.#head; slot !== null; slot = this.#head) {
      this.#head = slot.next;
      const io = slot.io as BdevIo;
      this.#release(slot);
      io.complete(ENODEV);
    }
    this.#tail = null;
  }

  /** What waits can be taken out. What is away cannot. */
  abort(io: BdevIo): boolean {
    const found = this.#slots.find((slot) => slot.io === io && slot.state === SLOT_QUEUED);
    if (found === undefined) return false;
    const left: Slot[] = [];
    for (let slot = this.#head; slot !== null; slot = slot.next) if (slot !== found) left.push(slot);
    this.#head = null;
    this.#tail = null;
    for (const slot of left) this.#queue(slot);
    this.#release(found);
    io.complete(ECANCELED);
    return true;
  }

  /** Says goodbye, if there is somebody and room for it. Nothing is under way. */
  close(): void {
    this.#closing = true;
    if (this.#state === ENOTCONN) {
      this.#host.closed(this);
      return;
    }
    if (this.#state === LEAVING || this.#sending) {
      this.#sock?.close();
      return;
    }
    const at = limits.nbd_client_requests * wire.REQUEST_BYTES;
    const { view } = this.#headers;
    view.setUint32(at, wire.REQUEST_MAGIC);
    view.setUint32(at + 4, wire.CMD_DISC);
    for (let i = 8; i < wire.REQUEST_BYTES; i += 4) view.setUint32(at + i, 0);
    this.#iovs.reset();
    this.#iovs.push(this.#headers, at, wire.REQUEST_BYTES);
    this.#sending = true;
    (this.#sock as Sock).send(this.#iovs);
  }
}

/** A status for an error on the wire. */
function statusOf(error: number): number {
  switch (error) {
    case wire.NBD_EPERM:
    case wire.NBD_ENOMEM:
    case wire.NBD_EINVAL:
    case wire.NBD_ENOSPC:
    case wire.NBD_EOVERFLOW:
    case wire.NBD_ENOTSUP:
      // -ENOMEM from here would have the layer try again for ever.
      return error === wire.NBD_ENOMEM ? EIO : -error;
    default:
      return EIO;
  }
}
