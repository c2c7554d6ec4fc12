/**
 * The reply to BLOCK_STATUS in the context `base:allocation`: extents of the disk as wire descriptors.
 *
 * Neighbours of one kind become one descriptor. There is always at least one, there may be fewer than the range would need (the
 * client asks again from where we stopped), and none reaches beyond the range. Runs on the connection's reactor.
 */
import { ALLOCATION_CONTEXT_ID } from './negotiate.ts';
import type { ExportPort, ExtentSink } from './ports.ts';
import { CHUNK_BYTES, STATE_HOLE, STATE_ZERO } from './wire.ts';

const DESCRIPTOR_BYTES = 8;
const CONTEXT_BYTES = 4;
/** Room a reply needs, its header included, so that it can say something useful. */
export const STATUS_BYTES_MIN = CHUNK_BYTES + CONTEXT_BYTES + 32 * DESCRIPTOR_BYTES;
/** Descriptors of one reply at most. */
const DESCRIPTORS_MAX = 256;

export class StatusWriter {
  #view: DataView | null = null;
  #at = 0;
  #room = 0;
  #count = 0;
  #left = 0;
  #flags = -1;
  #bytes = 0;

  /**
   * Writes context id and descriptors at `at`, below `end`; returns their size in bytes.
   * `bytes` is 1 to 2^32 - 1, and the range lies inside the export.
   */
  write(
    view: DataView,
    at: number,
    end: number,
    exp: Pick<ExportPort, 'extents'>,
    offset: number,
    bytes: number,
    oneOnly: boolean,
  ): number {
    view.setUint32(at, ALLOCATION_CONTEXT_ID);
    this.#view = view;
    this.#at = at + CONTEXT_BYTES;
    const room = Math.floor((end - this.#at) / DESCRIPTOR_BYTES);
    this.#room = oneOnly ? 1 : Math.min(room, DESCRIPTORS_MAX);
    this.#count = 0;
    this.#left = bytes;
    this.#flags = -1;
    this.#bytes = 0;
    exp.extents(offset, bytes, this.#add);
    this.#flush();
    if (this.#count === 0) {
      // The disk told nothing: zero flags are always true.
      this.#flags = 0;
      this.#bytes = bytes;
      this.#flush();
    }
    this.#view = null;
    return this.#at - at;
  }

  readonly #add: ExtentSink = (bytes, allocated, zero) => {
    const flags = (allocated ? 0 : STATE_HOLE) | (zero ? STATE_ZERO : 0);
    const used = Math.min(bytes, this.#left);
    if (used === 0) return this.#left > 0;
    if (flags !== this.#flags) {
      this.#flush();
      if (this.#count === this.#room) return false;
      this.#flags = flags;
    }
    this.#bytes += used;
    this.#left -= used;
    return this.#left > 0;
  };

  #flush(): void {
    if (this.#bytes === 0) return;
    this.#view!.setUint32(this.#at, this.#bytes);
    this.#view!.setUint32(this.#at + 4, this.#flags);
    this.#at += DESCRIPTOR_BYTES;
    this.#count++;
    this.#bytes = 0;
    this.#flags = -1;
  }
}
