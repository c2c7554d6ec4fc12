/**
 * What the layer does for a disk that cannot: write zeroes, as writes from a buffer of zeroes, one after the other.
 */
import type { BdevIo, IoWaitEntry } from './bdev-io.ts';
import { IO_WRITE } from './io-type.ts';
import type { ThreadChannel } from './thread-channel.ts';

/** The parent's progress while its pieces are written; made per emulated I/O, which is no fast path on such a disk. */
class ZeroWriter implements IoWaitEntry {
  readonly #channel: ThreadChannel;
  readonly #parent: BdevIo;
  #done = 0;
  #piece = 0;

  constructor(channel: ThreadChannel, parent: BdevIo) {
    this.#channel = channel;
    this.#parent = parent;
  }

  onReady(): void {
    const { manager } = this.#channel;
    const parent = this.#parent;
    const io = manager.pool.get();
    if (io === null) {
      manager.pool.wait(this, this.#channel.thread);
      return;
    }
    const zeroes = manager.zeroes;
    this.#piece = Math.min(zeroes.sizeBytes, parent.bytes - this.#done);
    io.type = IO_WRITE;
    io.flags = parent.flags;
    io.byteOffset = parent.byteOffset + this.#done;
    io.bytes = this.#piece;
    io.ownIovs.push(zeroes, 0, this.#piece);
    io.cb = onPiece;
    io.ctx = this;
    this.#channel.submit(io);
  }

  pieceDone(status: number): void {
    this.#done += this.#piece;
    if (status !== 0 || this.#done === this.#parent.bytes) this.#parent.complete(status);
    else this.onReady();
  }
}

function onPiece(ctx: unknown, status: number): void {
  (ctx as ZeroWriter).pieceDone(status);
}

export function emulateWriteZeroes(channel: ThreadChannel, io: BdevIo): void {
  channel.beginEmulated(io);
  new ZeroWriter(channel, io).onReady();
}
