/**
 * Everything of the NBD target that lives on one reactor: its sockets, connections, exports and their memory.
 *
 * Polled each turn: it hands sockets their turn and runs the connections that have something to do, once each, however many of
 * their I/Os completed. It owns no policy: which connection comes to which group is the target's business (target.ts, on the app
 * core), which talks to groups by the control calls of group-control.ts.
 */
import { Extents } from '../bdev/index.ts';
import { Cpuset } from '../env/cpuset.ts';
import { defineEvent } from '../env/event-fn.ts';
import { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import type { Segment } from '../env/segment.ts';
import { currentReactor, localKey, type Reactor } from '../event/index.ts';
import { LineLimit, log } from '../log/index.ts';
import { openSockGroup, type SockGroup } from '../sock/index.ts';
import { type Poller, Thread } from '../thread/index.ts';
import { DESCRIPTORS_MAX } from './block-status.ts';
import { Connection, type ConnectionHost } from './connection.ts';
import { Deadlines } from './deadlines.ts';
import { type ExportConfig, NbdExport } from './export.ts';
import { LanePool } from './lane.ts';
import type { BufferPoolPort, ExportPort } from './ports.ts';

const nbdLog = log.register('nbd');
/** How often handshakes and drains are looked at. */
const WATCH_MS = 500;

/** What the app core hears from groups: target.ts listens. */
export const groupEvents = localKey('nbd.group_events', () => ({
  connectionGone: (_id: number): void => {},
  exportRemoved: (_name: string): void => {},
}));
const connectionGone = defineEvent('nbd.connection.gone', (id) =>
  currentReactor().local(groupEvents).connectionGone(id),
);

/** A connection as nbd_get_connections shows it. */
export interface ConnectionInfo {
  readonly id: number;
  readonly core: number;
  readonly peer: string;
  readonly state: 'handshake' | 'transmission' | 'closing';
  readonly export: string;
  readonly structured_replies: boolean;
  readonly requests_in_progress: number;
  readonly reads: number;
  readonly read_bytes: number;
  readonly writes: number;
  readonly written_bytes: number;
  readonly other_requests: number;
  readonly errors: number;
}

export class PollGroup implements ConnectionHost {
  readonly reactor: Reactor;
  /** Its lightweight thread, pinned to this core. */
  readonly thread: Thread;
  readonly socks: SockGroup;
  readonly buffers: BufferPoolPort;
  readonly lanes = new LanePool();
  readonly extents = new Extents(DESCRIPTORS_MAX);
  readonly exports = new Map<string, NbdExport>();
  /** Whose bdev goes by itself, until it is closed. */
  readonly #leaving = new Map<NbdExport, Promise<void>>();
  readonly connections = new Map<number, Connection>();
  /** Connections to run at the next poll, and the list of the poll that is under way. */
  #dirty: Connection[] = [];
  #dirtyCount = 0;
  #spare: Connection[] = [];
  readonly #deadlines = new Deadlines();
  readonly #brokenLines = new LineLimit(limits.nbd_broken_lines);
  readonly #poller: Poller;
  #watch: NodeJS.Timeout | null = null;
  #whenEmpty: (() => void)[] = [];

  constructor(reactor: Reactor) {
    this.reactor = reactor;
    this.socks = openSockGroup(reactor);
    this.buffers = reactor.iobuf;
    const name = `nbd_poll_group_${reactor.index}`;
    const cpumask = new Cpuset([reactor.core]);
    this.thread = Thread.create(reactor, { name, cpumask }) as Thread; // this core, so it is the Thread itself
    this.#poller = this.thread.run(() =>
      this.thread.registerPoller({ name: 'nbd_poll_group', fn: pollGroup, ctx: this, sleepable: true }),
    );
  }

  poll(): number {
    let done = this.socks.poll();
    const first = this.#deadlines.firstUs;
    if (first > 0 && this.reactor.clock.nowUs >= first) {
      done += this.#deadlines.run(this.reactor.clock.nowUs);
      this.reactor.napUntilUs = this.#deadlines.firstUs;
    }
    const count = this.#dirtyCount;
    if (count === 0) return done;
    const list = this.#dirty;
    this.#dirty = this.#spare;
    this.#spare = list;
    this.#dirtyCount = 0;
    for (let i = 0; i < count; i++) list[i].run();
    done += count;
    return done;
  }

  // ---- ConnectionHost

  newIoVecs(): IoVecs {
    return new IoVecs(limits.nbd_send_iovs);
  }
  nowUs(): number {
    return this.reactor.clock.nowUs;
  }
  dirty(connection: Connection): void {
    this.#dirty[this.#dirtyCount++] = connection;
    this.reactor.kick();
  }
  get mayGather(): boolean {
    return this.reactor.naps;
  }
  gathers(change: 1 | -1): void {
    this.reactor.gatherers += change;
  }
  awaits(change: 1 | -1): void {
    this.reactor.awaited += change;
  }
  setDeadline(connection: Connection, dueUs: number): void {
    this.#deadlines.set(connection, dueUs);
    this.reactor.napUntilUs = this.#deadlines.firstUs;
  }
  entered(connection: Connection): void {
    (connection.export as NbdExport).enter(connection);
  }
  broken(connection: Connection, reason: string): void {
    if (!this.#brokenLines.allows(this.reactor.clock.nowUs)) return;
    const { note } = this.#brokenLines;
    nbdLog.warn(() => `connection ${connection.id} from ${connection.sock.peer} is closed: ${reason}${note}`);
  }
  gone(connection: Connection): void {
    this.connections.delete(connection.id);
    this.lanes.put(connection.lane);
    if (!connection.inHandshake) (connection.export as NbdExport).leave(connection);
    if (this.connections.size === 0) {
      this.#unwatch();
      for (const resolve of this.#whenEmpty.splice(0)) resolve();
    }
    this.reactor.send(this.reactor.app.mainCore, connectionGone, connection.id, 0, 0);
  }
  find(name: string): ExportPort | null {
    const found = this.exports.get(name);
    if (found !== undefined || name !== '') return found ?? null;
    for (const first of this.exports.values()) return first;
    return null;
  }
  list(): Iterable<ExportPort> {
    return this.exports.values();
  }

  // ---- control

  addLanes(segment: Segment): void {
    this.lanes.add(segment);
  }

  /** Takes a connected socket over. There is a lane for it: the target sees to that. */
  adopt(id: number, fd: number, peer: string): void {
    const lane = this.lanes.take();
    // The socket needs its handler, and the handler its socket.
    const early = { onRecv: () => {}, onSent: () => {}, onClose: () => {} };
    const sock = this.socks.adopt(fd, early, peer);
    const connection = new Connection(id, sock, lane, this);
    sock.handler = connection;
    this.connections.set(id, connection);
    nbdLog.info(() => `connection ${id} from ${peer} on core ${this.reactor.core}`);
    connection.run();
    this.#watch ??= setInterval(() => this.look(this.reactor.clock.read()), WATCH_MS).unref();
  }

  /** @throws {SpdkError} what opening the bdev throws. */
  openExport(config: ExportConfig, onRemoved: (exp: NbdExport) => void): void {
    this.thread.run(() => this.exports.set(config.name, new NbdExport(config, this.reactor, onRemoved)));
  }

  /** Resolves when its connections here are gone and the bdev is closed. */
  async closeExport(name: string): Promise<void> {
    const found = this.exports.get(name);
    if (found === undefined) return;
    this.exports.delete(name);
    await found.remove();
  }

  /** The bdev of an export goes by itself. */
  exportGoes(exp: NbdExport): void {
    if (this.exports.get(exp.name) === exp) this.exports.delete(exp.name);
    const closed = exp.remove().then(() => void this.#leaving.delete(exp));
    this.#leaving.set(exp, closed);
  }

  /** Resolves when those of that name that `exportGoes` named are closed. */
  async removalOf(name: string): Promise<void> {
    await Promise.all([...this.#leaving].filter(([exp]) => exp.name === name).map(([, closed]) => closed));
  }

  /** Closes one connection, in order. */
  drain(id: number): void {
    this.connections.get(id)?.drain();
  }

  /** Lets all connections finish, closes exports and sockets. The reactor goes on polling until it resolves. */
  async close(): Promise<void> {
    for (const connection of [...this.connections.values()]) connection.drain();
    if (this.connections.size > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    await Promise.all([...this.exports.keys()].map((name) => this.closeExport(name)));
    await this.socks.close();
    this.#unwatch();
    this.thread.run(() => {
      this.#poller.unregister();
      this.thread.exit();
    });
  }

  /** Silent handshakes, drains that do not end, and clients that sit on the last buffers. `now`: µs on the reactor's clock. */
  look(now: number): void {
    const dry = this.#poolIsDry();
    for (const connection of [...this.connections.values()]) {
      const silentMs = (now - connection.progressUs[0]) / 1000;
      if (connection.inHandshake && silentMs > limits.nbd_handshake_idle_ms) {
        connection.fail(`it was silent for ${limits.nbd_handshake_idle_ms} ms in the handshake`);
      } else if (connection.drainingSinceUs > 0 && now - connection.drainingSinceUs > limits.nbd_drain_ms * 1000) {
        connection.fail(`${connection.holdUp} within ${limits.nbd_drain_ms} ms`);
      } else if (silentMs > limits.nbd_stall_ms && connection.hoards(dry)) {
        connection.fail(`it held I/O buffers, of which none were left, and was silent for ${limits.nbd_stall_ms} ms`);
      }
    }
  }

  /** Nobody gets a buffer of one kind: all are out, or others wait already. */
  #poolIsDry(): boolean {
    const small = this.buffers.getSmall();
    if (small !== null) this.buffers.put(small);
    const large = this.buffers.getLarge();
    if (large !== null) this.buffers.put(large);
    return small === null || large === null;
  }

  #unwatch(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
  }

  /** All connections, for nbd_get_connections. */
  info(): ConnectionInfo[] {
    return [...this.connections.values()].map((connection) => {
      const { stats } = connection;
      return {
        id: connection.id,
        core: this.reactor.core,
        peer: connection.sock.peer,
        state: connection.closing ? 'closing' : connection.inHandshake ? 'handshake' : 'transmission',
        export: connection.inHandshake ? '' : connection.export.name,
        structured_replies: connection.structured,
        requests_in_progress: connection.inProgress,
        reads: stats[0],
        read_bytes: stats[1],
        writes: stats[2],
        written_bytes: stats[3],
        other_requests: stats[4],
        errors: stats[5],
      };
    });
  }
}

/** What the thread calls each turn; whatever it looks at wakes the reactor by itself. */
function pollGroup(group: PollGroup): number {
  return group.poll();
}

/** The group of a reactor, once the target has made it. */
export const pollGroups = localKey('nbd.poll_group', () => ({ group: null as PollGroup | null }));
