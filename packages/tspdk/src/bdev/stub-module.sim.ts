/**
 * A disk whose every I/O the test completes by hand (SPDK's unit tests call it stub_complete_io): the module for tests of the layer itself.
 */
import type { Reactor } from '../event/reactor.ts';
import type { BdevIo, BdevIoDone } from './bdev-io.ts';
import { IO_FLUSH, IO_READ, IO_UNMAP, IO_WRITE, IO_WRITE_ZEROES, ioTypes } from './io-type.ts';
import type { MetadataFormat } from './metadata.ts';
import { type BackendChannel, type BdevBackend, type BdevLimits, type NewBdev, registerBdevModule } from './module.ts';
import { ENOMEM } from './status.ts';

export class StubChannel implements BackendChannel {
  readonly core: number;
  /** In order of submission. */
  readonly outstanding: BdevIo[] = [];
  /** How many I/Os it takes before it says -ENOMEM. */
  depth = Number.POSITIVE_INFINITY;
  /** Whether an abort ends an I/O. */
  abortable = true;
  /** Thrown by the next submit. */
  throws: Error | null = null;
  closed = false;
  /** How often it was reset. */
  resets = 0;
  /** What a reset ends with. */
  resetStatus = 0;

  constructor(core: number) {
    this.core = core;
  }

  submit(io: BdevIo): void {
    if (this.throws !== null) {
      const error = this.throws;
      this.throws = null;
      throw error;
    }
    if (this.outstanding.length >= this.depth) io.complete(ENOMEM);
    else this.outstanding.push(io);
  }

  /** Completes the oldest `count`. */
  complete(count: number, status = 0): void {
    for (const io of this.outstanding.splice(0, count)) io.complete(status);
  }

  abort(io: BdevIo): boolean {
    const at = this.outstanding.indexOf(io);
    if (!this.abortable || at < 0) return false;
    this.outstanding.splice(at, 1);
    io.complete(-125);
    return true;
  }

  reset(cb: BdevIoDone, ctx: unknown): void {
    this.resets++;
    cb(ctx, this.resetStatus);
  }

  close(): void {
    this.closed = true;
  }
}

export interface StubParams {
  readonly name: string;
  readonly blocks?: number;
  readonly blockSizeBytes?: number;
  readonly ioTypes?: number;
  readonly writable?: boolean;
  readonly homeCore?: number;
  readonly limits?: Partial<BdevLimits>;
  readonly metadata?: MetadataFormat;
  readonly uuid?: string;
  readonly aliases?: string[];
  /** The core whose attach fails. */
  readonly failOn?: number;
  /** Fails when it is there. */
  readonly failMade?: boolean;
}

/** Everything that stub disks of this process did, for tests to look at; a test makes its own disks with names of their own. */
export const stubs = {
  channels: new Map<string, StubChannel[]>(),
  destroyed: [] as string[],
  /** Why the next channel of a disk cannot be made. */
  channelErrors: new Map<string, Error>(),
  failChannel(name: string, error: Error = new Error(`no channel of "${name}" now`)): void {
    stubs.channelErrors.set(name, error);
  },
  closedBackends: [] as string[],
};

/** The channel of disk `name` on `core`. */
export function stubChannel(name: string, core = 0): StubChannel {
  const found = (stubs.channels.get(name) ?? []).findLast((channel) => channel.core === core);
  if (found === undefined) throw new Error(`no channel of stub disk "${name}" on core ${core}`);
  return found;
}

registerBdevModule<StubParams>({
  name: 'stub',
  create(params: StubParams): NewBdev {
    return {
      name: params.name,
      ...(params.uuid === undefined ? {} : { uuid: params.uuid }),
      ...(params.aliases === undefined ? {} : { aliases: params.aliases }),
      productName: 'Stub',
      blockSizeBytes: params.blockSizeBytes ?? 512,
      blocks: params.blocks ?? 1024,
      writable: params.writable ?? true,
      homeCore: params.homeCore ?? -1,
      ioTypes: params.ioTypes ?? ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH, IO_WRITE_ZEROES),
      ...(params.limits === undefined ? {} : { limits: params.limits }),
      metadata: params.metadata ?? null,
      data: { failOn: params.failOn ?? -1, failMade: params.failMade ?? false },
    };
  },
  attach(spec, reactor: Reactor): BdevBackend {
    if ((spec.data as { failOn: number }).failOn === reactor.core) throw new Error('attach fails here');
    const channels: StubChannel[] = stubs.channels.get(spec.name) ?? [];
    stubs.channels.set(spec.name, channels);
    return {
      createChannel: () => {
        const error = stubs.channelErrors.get(spec.name);
        if (stubs.channelErrors.delete(spec.name)) throw error;
        const channel = new StubChannel(reactor.core);
        channels.push(channel);
        return channel;
      },
      close: () => void stubs.closedBackends.push(`${spec.name} ${reactor.core}`),
    };
  },
  made: ({ spec }) => {
    if ((spec.data as { failMade: boolean }).failMade) throw new Error('it fails when it is there');
  },
  destroy: (spec) => void stubs.destroyed.push(spec.name),
  configCalls: () => [],
});
