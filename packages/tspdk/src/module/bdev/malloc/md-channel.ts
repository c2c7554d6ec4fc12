/**
 * The channel of a memory disk whose blocks have metadata: data in one store, metadata in another, brought together where the format interleaves them.
 *
 * The metadata is kept with every bit inverted, so that memory that was never written, or has been zeroed, reads as metadata of all ones: protection information that says "do
 * not check". A new disk and a trimmed range thus need no writing.
 */
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import {
  type BackendChannel,
  IO_FLAG_NO_HOLE,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
} from '../../../bdev/index.ts';
import type { BdevManager } from '../../../bdev/manager.ts';
import type { MetadataFormat } from '../../../bdev/metadata.ts';
import { ENOTSUP } from '../../../bdev/status.ts';
import { IovCursor } from '../../../env/iov-cursor.ts';
import { LongZero } from './long-io.ts';
import type { MemoryStore } from './memory-store.ts';

export class MdChannel implements BackendChannel {
  readonly #data: MemoryStore;
  readonly #md: MemoryStore;
  readonly #manager: BdevManager;
  readonly #interleaved: boolean;
  readonly #mdBytes: number;
  readonly #blockBytes: number;
  readonly #dataBytes: number;
  readonly #cursor = new IovCursor();

  constructor(data: MemoryStore, md: MemoryStore, manager: BdevManager, format: MetadataFormat, blockBytes: number) {
    this.#data = data;
    this.#md = md;
    this.#manager = manager;
    this.#interleaved = format.interleaved;
    this.#mdBytes = format.bytes;
    this.#blockBytes = blockBytes;
    this.#dataBytes = format.interleaved ? blockBytes - format.bytes : blockBytes;
  }

  submit(io: BdevIo): void {
    const first = io.byteOffset / this.#blockBytes;
    const blocks = io.bytes / this.#blockBytes;
    switch (io.type) {
      case IO_READ:
      case IO_WRITE:
        if (this.#interleaved) this.#transferBlocks(io, first, blocks);
        else this.#transfer(io, first, blocks);
        io.complete(0);
        break;
      case IO_UNMAP:
      case IO_WRITE_ZEROES: {
        const keep = (io.flags & IO_FLAG_NO_HOLE) !== 0;
        this.#md.zero(first * this.#mdBytes, blocks * this.#mdBytes, keep);
        new LongZero(this.#data, this.#manager, io, first * this.#dataBytes, blocks * this.#dataBytes, keep).retry();
        break;
      }
      case IO_FLUSH:
        io.complete(0);
        break;
      default:
        io.complete(ENOTSUP);
    }
  }

  #transferBlocks(io: BdevIo, first: number, blocks: number): void {
    const toDisk = io.type === IO_WRITE;
    const cursor = this.#cursor;
    cursor.start(io.iovs);
    for (let block = first; block < first + blocks; block++) {
      this.#data.copyList(toDisk, block * this.#dataBytes, cursor, this.#dataBytes);
      this.#md.copyListInverted(toDisk, block * this.#mdBytes, cursor, this.#mdBytes);
    }
    cursor.end();
  }

  #transfer(io: BdevIo, first: number, blocks: number): void {
    const toDisk = io.type === IO_WRITE;
    const cursor = this.#cursor;
    cursor.start(io.iovs);
    this.#data.copyList(toDisk, first * this.#dataBytes, cursor, io.bytes);
    if (io.mdIovs !== null) {
      cursor.start(io.mdIovs);
      this.#md.copyListInverted(toDisk, first * this.#mdBytes, cursor, blocks * this.#mdBytes);
    } else if (toDisk) {
      // Data that came without metadata makes the old one wrong.
      this.#md.zero(first * this.#mdBytes, blocks * this.#mdBytes, true);
    }
    cursor.end();
  }

  close(): void {}
}
