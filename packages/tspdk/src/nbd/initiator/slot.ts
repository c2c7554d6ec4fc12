/** A place for one request to a remote export, from the block layer's submission to its completion; reused. Data path. */
import type { BdevIo } from '../../bdev/bdev-io.ts';

/** In line to be sent. */
export const SLOT_QUEUED = 1;
/** With the server, as far as is known. */
export const SLOT_AWAY = 2;
export const SLOT_FREE = 0;

export class Slot {
  readonly index: number;
  io: BdevIo | null = null;
  /** SLOT_* */
  state = SLOT_FREE;
  /** Order of submission: what is sent again keeps its place. */
  order = 0;
  /** All of it went to the kernel, which has let go of its memory. */
  sent = false;
  /** The server has answered. */
  answered = false;
  /** The wire's error. */
  error = 0;
  /** Bytes of a read that have come. */
  received = 0;
  /** The write is done, and this is the flush that makes it lasting. */
  flushing = false;
  next: Slot | null = null;

  constructor(index: number) {
    this.index = index;
  }

  /** As before it was sent. */
  rewind(): void {
    this.sent = false;
    this.answered = false;
    this.error = 0;
    this.received = 0;
  }
}
