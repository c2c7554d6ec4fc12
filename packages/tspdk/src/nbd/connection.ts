/**
 * One client: from the accepted socket to the last buffer it gave back.
 *
 *    handshake -> transmission -> (draining) -> closing -> closed -> gone
 *
 * `run()` does what there is to do, may be called at any time and never waits: parse, execute, reply, receive. Replies of I/O that
 * completes later are gathered: `touch()` asks the poll group for one `run()` after this turn's completions. *Draining* finishes what was
 * begun and answers it; *closing* answers nothing more. The connection is gone when the socket has let go of its memory
 * and so has every disk; only then does its lane serve another client.
 * Belongs to one poll group and reactor.
 */
import type { Extents } from '../bdev/index.ts';
import { assert } from '../env/errors.ts';
import type { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import type { Due } from './deadlines.ts';
import { DirectWrite, WRITE_PIECES } from './direct-write.ts';
import { Executor } from './executor.ts';
import { Handshake } from './handshake.ts';
import type { Lane } from './lane.ts';
import { Negotiator, type NegotiatorHost } from './negotiate.ts';
import type { BufferPoolPort, BufferPort, ExportPort, SockPort } from './ports.ts';
import { ReadStream } from './read-stream.ts';
import { Receiver } from './receiver.ts';
import { Replier } from './replier.ts';
import { Request, type RequestOwner } from './request.ts';
import { CMD_READ, CMD_WRITE } from './wire.ts';
import { pieceBytes } from './write-buffers.ts';

/** What a connection asks of its poll group. */
export interface ConnectionHost extends NegotiatorHost<ExportPort> {
  readonly buffers: BufferPoolPort;
  newIoVecs(): IoVecs;
  /** For block status; used within one call. */
  readonly extents: Extents;
  /** Microseconds, as of this turn. */
  nowUs(): number;
  /** Call `run()` once, after this turn's completions. */
  dirty(connection: Connection): void;
  /** Whether this reactor can wait for a few microseconds without burning them. */
  readonly mayGather: boolean;
  /** One connection more, or less, lets requests gather. */
  gathers(change: 1 | -1): void;
  /** One connection more, or less, whose bytes come by and by, and are to find this reactor awake. */
  awaits(change: 1 | -1): void;
  /** Call `run()` at `dueUs` or soon after; 0: no more. */
  setDeadline(connection: Connection, dueUs: number): void;
  /** The handshake is over. */
  entered(connection: Connection): void;
  /** It broke the protocol, or its socket broke. */
  broken(connection: Connection, reason: string): void;
  /** Nothing refers to it any more. */
  gone(connection: Connection): void;
}

/** So many receives in a row may hold replies back. */
const HELD_MAX = 4;

/** Places in `Connection.stats`. */
export const STAT_READS = 0;
export const STAT_READ_BYTES = 1;
export const STAT_WRITES = 2;
export const STAT_WRITTEN_BYTES = 3;
export const STAT_OTHERS = 4;
export const STAT_ERRORS = 5;

export class Connection implements RequestOwner, Due {
  readonly id: number;
  readonly lane: Lane;
  readonly sock: SockPort;
  readonly buffers: BufferPoolPort;
  readonly negotiator: Negotiator<ExportPort>;
  /** When the peer last said or took something, µs: element 0 (a double in a typed array is never boxed). */
  readonly progressUs = new Float64Array(1);
  /** Counters, see STAT_*. */
  readonly stats = new Float64Array(6);
  /** When it began to drain, 0 while it does not. */
  drainingSinceUs = 0;
  /** Its deadline, see deadlines.ts. */
  dueUs = 0;
  dueIndex = 0;
  /** The poll group will run it. */
  isDirty = false;

  /** The socket is being closed: nothing is answered any more. */
  closing = false;
  #closed = false;
  #gone = false;
  #draining = false;
  readonly #host: ConnectionHost;
  readonly #iovs: IoVecs;
  #handshake: Handshake | null;
  #running = false;
  /** How often in a row replies were held back. */
  #held = 0;

  // The transmission phase.
  export!: ExportPort;
  structured = false;
  allocationContext = false;
  /** I/O at disks, and places in queues. */
  outstanding = 0;
  /** A larger transfer goes through several buffers; a power of two. */
  pieceBytes = 0;
  /** By Request.index: offset of the command, and of the I/O. */
  at!: Float64Array;
  ioAt!: Float64Array;
  receiver!: Receiver;
  executor!: Executor;
  replier!: Replier;
  directWrite!: DirectWrite;
  readStream!: ReadStream;
  #slots: Request[] = [];
  #free: Request[] = [];

  constructor(id: number, sock: SockPort, lane: Lane, host: ConnectionHost) {
    this.id = id;
    this.sock = sock;
    this.lane = lane;
    this.#host = host;
    this.buffers = host.buffers;
    this.progressUs[0] = host.nowUs();
    this.#iovs = host.newIoVecs();
    this.negotiator = new Negotiator(host);
    this.#handshake = new Handshake(lane, sock, this.#iovs, this.negotiator);
  }

  get inHandshake(): boolean {
    return this.#handshake !== null;
  }

  // ---- called by the socket

  onRecv(bytes: number): void {
    if (bytes <= 0) {
      if (bytes < 0 && !this.closing) this.#host.broken(this, `receiving failed with errno ${-bytes}`);
      this.close();
      return;
    }
    this.progressUs[0] = this.#host.nowUs();
    if (this.#handshake !== null) this.#handshake.received(bytes);
    else this.receiver.received(bytes);
    this.run();
  }

  onSent(result: number): void {
    this.progressUs[0] = this.#host.nowUs();
    if (this.#handshake !== null) this.#handshake.sent();
    else this.replier.sent();
    if (result < 0) {
      this.close();
      return;
    }
    this.run();
  }

  onClose(): void {
    this.closing = true;
    this.#closed = true;
    this.waitNoMore();
    if (this.#handshake === null) this.#abandon();
    this.#finishIfGone();
  }

  // ---- called by the poll group

  run(): void {
    this.isDirty = false;
    if (this.#closed) {
      this.#finishIfGone();
      return;
    }
    if (this.closing || this.#running) return;
    this.#running = true;
    if (this.#handshake !== null) this.#runHandshake(this.#handshake);
    if (this.#handshake === null && !this.closing) {
      this.receiver.parse();
      this.receiver.settle(this.#host.nowUs());
      if (!this.closing) this.receiver.post();
      if (!this.closing && !this.#holdReplies()) this.replier.flush();
      if (this.#draining && this.outstanding === 0 && this.replier.quiet) this.close();
    }
    this.#running = false;
  }

  /** Replies leave together with those of requests that are in the socket already, which are received next. */
  #holdReplies(): boolean {
    if (!this.receiver.goesOn || !this.receiver.posted || this.#held === HELD_MAX) {
      this.#held = 0;
      return false;
    }
    this.#held++;
    return true;
  }

  #runHandshake(handshake: Handshake): void {
    const ended = handshake.run();
    if (ended === 'wait') return;
    const { negotiator } = this;
    const exp = negotiator.export;
    if (ended === 'closed' || exp === null) {
      if (negotiator.closeReason !== '') {
        this.protocolError(negotiator.closeReason);
        return;
      }
      this.close();
      return;
    }
    if (exp.removed) {
      this.close();
      return;
    }
    const indices = limits.nbd_requests + WRITE_PIECES + limits.nbd_read_pieces;
    this.export = exp;
    this.structured = negotiator.structured;
    this.allocationContext = negotiator.allocationContext;
    this.pieceBytes = pieceBytes(this.buffers.largeBytes);
    this.at = new Float64Array(indices);
    this.ioAt = new Float64Array(indices);
    for (let i = 0; i < limits.nbd_requests; i++) this.#slots.push(new Request(this, i));
    this.#free = this.#slots.slice().reverse();
    this.executor = new Executor(this);
    this.replier = new Replier(this, this.#iovs, this.#host.extents);
    this.directWrite = new DirectWrite(this, limits.nbd_requests);
    this.readStream = new ReadStream(this, limits.nbd_requests + WRITE_PIECES);
    this.receiver = new Receiver(this, handshake.head, handshake.tail);
    this.#handshake = null;
    this.#host.entered(this);
  }

  /** Finish what was begun, answer it, then close. What is already here is still looked at (and refused, if the export is gone). */
  drain(): void {
    if (this.#handshake !== null) {
      this.close();
      return;
    }
    if (this.closing || this.#draining) return;
    this.receiver.parse();
    this.receiver.ended = true;
    this.#beginDrain();
    this.touch();
  }

  close(): void {
    if (this.closing) return;
    this.closing = true;
    if (this.#handshake === null) this.receiver.ended = true;
    this.sock.close();
  }

  // ---- called by the parts

  /** Wants a `run()`; does nothing while one is under way. */
  touch(): void {
    if (this.#running || this.isDirty) return;
    this.isDirty = true;
    this.#host.dirty(this);
  }

  /** Whether receives may be put off so that requests gather. */
  get mayGather(): boolean {
    return this.#host.mayGather;
  }

  /** It has begun, or ceased, to let requests gather. */
  gathers(begins: boolean): void {
    this.#host.gathers(begins ? 1 : -1);
  }

  /** Payloads have begun, or ceased, to come that are worth being awake for. */
  awaits(begins: boolean): void {
    this.#host.awaits(begins ? 1 : -1);
  }

  /** Runs again at `dueUs` at the latest; false when that has passed. */
  waitUntil(dueUs: number): boolean {
    const passed = this.#host.nowUs() >= dueUs;
    this.#host.setDeadline(this, passed ? 0 : dueUs);
    return !passed;
  }

  /** Does not wait any more. */
  waitNoMore(): void {
    if (this.dueUs !== 0) this.#host.setDeadline(this, 0);
  }

  protocolError(reason: string): void {
    this.fail(reason);
  }

  /** Ends the connection for a reason worth a log line. */
  fail(reason: string): void {
    if (!this.closing) this.#host.broken(this, reason);
    this.close();
  }

  /** The client has said DISC. */
  disconnectRequested(): void {
    this.#beginDrain();
  }

  #beginDrain(): void {
    this.#draining = true;
    this.drainingSinceUs = Math.max(1, this.#host.nowUs());
  }

  count(type: number, length: number): void {
    const { stats } = this;
    if (type === CMD_READ) {
      stats[STAT_READS]++;
      stats[STAT_READ_BYTES] += length;
    } else if (type === CMD_WRITE) {
      stats[STAT_WRITES]++;
      stats[STAT_WRITTEN_BYTES] += length;
    } else stats[STAT_OTHERS]++;
  }

  takeSlot(): Request | null {
    return this.#free.pop() ?? null;
  }

  releaseSlot(request: Request): void {
    if (request.buf !== null) this.buffers.put(request.buf);
    request.clear();
    this.#free.push(request);
  }

  /**
   * It holds buffers of which none are left, and waits for nothing but its client: to take replies, or to send the rest of a payload. `dry`: none are left of the pool; of its export's own
   * they tell themselves. Not a data path.
   */
  hoards(dry: boolean): boolean {
    if (this.#handshake !== null || this.closing) return false;
    if (this.directWrite.hoards && (this.export.writeBuffers?.dry ?? dry)) return true;
    if (!dry || !this.replier.sending) return false;
    return this.readStream.active || this.#slots.some((request) => request.buf !== null);
  }

  /** Requests in progress. */
  get inProgress(): number {
    return this.#slots.length - this.#free.length;
  }

  /** What a drain waits for, as what was not done. */
  get holdUp(): string {
    if (this.outstanding > 0) return `the disk did not end ${this.outstanding} of its I/Os`;
    return 'it did not take its replies';
  }

  reply(request: Request): void {
    if (this.#closed) this.releaseSlot(request);
    else this.replier.queue(request);
  }

  bufferReady(request: Request, buf: BufferPort): void {
    this.outstanding--;
    if (request.parent === null) this.executor.bufferReady(request, buf);
    else if (request.index < limits.nbd_requests + WRITE_PIECES) this.directWrite.bufferReady(request, buf);
    else this.readStream.bufferReady(request, buf);
  }

  poolReady(request: Request): void {
    this.executor.poolReady(request);
  }

  /** Takes a request out of the queue for buffers, if it is there. */
  cancelWait(request: Request, queue: Pick<BufferPoolPort, 'cancelWait'> = this.buffers): void {
    if (!request.waitsForBuffer) return;
    request.waitsForBuffer = false;
    this.outstanding--;
    queue.cancelWait(request);
  }

  /** The kernel has let go: everything that no disk works on goes back. */
  #abandon(): void {
    for (const request of this.#slots) {
      if (!request.waitsForBuffer) continue;
      this.cancelWait(request);
      this.releaseSlot(request);
    }
    this.receiver.abandon();
    this.directWrite.abandon();
    this.readStream.abandon();
    this.replier.abandon();
  }

  #finishIfGone(): void {
    if (this.#gone || this.outstanding > 0) return;
    this.#gone = true;
    assert(this.inProgress === 0, 'every request slot of a closed connection is free');
    this.#host.gone(this);
  }
}
