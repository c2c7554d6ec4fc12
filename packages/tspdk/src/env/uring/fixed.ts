/**
 * What a ring has registered with the kernel: files, which spares each operation to take and drop a reference, and memory, which spares each O_DIRECT operation to look up and pin its pages.
 *
 * Tables of empty places, made when first needed (Linux 5.19); what cannot be registered is used as it is. Registered memory is pinned: it is resident as a whole, and counts against the
 * limit of locked memory of users without CAP_IPC_LOCK (`ulimit -l`). Only segments whose pages stay the same may be: what gives pages back to the system would be read and written where it no
 * longer is. Control path, the ring's thread.
 */
import type { Ffi } from '../ffi.ts';
import { limits } from '../limits.ts';
import type { Segment } from '../segment.ts';
import * as L from './layout.ts';

const STRUCT_BYTES = 32;
const WORD = 4294967296;
/** `Segment.fixed`: it was tried in vain. */
const REFUSED = -1;

/** One of the two tables: which places are free. */
class Places {
  readonly #free: number[] = [];
  /** The kernel has the table. */
  readonly made: boolean;

  constructor(count: number, make: () => boolean) {
    this.made = make();
    if (this.made) for (let i = count - 1; i >= 0; i--) this.#free.push(i);
  }

  take(): number {
    return this.#free.pop() ?? -1;
  }

  put(index: number): void {
    this.#free.push(index);
  }
}

export class FixedTables {
  readonly #ffi: Ffi;
  readonly #fd: number;
  readonly #mostPinnedBytes: number;
  #files: Places | null = null;
  #buffers: Places | null = null;
  #pinnedBytes = 0;
  /** errno of the last refusal of memory; 0: a limit of the kit's own, or no such table here. */
  errno = 0;

  /** @param mostPinnedBytes what may be registered at once */
  constructor(ffi: Ffi, ringFd: number, mostPinnedBytes: number = limits.uring_pinned_bytes) {
    this.#ffi = ffi;
    this.#fd = ringFd;
    this.#mostPinnedBytes = mostPinnedBytes;
  }

  /** What the ring's operations name the file by: its registered place, or `fd` itself where it has none. */
  addFile(fd: number): number {
    this.#files ??= new Places(limits.uring_files, () => this.#make(L.IORING_REGISTER_FILES2, limits.uring_files));
    const index = this.#files.take();
    if (index < 0) return fd;
    if (this.#update(L.IORING_REGISTER_FILES_UPDATE2, index, fd, 0)) return registeredFile(index);
    this.#files.put(index);
    return fd;
  }

  /** `file` is what `addFile` gave. */
  removeFile(file: number): void {
    if (file >= 0) return;
    const index = registeredFile(file);
    if (this.#update(L.IORING_REGISTER_FILES_UPDATE2, index, -1, 0)) this.#files?.put(index);
  }

  /** Registers the memory of a segment, once; whether it is. What then counts is `segment.fixed`. */
  addSegment(segment: Segment): boolean {
    if (segment.fixed !== 0) return segment.fixed > 0 && segment.fixedBy === this;
    segment.fixed = REFUSED;
    segment.fixedBy = this;
    this.errno = 0;
    if (!segment.pinnable || this.#pinnedBytes + segment.sizeBytes > this.#mostPinnedBytes) return false;
    const count = limits.uring_buffers;
    this.#buffers ??= new Places(count, () => this.#make(L.IORING_REGISTER_BUFFERS2, count));
    const index = this.#buffers.take();
    if (index < 0) return false;
    if (!this.#update(L.IORING_REGISTER_BUFFERS_UPDATE, index, segment.address, segment.sizeBytes)) {
      this.#buffers.put(index);
      return false;
    }
    segment.fixed = index + 1;
    this.#pinnedBytes += segment.sizeBytes;
    return true;
  }

  /** Nobody uses the segment any more. */
  removeSegment(segment: Segment): void {
    if (segment.fixed <= 0 || segment.fixedBy !== this) return;
    const index = segment.fixed - 1;
    segment.fixed = REFUSED;
    this.#pinnedBytes -= segment.sizeBytes;
    if (this.#update(L.IORING_REGISTER_BUFFERS_UPDATE, index, 0, 0)) this.#buffers?.put(index);
  }

  /** struct io_uring_rsrc_register: count, flags, reserved, data, tags. */
  #make(opcode: number, count: number): boolean {
    return this.#call(opcode, (words) => {
      words[0] = count;
      words[1] = L.IORING_RSRC_REGISTER_SPARSE;
    });
  }

  /**
   * Fills one place: with the file `what`, or with `bytes` of memory at `what`. struct io_uring_rsrc_update2: place, reserved, data (64 bits), tags (64 bits), count, reserved; `data` points behind it,
   * to an int or a struct iovec.
   */
  #update(opcode: number, place: number, what: number, bytes: number): boolean {
    return this.#call(opcode, (words, address) => {
      const data = address + STRUCT_BYTES;
      words[0] = place;
      words[2] = data | 0;
      words[3] = (data / WORD) | 0;
      words[6] = 1;
      words[8] = what | 0;
      words[9] = (what / WORD) | 0;
      words[10] = bytes | 0;
      words[11] = (bytes / WORD) | 0;
    });
  }

  #call(opcode: number, fill: (words: Int32Array, address: number) => void): boolean {
    const address = this.#ffi.calloc(STRUCT_BYTES + 16);
    if (address === 0) return false;
    try {
      fill(new Int32Array(this.#ffi.viewOf(address, STRUCT_BYTES + 16)), address);
      if (this.#ffi.ioUringRegister(this.#fd, opcode, address, STRUCT_BYTES) >= 0) return true;
      this.errno = this.#ffi.errno();
      return false;
    } finally {
      this.#ffi.free(address);
    }
  }
}

/** How a ring's operations name the registered file at a place: a number that no descriptor has. The other way round it is the same. */
export function registeredFile(index: number): number {
  return -2 - index;
}
