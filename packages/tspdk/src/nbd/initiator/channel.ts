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
import { IovCursor } from '../../env/iov-cursor.ts';
import { IoVecs } from '../../env/iovecs.ts';
import { limits } from '../../env/limits.ts';
import { copyBytes, fillBytes, makeSegment, type Segment } from '../../env/segment.ts';
import type { Sock, SockGroup, SockHandler } from '../../sock/index.ts';
import * as wire from '../wire.ts';
import { SLOT_AWAY, SLOT_FREE, SLOT_QUEUED, Slot } from './slot.ts';

const ENOTCONN = 0;
const CONNECTED = 1;
/** The socket is going, and the kernel may still touch our memory. */
const LEAVING = 2;

/** What comes next. */
const HEADER = 0;
const DATA = 1;

/** Less than this is received together with what follows. */
const DIRECT_BYTES = 4096;
const HOLE_BYTES = wire.CHUNK_BYTES + 12;
const ERROR_BYTES_MIN = 6;

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

export class InitiatorChannel implements BackendChannel, SockHandler {
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

  // Receiving: bytes [#rxAt, #rxEnd) are there and not looked at.
  readonly #rx: Segment = makeSegment(0, new SharedArrayBuffer(limits.nbd_client_recv_bytes));
  #rxAt = 0;
  #rxEnd = 0;
  #phase = HEADER;
  /** Whose data comes, where it goes, how much is left, and whether the reply ends with it. */
  #slot: Slot | null = null;
  readonly #cursor = new IovCursor();
  #dataLeft = 0;
  #last = false;
  /** The receive under way goes to the submitter's memory. */
  #direct = false;

  constructor(host: ChannelHost) {
    this.#host = host;
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
      this.#leave(`it cannot be written to (${result})`);
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
    this.#phase = HEADER;
    this.#rxAt = 0;
    this.#rxEnd = 0;
    this.#sock = this.#host.socks.adopt(fd, this);
    this.#receive();
    this.#touch();
  }

  #receive(): void {
    const sock = this.#sock as Sock;
    if (this.#phase === DATA && this.#rxAt === this.#rxEnd && this.#dataLeft >= DIRECT_BYTES) {
      const cursor = this.#cursor;
      this.#direct = true;
      sock.recv(cursor.segment, cursor.offset, Math.min(cursor.bytes, this.#dataLeft));
      return;
    }
    this.#direct = false;
    if (this.#rxAt === this.#rxEnd) {
      this.#rxAt = 0;
      this.#rxEnd = 0;
    } else if (this.#rxAt > 0) {
      // The beginning of a header.
      copyBytes(this.#rx, 0, this.#rx, this.#rxAt, this.#rxEnd - this.#rxAt);
      this.#rxEnd -= this.#rxAt;
      this.#rxAt = 0;
    }
    sock.recv(this.#rx, this.#rxEnd, this.#rx.sizeBytes - this.#rxEnd);
  }

  onRecv(bytes: number): void {
    if (bytes <= 0) {
      this.#leave(bytes === 0 ? 'the server has ended it' : `it cannot be read from (${bytes})`);
      return;
    }
    if (this.#direct) this.#took(bytes);
    else {
      this.#rxEnd += bytes;
      this.#parse();
    }
    if (this.#state === CONNECTED) this.#receive();
  }

  /** Looks at all that is there; what is not complete stays. */
  #parse(): void {
    while (this.#state === CONNECTED && this.#rxAt < this.#rxEnd) {
      if (this.#phase === DATA) this.#copyData();
      else if (!this.#header(this.#rxEnd - this.#rxAt)) return;
    }
  }

  #copyData(): void {
    const cursor = this.#cursor;
    const bytes = Math.min(this.#dataLeft, this.#rxEnd - this.#rxAt, cursor.bytes);
    copyBytes(cursor.segment, cursor.offset, this.#rx, this.#rxAt, bytes);
    this.#rxAt += bytes;
    this.#took(bytes);
  }

  /** So much of the data is where it belongs. */
  #took(bytes: number): void {
    const slot = this.#slot as Slot;
    this.#cursor.advance(bytes);
    this.#dataLeft -= bytes;
    slot.received += bytes;
    if (this.#dataLeft > 0) return;
    this.#cursor.end();
    this.#phase = HEADER;
    this.#slot = null;
    if (this.#last) this.#answered(slot);
  }

  /** A reply's header, of which `there` bytes have come; false when more are needed. */
  #header(there: number): boolean {
    if (there < wire.SIMPLE_REPLY_BYTES) return false;
    const { view } = this.#rx;
    const at = this.#rxAt;
    const magic = view.getUint32(at);
    const simple = magic === wire.SIMPLE_REPLY_MAGIC;
    if (!simple && (magic !== wire.CHUNK_MAGIC || !this.#host.structured)) {
      this.#leave(`the server breaks the protocol: a reply begins with 0x${magic.toString(16)}`);
      return false;
    }
    const index = view.getUint32(at + 12);
    const slot = index < this.#slots.length ? this.#slots[index] : null;
    if (view.getInt32(at + 8) !== this.#epoch || slot === null || slot.state !== SLOT_AWAY || slot.answered) {
      this.#leave(`the server breaks the protocol: a reply to request ${index}, which is not under way`);
      return false;
    }
    return simple ? this.#simple(slot, view.getUint32(at + 4)) : this.#chunk(slot, there);
  }

  #simple(slot: Slot, error: number): boolean {
    const io = slot.io as BdevIo;
    this.#rxAt += wire.SIMPLE_REPLY_BYTES;
    slot.error = error;
    if (io.type !== IO_READ || error !== 0) this.#answered(slot);
    else if (this.#host.structured) {
      this.#leave('the server breaks the protocol: a simple reply to a read');
      return false;
    } else this.#expect(slot, 0, io.bytes, true);
    return true;
  }

  /** `bytes` of data follow, for `from` bytes into the request. */
  #expect(slot: Slot, from: number, bytes: number, last: boolean): void {
    this.#slot = slot;
    this.#dataLeft = bytes;
    this.#last = last;
    this.#phase = DATA;
    this.#cursor.start((slot.io as BdevIo).iovs);
    this.#cursor.advance(from);
  }

  /** A chunk of a structured reply. */
  #chunk(slot: Slot, there: number): boolean {
    if (there < wire.CHUNK_BYTES) return false;
    const { view } = this.#rx;
    const at = this.#rxAt;
    const last = (view.getUint16(at + 4) & wire.CHUNK_FLAG_DONE) !== 0;
    const type = view.getUint16(at + 6);
    const length = view.getUint32(at + 16);
    const reads = slot.io?.type === IO_READ;
    if (type === wire.CHUNK_NONE && length === 0 && last) {
      this.#rxAt += wire.CHUNK_BYTES;
      this.#answered(slot);
      return true;
    }
    if (type === wire.CHUNK_OFFSET_DATA && reads && length > 8) {
      if (there < wire.DATA_CHUNK_BYTES) return false;
      const from = wire.readOffset(view, at + wire.CHUNK_BYTES) - (slot.io as BdevIo).byteOffset;
      if (!this.#isInside(slot, from, length - 8)) return false;
      this.#rxAt += wire.DATA_CHUNK_BYTES;
      this.#expect(slot, from, length - 8, last);
      return true;
    }
    if (type === wire.CHUNK_OFFSET_HOLE && reads && length === 12) {
      if (there < HOLE_BYTES) return false;
      const from = wire.readOffset(view, at + wire.CHUNK_BYTES) - (slot.io as BdevIo).byteOffset;
      const bytes = view.getUint32(at + wire.CHUNK_BYTES + 8);
      if (!this.#isInside(slot, from, bytes)) return false;
      this.#rxAt += HOLE_BYTES;
      this.#zero(slot, from, bytes);
      if (last) this.#answered(slot);
      return true;
    }
    if (
      (type & wire.CHUNK_ERROR_BIT) !== 0 &&
      length >= ERROR_BYTES_MIN &&
      length <= limits.nbd_string_bytes_max + 16
    ) {
      if (there < wire.CHUNK_BYTES + length) return false;
      const error = view.getUint32(at + wire.CHUNK_BYTES);
      if (slot.error === 0) slot.error = error === 0 ? wire.NBD_EIO : error;
      this.#rxAt += wire.CHUNK_BYTES + length;
      if (last) this.#answered(slot);
      return true;
    }
    this.#leave(`the server breaks the protocol: a chunk of type ${type} and ${length} bytes`);
    return false;
  }

  #isInside({ io, received }: Slot, from: number, bytes: number): boolean {
    const { bytes: asked } = io as BdevIo;
    // And no more altogether than was asked for.
    if (from >= 0 && bytes > 0 && from + bytes <= asked && received + bytes <= asked) return true;
    this.#leave(`the server breaks the protocol: ${bytes} bytes at ${from} of a read of ${asked}`);
    return false;
  }

  #zero(slot: Slot, from: number, bytes: number): void {
    const cursor = this.#cursor;
    cursor.start((slot.io as BdevIo).iovs);
    cursor.advance(from);
    slot.received += bytes;
    while (bytes > 0) {
      const piece = Math.min(bytes, cursor.bytes);
      fillBytes(cursor.segment, cursor.offset, piece, 0);
      cursor.advance(piece);
      bytes -= piece;
    }
    cursor.end();
  }

  #answered(slot: Slot): void {
    if (slot.error === wire.NBD_ESHUTDOWN) {
      this.#leave('the server is shutting down');
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
  #leave(reason: string): void {
    if (this.#state !== CONNECTED) return;
    this.#state = LEAVING;
    this.#reason = reason;
    this.#cursor.end();
    this.#slot = null;
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

  /** What has no reply goes back in line, before what never was away. */
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
      this.#queue(slot);
    }
  }

  /** There has been no connection that answers for too long: all that waits fails, and so does what comes, until there is another one. */
  refuse(): void {
    // Nobody has asked it anything yet.
    if (this.#state === CONNECTED && this.#free.length === this.#slots.length) return;
    this.#refusing = true;
    if (this.#state === ENOTCONN) this.#failAll();
    else this.#leave('the server does not answer');
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
