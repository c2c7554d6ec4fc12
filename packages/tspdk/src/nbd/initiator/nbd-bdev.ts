/**
 * A remote NBD export as a disk, bdev module "nbd". Its data goes straight between the submitter's memory and the socket; each lightweight thread has a connection of its own where the
 * server says that several are one (CAN_MULTI_CONN), else all of it goes over one, on the app core.
 *
 * Here and not among module/bdev/, as it speaks the wire's language with the target (wire.ts).
 */
import {
  type BackendChannel,
  type BdevBackend,
  type BdevModule,
  type BdevSpec,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
  type NewBdev,
  registerBdevModule,
} from '../../bdev/index.ts';
import { type BdevManager, bdevManager } from '../../bdev/manager.ts';
import { SpdkError } from '../../env/errors.ts';
import { limits } from '../../env/limits.ts';
import type { Pollable, Reactor } from '../../event/index.ts';
import { openSockGroup, type SockGroup } from '../../sock/index.ts';
import { parseNbdAddress } from '../uri.ts';
import * as wire from '../wire.ts';
import { type ChannelHost, InitiatorChannel } from './channel.ts';
import { registerNbdEvents, sendConnectionNews, sendGrown } from './connection-news.ts';
import { addressText, connectNbd, type RemoteExport } from './handshake.ts';
import { Link, type LinkHost, type LinkOptions, WATCH_MS } from './link.ts';

export interface NbdBdevParams {
  readonly name: string;
  /** As parseNbdAddress takes it. */
  readonly uri: string;
  /** Between two attempts to connect. Default 500. */
  readonly reconnect_delay_ms?: number | undefined;
  /** How long I/O waits for a lost server. Default 30. */
  readonly io_timeout_sec?: number | undefined;
  /** Default: a new one. */
  readonly uuid?: string | undefined;
}

declare module '../../bdev/module.ts' {
  interface BdevModuleParams {
    nbd: NbdBdevParams;
  }
}

interface NbdData extends LinkOptions {
  readonly uri: string;
}

const RECONNECT_DELAY_MS = 500;
const IO_TIMEOUT_SEC = 30;
const DELAY_MS_MAX = 3_600_000;
const TIMEOUT_SEC_MAX = 86_400;
const BLOCK_BYTES_MIN = 512;
/** Of one trim or write of zeroes: the wire has 32 bits for it. */
const RANGE_BYTES_MAX = 1024 * 1024 * 1024;

class NbdBackend implements BdevBackend, ChannelHost, LinkHost, Pollable {
  readonly name: string;
  readonly socks: SockGroup;
  readonly flags: number;
  readonly structured: boolean;
  readonly #reactor: Reactor;
  readonly #options: LinkOptions;
  readonly #manager: BdevManager;
  readonly #id: number;
  readonly #links = new Map<InitiatorChannel, Link>();
  #touched: InitiatorChannel[] = [];
  #flushing: InitiatorChannel[] = [];
  /** Runs while there are requests. */
  #watch: NodeJS.Timeout | null = null;

  constructor(spec: BdevSpec, reactor: Reactor) {
    const options = spec.data as NbdData;
    this.name = spec.name;
    this.#options = options;
    this.#reactor = reactor;
    this.#manager = reactor.local(bdevManager);
    this.#id = spec.id;
    this.flags = options.remote.flags;
    this.structured = options.remote.structured;
    this.socks = openSockGroup(reactor);
    reactor.addPollable(this);
  }

  isGoing(): boolean {
    // Targets wait for their I/O before any disk is removed.
    return this.#reactor.stopping || this.#manager.byId.get(this.#id)?.removing !== false;
  }

  sizeBytes(): number {
    return this.#manager.byId.get(this.#id)?.sizeBytes ?? 0;
  }

  grown(sizeBytes: number): void {
    const bdev = this.#manager.byId.get(this.#id);
    if (bdev === undefined) return;
    const blocks = Math.floor(sizeBytes / bdev.blockSizeBytes);
    if (blocks > bdev.blocks) sendGrown(this.#reactor, this.name, this.#id, blocks);
  }

  news(what: 'lost' | 'back' | 'closed'): void {
    sendConnectionNews(this.#reactor, { id: this.#id, name: this.name, what });
  }

  createChannel(): BackendChannel {
    const channel = new InitiatorChannel(this);
    this.#links.set(channel, new Link(this.name, this.#options, this.socks, channel, this));
    const close = channel.close.bind(channel);
    channel.close = () => {
      this.#links.get(channel)?.close();
      close();
    };
    return channel;
  }

  touch(channel: InitiatorChannel): void {
    channel.touched = true;
    this.#touched.push(channel);
    if (this.#watch === null) this.#watch = setTimeout(this.#look, WATCH_MS);
    this.#reactor.kick();
  }

  readonly #look = (): void => {
    let busy = false;
    for (const link of this.#links.values()) busy = link.watch() || busy;
    this.#watch = busy ? setTimeout(this.#look, WATCH_MS) : null;
    this.#reactor.kick();
  };

  lost(channel: InitiatorChannel, reason: string, proven: boolean): void {
    this.#links.get(channel)?.lost(reason, proven);
  }

  proven(channel: InitiatorChannel): void {
    this.#links.get(channel)?.proven();
  }

  closed(channel: InitiatorChannel): void {
    this.#links.delete(channel);
  }

  poll(): number {
    let done = this.socks.poll();
    if (this.#touched.length === 0) return done;
    const channels = this.#touched;
    this.#touched = this.#flushing;
    this.#flushing = channels;
    for (let i = 0; i < channels.length; i++) {
      channels[i].touched = false;
      channels[i].flush();
    }
    done += channels.length;
    channels.length = 0;
    return done;
  }

  nextPollUs(): number {
    return this.#touched.length > 0 || this.socks.pending ? 0 : Number.POSITIVE_INFINITY;
  }

  async close(): Promise<void> {
    if (this.#watch !== null) clearTimeout(this.#watch);
    for (const link of this.#links.values()) link.close();
    await this.socks.close();
    this.#reactor.removePollable(this);
  }
}

function checkRange(key: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new SpdkError('EINVAL', `${key} ${value}, limit ${least} to ${most}`);
}

/** What the block layer is told of an export. @throws {SpdkError} EINVAL for one without a block */
function describe(name: string, remote: RemoteExport): Omit<NewBdev, 'name' | 'data' | 'productName'> {
  const { sizeBytes, flags, minBlockBytes, preferredBlockBytes, maxPayloadBytes } = remote;
  const blockSizeBytes = Math.max(BLOCK_BYTES_MIN, minBlockBytes);
  const blocks = Math.floor(sizeBytes / blockSizeBytes);
  if (blocks === 0) throw new SpdkError('EINVAL', `bdev "${name}": the export has ${sizeBytes} bytes, not one block`);
  const writable = (flags & wire.TX_READ_ONLY) === 0;
  const can = (flag: number, type: number) => (writable && (flags & flag) !== 0 ? 1 << type : 0);
  const canFlush = (flags & wire.TX_SEND_FLUSH) !== 0;
  return {
    blockSizeBytes,
    blocks,
    writable,
    ioTypes:
      ioTypes(IO_READ) |
      (writable ? 1 << IO_WRITE : 0) |
      (canFlush ? 1 << IO_FLUSH : 0) |
      can(wire.TX_SEND_TRIM, IO_UNMAP) |
      can(wire.TX_SEND_WRITE_ZEROES, IO_WRITE_ZEROES),
    volatileCache: canFlush,
    limits: {
      physicalBlockSizeBytes: preferredBlockBytes,
      maxRwBlocks: Math.max(1, Math.floor(Math.min(maxPayloadBytes, limits.nbd_payload_bytes_max) / blockSizeBytes)),
      maxSegments: limits.nbd_client_segments,
      maxUnmapBlocks: RANGE_BYTES_MAX / blockSizeBytes,
      maxWriteZeroesBlocks: RANGE_BYTES_MAX / blockSizeBytes,
    },
  };
}

export const nbdModule: BdevModule<NbdBdevParams> = registerBdevModule<NbdBdevParams>({
  name: 'nbd',

  async create(params: NbdBdevParams, reactor: Reactor): Promise<NewBdev> {
    const { name, uri, uuid } = params;
    registerNbdEvents(reactor);
    const { address, exportName } = parseNbdAddress(uri);
    const reconnectDelayMs = params.reconnect_delay_ms ?? RECONNECT_DELAY_MS;
    const timeoutSec = params.io_timeout_sec ?? IO_TIMEOUT_SEC;
    checkRange('reconnect_delay_ms', reconnectDelayMs, 1, DELAY_MS_MAX);
    checkRange('io_timeout_sec', timeoutSec, 0, TIMEOUT_SEC_MAX);
    const { socket, remote } = await connectNbd(address, exportName);
    socket.on('error', () => {});
    socket.destroy();
    const several = (remote.flags & wire.TX_CAN_MULTI_CONN) !== 0;
    return {
      name,
      uuid,
      productName: 'NBD export',
      ...describe(name, remote),
      homeCore: several ? -1 : reactor.core,
      data: { uri, address, exportName, remote, reconnectDelayMs, ioTimeoutMs: timeoutSec * 1000 } satisfies NbdData,
    };
  },

  attach: (spec: BdevSpec, reactor: Reactor) => new NbdBackend(spec, reactor),
  destroy: () => {},
  dumpInfo: (spec: BdevSpec) => {
    const { uri, address, exportName, remote } = spec.data as NbdData;
    return {
      nbd: {
        uri,
        server: addressText(address),
        export: exportName,
        multi_conn: spec.homeCore < 0,
        structured_replies: remote.structured,
      },
    };
  },
  configCalls: (spec: BdevSpec) => {
    const { uri, reconnectDelayMs, ioTimeoutMs } = spec.data as NbdData;
    const more = { reconnect_delay_ms: reconnectDelayMs, io_timeout_sec: ioTimeoutMs / 1000 };
    return [{ method: 'bdev_nbd_create', params: { name: spec.name, uri, uuid: spec.uuid, ...more } }];
  },
});
