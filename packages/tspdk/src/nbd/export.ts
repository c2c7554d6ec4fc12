/**
 * An export on one reactor: a name that clients ask for, an open bdev behind it, and the connections that use it.
 *
 * Made and closed by the poll group of its reactor. A resize changes the size that requests are checked against. When the bdev is removed,
 * or the export taken down, requests get ESHUTDOWN, connections finish and close, and the descriptor is closed after the last one, which is what
 * the bdev's removal waits for.
 */
import { BdevDesc, type BdevEvent, IO_FLUSH, IO_UNMAP, IO_WRITE_ZEROES, IO_ZCOPY } from '../bdev/index.ts';
import type { Reactor } from '../event/index.ts';
import type { Connection } from './connection.ts';
import type { ChannelPort, ExportPort } from './ports.ts';
import * as wire from './wire.ts';
import { WRITE_BUFFERS, WriteBuffers } from './write-buffers.ts';

/** What an export is; crosses between cores. */
export interface ExportConfig {
  readonly name: string;
  readonly bdevName: string;
  readonly description: string;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  /** For a disk whose write unit needs buffers of its own: bytes of one, and the segment with WRITE_BUFFERS of them for each reactor. */
  readonly writeBuffers: { readonly bytes: number; readonly segmentId: number } | null;
}

const PREFERRED_BLOCK_BYTES = 4096;

export class NbdExport implements ExportPort {
  readonly config: ExportConfig;
  readonly name: string;
  readonly description: string;
  readonly readOnly: boolean;
  readonly blockBytes: number;
  readonly minBlockBytes: number;
  readonly preferredBlockBytes: number;
  readonly memory: boolean;
  readonly canTrim: boolean;
  readonly canFlush: boolean;
  readonly fastZero: boolean;
  readonly volatileCache: boolean;
  readonly flags: number;
  readonly writeBuffers: WriteBuffers | null;
  readonly channel: ChannelPort;
  sizeBytes: number;
  removed = false;
  readonly connections = new Set<Connection>();
  readonly #desc: BdevDesc;
  #closed = false;
  readonly #whenClosed: (() => void)[] = [];

  /**
   * Opens the bdev on this reactor. `onRemoved` is called once, when the bdev goes away by itself.
   * @throws {SpdkError} ENODEV when there is no such bdev, EPERM or EROFS when it cannot be written to.
   */
  constructor(config: ExportConfig, reactor: Reactor, onRemoved: (exp: NbdExport) => void) {
    this.config = config;
    this.name = config.name;
    this.description = config.description;
    const onEvent = (event: BdevEvent): void => {
      if (event === 'resize') this.sizeBytes = this.#desc.sizeBytes;
      else onRemoved(this);
    };
    this.#desc = BdevDesc.open(config.bdevName, { write: !config.readOnly, hideMetadata: true, onEvent, reactor });
    const { bdev } = this.#desc;
    this.channel = this.#desc.getIoChannel();
    this.readOnly = config.readOnly;
    this.sizeBytes = this.#desc.sizeBytes;
    this.blockBytes = this.#desc.blockSizeBytes;
    this.memory = bdev.ioTypeSupported(IO_ZCOPY);
    // Memory takes any range of bytes. Anything else announces its block size and refuses (EINVAL) what is not aligned to it. To
    // read, merge and write instead would need a lock over the writes of all reactors, or an acknowledged write beside the merged
    // one could be undone. Who asks for block sizes obeys them (qemu, libnbd); who does not uses 512 or more (the kernel, old clients), which
    // suits every disk of 512-byte blocks.
    this.minBlockBytes = this.memory && bdev.takesBytes ? 1 : this.blockBytes;
    this.preferredBlockBytes = Math.max(PREFERRED_BLOCK_BYTES, 2 ** Math.ceil(Math.log2(this.blockBytes)));
    this.canTrim = bdev.ioTypeSupported(IO_UNMAP) && !config.readOnly;
    this.canFlush = bdev.ioTypeSupported(IO_FLUSH);
    this.fastZero = (bdev.moduleIoTypes & (1 << IO_WRITE_ZEROES)) !== 0;
    this.volatileCache = bdev.volatileCache;
    const own = config.writeBuffers;
    this.writeBuffers =
      own === null
        ? null
        : new WriteBuffers(reactor.segments.get(own.segmentId), reactor.index * WRITE_BUFFERS * own.bytes, own.bytes);
    this.flags = this.#flags(bdev.ioTypeSupported(IO_WRITE_ZEROES));
  }

  #flags(canZero: boolean): number {
    let flags = wire.TX_HAS_FLAGS | wire.TX_SEND_FLUSH | wire.TX_SEND_FUA | wire.TX_CAN_MULTI_CONN | wire.TX_SEND_CACHE;
    if (this.config.rotational) flags |= wire.TX_ROTATIONAL;
    if (this.readOnly) return flags | wire.TX_READ_ONLY;
    if (this.canTrim) flags |= wire.TX_SEND_TRIM;
    if (canZero) flags |= wire.TX_SEND_WRITE_ZEROES | wire.TX_SEND_FAST_ZERO;
    return flags;
  }

  /** A connection uses it from now on. */
  enter(connection: Connection): void {
    this.connections.add(connection);
  }

  leave(connection: Connection): void {
    this.connections.delete(connection);
    if (this.removed) this.#closeIfUnused();
  }

  /** Refuses what comes, lets connections finish; resolves when the bdev is closed here. */
  remove(): Promise<void> {
    this.removed = true;
    for (const connection of [...this.connections]) connection.drain();
    const closed = new Promise<void>((resolve) => this.#whenClosed.push(resolve));
    this.#closeIfUnused();
    return closed;
  }

  #closeIfUnused(): void {
    if (this.connections.size > 0) return;
    if (!this.#closed) {
      this.#closed = true;
      this.#desc.close();
    }
    for (const resolve of this.#whenClosed.splice(0)) resolve();
  }
}
