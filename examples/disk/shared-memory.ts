// A kind of disk of one's own with the block layer's whole contract: memory that all reactors share, each serving its own clients.
//
//     npm run example -- disk/shared-memory --cpumask 0x3 --option size=64M
//
// Every reactor loads this file. `create` runs once, on the app core, and takes the memory; `attach` runs on every reactor and finds it there; each lightweight thread that uses
// the disk gets a channel. A read or a write is a copy between two pieces of shared memory, and `zcopy` saves even that: clients get the disk's own bytes.
import {
  copyBytes,
  defineBdevModule,
  dropSegment,
  fillBytes,
  IO_FLUSH,
  IO_READ,
  IO_WRITE,
  type IoVecs,
  ioStatus,
  type ModuleChannel,
  type ModuleIo,
  type Segment,
  SpdkError,
  shareSegment,
} from 'tspdk';

// Statuses are made when the file is loaded: an I/O only passes a number on.
const NOT_SUPPORTED = ioStatus('ENOTSUP');
const MIB = 1024 * 1024;

class Channel implements ModuleChannel {
  readonly #memory: Segment;

  constructor(memory: Segment) {
    this.#memory = memory;
  }

  submit(io: ModuleIo): void {
    switch (io.type) {
      case IO_READ:
      case IO_WRITE:
        this.#copy(io);
        io.complete(0);
        break;
      case IO_FLUSH:
        io.complete(0);
        break;
      default:
        io.complete(NOT_SUPPORTED);
    }
  }

  /** The data of an I/O lies in pieces, wherever the client's buffers are. */
  #copy({ type, iovs, byteOffset }: ModuleIo): void {
    let at = byteOffset;
    for (let i = 0; i < iovs.count; i++) {
      const theirs = iovs.segment[i] as Segment;
      if (type === IO_READ) copyBytes(theirs, iovs.offset[i], this.#memory, at, iovs.bytes[i]);
      else copyBytes(this.#memory, at, theirs, iovs.offset[i], iovs.bytes[i]);
      at += iovs.bytes[i];
    }
  }

  zcopy(byteOffset: number, bytes: number, out: IoVecs): boolean {
    if (out.full) return false;
    out.push(this.#memory, byteOffset, bytes);
    return true;
  }
}

export default defineBdevModule({
  name: 'shared-memory',

  options(said): { sizeBytes: number } {
    const text = String(said.size ?? '16M');
    const found = /^(\d+)M$/.exec(text);
    if (found === null) throw new SpdkError('EINVAL', `size is "${text}"; it is so many MiB, like 64M`);
    return { sizeBytes: Number(found[1]) * MIB };
  },

  async create({ options }, reactor) {
    const segment = await shareSegment(reactor, options.sizeBytes);
    fillBytes(reactor.segments.get(segment), 0, options.sizeBytes, 0);
    return {
      sizeBytes: options.sizeBytes,
      ioTypes: ['read', 'write', 'flush', 'zcopy'],
      // Nothing survives the process, flushed or not.
      volatileCache: false,
      data: { segment },
    };
  },

  attach: ({ data }, reactor) => {
    const memory = reactor.segments.get(data.segment);
    return { createChannel: () => new Channel(memory) };
  },

  destroy: ({ data }, reactor) => dropSegment(reactor, data.segment),
});
