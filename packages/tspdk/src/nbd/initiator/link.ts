/**
 * Keeps one channel connected: connects, and connects again when the connection is lost, for as long as the channel lives. Control path.
 *
 * I/O waits for a connection that answers up to a time-out, then fails; the attempts go on. A server that comes back with another export under the name is not the one that was lost, but for one that has
 * grown.
 */
import { explain, SpdkError } from '../../env/errors.ts';
import { log } from '../../log/index.ts';
import { handOver, type SockAddress, type SockGroup } from '../../sock/index.ts';
import type { InitiatorChannel } from './channel.ts';
import { addressText, connectNbd, type RemoteExport } from './handshake.ts';

const initiatorLog = log.register('bdev_nbd');

/** How often `watch` is to be called while there are requests. */
export const WATCH_MS = 500;
/** What a server is given to answer what it has when the disk is removed. */
export const FAREWELL_MS = 5000;
/** Of different reasons to go on trying, which are said between two answers. */
const REASONS_MAX = 8;

/** Whom to connect to, and how long to try. Structured-cloneable. */
export interface LinkOptions {
  readonly address: SockAddress;
  readonly exportName: string;
  readonly remote: RemoteExport;
  readonly reconnectDelayMs: number;
  readonly ioTimeoutMs: number;
}

/** The disk, as its connections know it. */
export interface LinkHost {
  /** It is being removed, or the application ends: nothing waits for a connection any more. */
  isGoing(): boolean;
  /** Bytes of it, which an export must have. */
  sizeBytes(): number;
  /** The export has more. */
  grown(sizeBytes: number): void;
  /** The connection is lost, answers again, or was lost and is given up. */
  news(what: 'lost' | 'back' | 'closed'): void;
}

/** @throws {SpdkError} EIO when it is another; one that is larger is not */
function checkSame(found: RemoteExport, expected: RemoteExport, sizeBytes: number): void {
  if (found.sizeBytes < sizeBytes) {
    const sizes = `sizeBytes was ${sizeBytes} and is ${found.sizeBytes}`;
    throw new SpdkError('EIO', `the export is another than before: ${sizes}`);
  }
  for (const key of ['flags', 'minBlockBytes', 'structured'] as const) {
    if (found[key] === expected[key]) continue;
    throw new SpdkError('EIO', `the export is another than before: ${key} was ${expected[key]} and is ${found[key]}`);
  }
  const [was, is] = [expected.maxPayloadBytes, found.maxPayloadBytes];
  if (is < was)
    throw new SpdkError('EIO', `the export is another than before: it took ${was} bytes at once, now ${is}`);
}

export class Link {
  readonly #name: string;
  readonly #options: LinkOptions;
  readonly #socks: SockGroup;
  readonly #channel: InitiatorChannel;
  readonly #host: LinkHost;
  readonly #abort = new AbortController();
  #retry: NodeJS.Timeout | null = null;
  #deadline: NodeJS.Timeout | null = null;
  /** The request that had waited longest when `watch` last looked, and for how long it has been that. */
  #oldest = 0;
  #waitedMs = 0;
  /** `watch` has seen that the disk is going. */
  #going = false;
  /** Since the last answer something has gone wrong, which has been said. */
  #failed = false;
  /** Why it could not be connected to since then, as far as it has been said. */
  readonly #reasons = new Set<string>();

  constructor(name: string, options: LinkOptions, socks: SockGroup, channel: InitiatorChannel, host: LinkHost) {
    this.#host = host;
    this.#name = name;
    this.#options = options;
    this.#socks = socks;
    this.#channel = channel;
    this.connect();
  }

  /** The first connection, or another. */
  connect(): void {
    this.#limitWait();
    this.#attempt().catch((error) => this.#tryAgain(error));
  }

  /** From now on there is no connection. When there is one in the end, `watch` counts for each request what that has waited itself. */
  #limitWait(): void {
    this.#deadline ??= setTimeout(() => {
      this.#deadline = null;
      this.#channel.refuseUnlessConnected();
    }, this.#options.ioTimeoutMs);
  }

  /** `proven`: it was good for something. Else the server may break off each time, and is given a rest. */
  lost(reason: string, proven: boolean): void {
    const { address, reconnectDelayMs } = this.#options;
    if (proven || !this.#failed) {
      initiatorLog.warn(`bdev "${this.#name}": the connection to ${addressText(address)} is lost: ${reason}`);
    }
    this.#fail();
    if (this.#host.isGoing()) this.#channel.refuse();
    else if (proven) this.connect();
    else {
      this.#limitWait();
      this.#retry = setTimeout(() => this.connect(), reconnectDelayMs);
    }
  }

  /** The server answers: whoever waits has not waited in vain. */
  proven(): void {
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#deadline = null;
    if (!this.#failed) return;
    initiatorLog.notice(`bdev "${this.#name}": ${addressText(this.#options.address)} answers again`);
    this.#failed = false;
    this.#reasons.clear();
    this.#host.news('back');
  }

  #fail(): void {
    if (!this.#failed) this.#host.news('lost');
    this.#failed = true;
  }

  /**
   * Ends the wait for a server that keeps the connection and says nothing; called every WATCH_MS. It counts calls instead of asking a clock: a machine that slept has not waited.
   * False when no request waits.
   */
  watch(): boolean {
    const { oldest } = this.#channel;
    this.#waitedMs = oldest === this.#oldest ? this.#waitedMs + WATCH_MS : 0;
    this.#oldest = oldest;
    if (oldest === 0) return false;
    const { ioTimeoutMs } = this.#options;
    const going = this.#host.isGoing();
    // What it has waited before does not count for the farewell.
    if (going && !this.#going) this.#waitedMs = 0;
    this.#going = going;
    // Without a time-out a lost server is not waited for; a slow one is.
    const most = ioTimeoutMs === 0 ? Number.POSITIVE_INFINITY : ioTimeoutMs;
    if (this.#waitedMs >= (going ? Math.min(most, FAREWELL_MS) : most)) this.#channel.refuse();
    else if (going) this.#channel.refuseUnlessConnected();
    return true;
  }

  async #attempt(): Promise<void> {
    const { address, exportName, remote } = this.#options;
    const { signal } = this.#abort;
    const found = await connectNbd(address, exportName, signal);
    try {
      checkSame(found.remote, remote, this.#host.sizeBytes());
    } catch (error) {
      found.socket.destroy();
      throw error;
    }
    if (signal.aborted) {
      found.socket.destroy();
      return;
    }
    const fd = handOver(this.#socks, found.socket);
    if (fd < 0) throw new SpdkError('EMFILE', 'no descriptor is left');
    this.#channel.attach(fd);
    this.#host.grown(found.remote.sizeBytes);
  }

  #tryAgain(error: unknown): void {
    if (this.#abort.signal.aborted) return;
    if (this.#host.isGoing()) {
      this.#channel.refuse();
      return;
    }
    const { reconnectDelayMs } = this.#options;
    const reason = explain(error);
    // Each once: it may be gone first, and another when it is back. What a server says is part of it.
    if (!this.#reasons.has(reason) && this.#reasons.size < REASONS_MAX) {
      this.#reasons.add(reason);
      initiatorLog.warn(`bdev "${this.#name}": ${reason}; tried again every ${reconnectDelayMs} ms`);
    }
    this.#fail();
    this.#retry = setTimeout(() => this.connect(), reconnectDelayMs);
  }

  /** No further attempt. */
  close(): void {
    if (this.#failed && !this.#abort.signal.aborted) this.#host.news('closed');
    this.#abort.abort();
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#deadline !== null) clearTimeout(this.#deadline);
  }
}
