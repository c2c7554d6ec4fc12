/**
 * Files through Node's fs, for reactors without io_uring: the same results, by libuv's thread pool. Completions come outside of the reactor's turn.
 * There is no fallocate here: unmap and write zeroes write zeroes. O_DIRECT is used only where another core has an io_uring and this one has none.
 */
import { fdatasync, read, write } from 'node:fs';
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { Extents } from '../../../bdev/extents.ts';
import {
  type BackendChannel,
  type BdevBackend,
  IO_FLAG_FUA,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
} from '../../../bdev/index.ts';
import { bdevManager } from '../../../bdev/manager.ts';
import { EIO, ENOTSUP } from '../../../bdev/status.ts';
import { IovCursor } from '../../../env/iov-cursor.ts';
import type { Segment } from '../../../env/segment.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { blockStatusOf, type FileData, zeroesIn } from './file-data.ts';

/** Node takes lengths of 31 bits. */
const TRANSFER_BYTES_MAX = 1 << 30;

type FsError = NodeJS.ErrnoException | null;

export class NodeFileBackend implements BdevBackend {
  readonly data: FileData;
  readonly zeroes: Segment;
  readonly zeroesOffset: number;
  readonly zeroesBytes: number;
  readonly reactor: Reactor;

  constructor(data: FileData, reactor: Reactor) {
    this.data = data;
    this.reactor = reactor;
    this.zeroes = reactor.local(bdevManager).zeroes;
    const { offset, bytes } = zeroesIn(this.zeroes);
    this.zeroesOffset = offset;
    this.zeroesBytes = bytes;
  }

  createChannel(): BackendChannel {
    return new NodeFileChannel(this);
  }

  close(): void {}
}

class NodeFileChannel implements BackendChannel {
  readonly #backend: NodeFileBackend;
  readonly #free: NodeFileOp[] = [];

  constructor(backend: NodeFileBackend) {
    this.#backend = backend;
  }

  submit(io: BdevIo): void {
    (this.#free.pop() ?? new NodeFileOp(this.#backend, this.#free)).start(io);
  }

  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    return blockStatusOf(this.#backend.data, byteOffset, bytes, out);
  }

  close(): void {}
}

/** One I/O under way; its callbacks are made once. */
class NodeFileOp {
  readonly #backend: NodeFileBackend;
  readonly #free: NodeFileOp[];
  readonly #cursor = new IovCursor();
  readonly #onData: (error: FsError, bytes: number) => void;
  readonly #onSync: (error: FsError) => void;
  #io: BdevIo | null = null;
  #done = 0;

  constructor(backend: NodeFileBackend, free: NodeFileOp[]) {
    this.#backend = backend;
    this.#free = free;
    this.#onData = (error, bytes) => this.#transferred(error, bytes);
    this.#onSync = (error) => this.#end(statusOf(error));
  }

  start(io: BdevIo): void {
    this.#io = io;
    this.#done = 0;
    switch (io.type) {
      case IO_READ:
      case IO_WRITE:
        this.#cursor.start(io.iovs);
        this.#transfer();
        break;
      case IO_UNMAP:
      case IO_WRITE_ZEROES:
        this.#transfer();
        break;
      case IO_FLUSH:
        fdatasync(this.#backend.data.fd, this.#onSync);
        break;
      default:
        this.#end(ENOTSUP);
    }
  }

  #transfer(): void {
    const { data, zeroes, zeroesOffset, zeroesBytes } = this.#backend;
    const io = this.#io as BdevIo;
    const cursor = this.#cursor;
    const at = io.byteOffset + this.#done;
    if (io.type === IO_READ) {
      read(data.fd, cursor.segment.u8, cursor.offset, Math.min(cursor.bytes, TRANSFER_BYTES_MAX), at, this.#onData);
    } else if (io.type === IO_WRITE) {
      write(data.fd, cursor.segment.u8, cursor.offset, Math.min(cursor.bytes, TRANSFER_BYTES_MAX), at, this.#onData);
    } else {
      write(data.fd, zeroes.u8, zeroesOffset, Math.min(zeroesBytes, io.bytes - this.#done), at, this.#onData);
    }
  }

  #transferred(error: FsError, bytes: number): void {
    const io = this.#io as BdevIo;
    if (error !== null || bytes === 0) {
      this.#end(error === null ? EIO : statusOf(error));
      return;
    }
    if (io.type === IO_READ || io.type === IO_WRITE) this.#cursor.advance(bytes);
    this.#done += bytes;
    if (this.#done < io.bytes) this.#transfer();
    else if ((io.flags & IO_FLAG_FUA) !== 0) fdatasync(this.#backend.data.fd, this.#onSync);
    else this.#end(0);
  }

  #end(status: number): void {
    const io = this.#io as BdevIo;
    this.#io = null;
    this.#cursor.end();
    this.#free.push(this);
    io.complete(status);
    this.#backend.reactor.kick();
  }
}

/** libuv's errno is negative, as ours. */
function statusOf(error: FsError): number {
  return error === null ? 0 : (error.errno ?? EIO);
}
