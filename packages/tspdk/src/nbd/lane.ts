/**
 * The memory of one connection: two banks to receive into and an arena for reply headers, a fixed place in a shared segment.
 *
 *    | bank 0 | bank 1 | arena |      nbd_recv_bytes / 2 each, then nbd_arena_bytes
 *
 * The pool belongs to one poll group. Memory that no connection has touched is not resident, so a lane for each possible
 * connection costs address space only. A lane goes back when neither the kernel nor a disk can touch it any more.
 */
import { assert, SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import type { Segment } from '../env/segment.ts';

export const BANK_BYTES = limits.nbd_recv_bytes / 2;
export const LANE_BYTES = limits.nbd_recv_bytes + limits.nbd_arena_bytes;

export interface Lane {
  readonly segment: Segment;
  readonly view: DataView;
  /** Offset of the lane in its segment. */
  readonly offset: number;
  readonly arenaOffset: number;
}

export class LanePool {
  readonly #free: Lane[] = [];
  #total = 0;

  /** Cuts `segment` into lanes. The pool keeps it for its whole life. */
  add(segment: Segment): void {
    const view = new DataView(segment.sab);
    for (let offset = 0; offset + LANE_BYTES <= segment.sizeBytes; offset += LANE_BYTES) {
      this.#free.push({ segment, view, offset, arenaOffset: offset + limits.nbd_recv_bytes });
      this.#total++;
    }
  }

  /** @throws {SpdkError} ENOMEM when all lanes are in use. */
  take(): Lane {
    const lane = this.#free.pop(); // the one used last: its pages are resident
    if (lane === undefined) throw new SpdkError('ENOMEM', `all ${this.#total} NBD connection buffers are in use`);
    return lane;
  }

  put(lane: Lane): void {
    assert(!this.#free.includes(lane), 'a lane is put back once');
    this.#free.push(lane);
  }

  get freeCount(): number {
    return this.#free.length;
  }
  get totalCount(): number {
    return this.#total;
  }
}
