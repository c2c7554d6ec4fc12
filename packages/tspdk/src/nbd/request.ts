/**
 * One command of a client, from parsing to the reply: a preallocated slot, never made or dropped on the data path.
 *
 * The same object is the context of the bdev's completion, the place in the queue for a buffer and the place in the queue for the
 * bdev's own pool, so that none of these allocates. A large READ or WRITE on a disk that is not memory is carried out by
 * *pieces*: slots of the same kind that have a `parent`. Wide numbers live in typed arrays of the owner (`offsets`), since a
 * double stored in an object may be boxed. Data path; belongs to the connection's reactor.
 */
import type { Segment } from '../env/segment.ts';
import type { BufferPort, BufferWaiterPort, IoWaitPort } from './ports.ts';

/** What the request does at its bdev at the moment. */
export const OP_NONE = 0;
export const OP_READ = 1;
export const OP_WRITE = 2;
export const OP_FLUSH = 3;
export const OP_UNMAP = 4;
export const OP_WRITE_ZEROES = 5;

/** What follows the reply header. */
export const PAYLOAD_NONE = 0;
/** `length` bytes of the disk's own memory. */
export const PAYLOAD_MEMORY = 1;
/** `length` bytes of `buf`, from `memOffset`. */
export const PAYLOAD_BUFFER = 2;
/** Pieces, as they become ready (read-stream.ts). */
export const PAYLOAD_STREAM = 3;
/** The extents of the range (block-status.ts). */
export const PAYLOAD_STATUS = 4;

export interface RequestOwner {
  bufferReady(request: Request, buf: BufferPort): void;
  poolReady(request: Request): void;
}

export class Request implements BufferWaiterPort, IoWaitPort {
  readonly owner: RequestOwner;
  /** Its place in the owner's typed arrays. */
  readonly index: number;
  type = 0;
  flags = 0;
  length = 0;
  cookieHi = 0;
  cookieLo = 0;
  /** The wire's error, 0 for success. */
  error = 0;
  payload = PAYLOAD_NONE;

  op = OP_NONE;
  segment: Segment | null = null;
  memOffset = 0;
  ioBytes = 0;
  buf: BufferPort | null = null;
  /** The bank its payload lies in, -1 for none. */
  bank = -1;
  /** The buffer pool's. */
  nextWaiter: BufferWaiterPort | null = null;
  /** I/O at the bdev or in one of the queues; pieces of it for a parent. */
  pending = 0;
  parent: Request | null = null;
  waitsForBuffer = false;
  /** Of a piece of a READ: which one, and whether its data has arrived. */
  window = 0;
  ready = false;

  constructor(owner: RequestOwner, index: number) {
    this.owner = owner;
    this.index = index;
  }

  onBuf(buf: BufferPort): void {
    this.waitsForBuffer = false;
    this.owner.bufferReady(this, buf);
  }
  onReady(): void {
    this.owner.poolReady(this);
  }

  /** Ready for the next command. */
  clear(): void {
    this.error = 0;
    this.payload = PAYLOAD_NONE;
    this.op = OP_NONE;
    this.segment = null;
    this.buf = null;
    this.bank = -1;
    this.pending = 0;
    this.parent = null;
    this.ready = false;
  }
}
