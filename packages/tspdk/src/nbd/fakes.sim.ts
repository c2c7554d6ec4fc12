/**
 * Stand-ins for what an NBD connection needs: a socket, a buffer pool and a disk in this process's memory, and the client's side of the
 * protocol written a second time, so that a mistake in wire.ts does not agree with itself.
 *
 * Nothing happens by itself: `World.step()` lets one thing happen (bytes arrive, a send ends, an I/O completes), chosen by a seeded random
 * number, so any order can be played and played again.
 */
import assert from 'node:assert/strict';
import { Extents } from '../bdev/index.ts';
import { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import { Random } from '../env/random.ts';
import { copyBytes, fillBytes, makeSegment, type Segment } from '../env/segment.ts';
import { Connection, type ConnectionHost } from './connection.ts';
import { LANE_BYTES, LanePool } from './lane.ts';
import type {
  BufferPoolPort,
  BufferPort,
  BufferWaiterPort,
  ChannelPort,
  ExportPort,
  IoDone,
  IoWaitPort,
  SockPort,
} from './ports.ts';
import { WRITE_BUFFERS, WriteBuffers, writeBufferBytes } from './write-buffers.ts';

let segments = 1;
function newSegment(bytes: number): Segment {
  return makeSegment(segments++, new SharedArrayBuffer(bytes));
}

/** A socket whose peer is the test. */
export class FakeSock implements SockPort {
  readonly peer = 'fake';
  handler!: { onRecv(bytes: number): void; onSent(result: number): void; onClose(): void };
  /** What the peer has said and nobody has read yet. */
  #incoming: Uint8Array[] = [];
  /** What the peer has heard. */
  readonly output: Uint8Array[] = [];
  #recv: { segment: Segment; offset: number; bytes: number } | null = null;
  #send: IoVecs | null = null;
  #eof = false;
  #error = 0;
  closed = false;
  /** The peer does not read. */
  stuck = false;
  /** The most that arrives at once. */
  chunkBytes = Number.POSITIVE_INFINITY;

  say(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#incoming.push(bytes);
  }
  end(): void {
    this.#eof = true;
  }
  /** The next receive fails with this errno. */
  break(errno: number): void {
    this.#error = errno;
  }
  get unread(): number {
    return this.#incoming.reduce((sum, part) => sum + part.length, 0);
  }
  heard(): Uint8Array {
    const all = new Uint8Array(this.output.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.output) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  gathers = false;
  get drained(): boolean {
    return this.#incoming.length === 0;
  }
  #next: { segment: Segment; offset: number; bytes: number } | null = null;
  recv(segment: Segment, offset: number, bytes: number): void {
    if (this.#recv !== null) throw new Error('two receives at once');
    if (this.closed) throw new Error('receive on a closed socket');
    if (!(bytes > 0)) throw new Error(`receive of ${bytes} bytes`);
    this.#recv = { segment, offset, bytes };
  }
  recvTwo(segment: Segment, offset: number, bytes: number, next: Segment, nextOffset: number, nextBytes: number): void {
    this.recv(segment, offset, bytes);
    this.#next = { segment: next, offset: nextOffset, bytes: nextBytes };
  }
  hurry(): void {}
  send(iovs: IoVecs): void {
    if (this.#send !== null) throw new Error('two sends at once');
    if (this.closed) throw new Error('send on a closed socket');
    this.#send = iovs;
  }
  close(): void {
    this.closed = true;
  }

  canReceive(): boolean {
    return this.#recv !== null && !this.closed && (this.#incoming.length > 0 || this.#eof || this.#error !== 0);
  }
  canSend(): boolean {
    return this.#send !== null && !this.closed && !this.stuck;
  }
  canClose(): boolean {
    return this.closed && !this.#told;
  }
  #told = false;

  doReceive(max: number): void {
    const recv = this.#recv!;
    this.#recv = null;
    if (this.#error !== 0) {
      this.handler.onRecv(-this.#error);
      return;
    }
    const first = this.#incoming[0];
    if (first === undefined) {
      this.handler.onRecv(0);
      return;
    }
    const bytes = Math.min(recv.bytes, first.length, max, this.chunkBytes);
    recv.segment.u8.set(first.subarray(0, bytes), recv.offset);
    // What is left of the chunk may go to the second place.
    const next = this.#next;
    this.#next = null;
    const more = next === null || bytes < recv.bytes ? 0 : Math.min(next.bytes, first.length - bytes);
    if (more > 0) next!.segment.u8.set(first.subarray(bytes, bytes + more), next!.offset);
    if (bytes + more === first.length) this.#incoming.shift();
    else this.#incoming[0] = first.subarray(bytes + more);
    this.handler.onRecv(bytes + more);
  }
  doSend(): void {
    const iovs = this.#send!;
    this.#send = null;
    for (let i = 0; i < iovs.count; i++) {
      this.output.push(iovs.segment[i]!.u8.slice(iovs.offset[i], iovs.offset[i] + iovs.bytes[i]));
    }
    this.handler.onSent(iovs.totalBytes);
  }
  doClose(): void {
    this.#told = true;
    if (this.#recv !== null) {
      this.#recv.segment.u8.fill(0xdb, this.#recv.offset, this.#recv.offset + 1); // the kernel may write until here
      this.#recv = null;
    }
    if (this.#send !== null) {
      this.#send = null;
      this.handler.onSent(-125);
    }
    this.handler.onClose();
  }
}

class FakeBuffer implements BufferPort {
  readonly segment: Segment;
  readonly offset: number;
  readonly sizeBytes: number;
  taken = false;
  constructor(segment: Segment, offset: number, sizeBytes: number) {
    this.segment = segment;
    this.offset = offset;
    this.sizeBytes = sizeBytes;
  }
}

/** A small pool, so that tests run out of it. Waiters are served in order, when a buffer is put. */
export class FakePool implements BufferPoolPort {
  readonly #small: FakeBuffer[] = [];
  readonly #large: FakeBuffer[] = [];
  #waitSmall: BufferWaiterPort[] = [];
  #waitLarge: BufferWaiterPort[] = [];
  readonly total: number;
  readonly smallBytes = limits.iobuf_small_bytes;
  readonly largeBytes = limits.iobuf_large_bytes;

  constructor(small: number, large: number) {
    const segment = newSegment(small * limits.iobuf_small_bytes + large * limits.iobuf_large_bytes);
    let at = 0;
    for (let i = 0; i < small; i++, at += limits.iobuf_small_bytes) {
      this.#small.push(new FakeBuffer(segment, at, limits.iobuf_small_bytes));
    }
    for (let i = 0; i < large; i++, at += limits.iobuf_large_bytes) {
      this.#large.push(new FakeBuffer(segment, at, limits.iobuf_large_bytes));
    }
    this.total = small + large;
  }
  get free(): number {
    return this.#small.length + this.#large.length;
  }
  get waiting(): number {
    return this.#waitSmall.length + this.#waitLarge.length;
  }
  getSmall(): BufferPort | null {
    return this.#take(this.#small);
  }
  getLarge(): BufferPort | null {
    return this.#take(this.#large);
  }
  #take(list: FakeBuffer[]): BufferPort | null {
    const buf = list.pop();
    if (buf === undefined) return null;
    buf.taken = true;
    return buf;
  }
  put(buf: BufferPort): void {
    const own = buf as FakeBuffer;
    if (!own.taken) throw new Error('buffer put twice');
    own.segment.u8.fill(0xdd, own.offset, own.offset + 64);
    const small = own.sizeBytes === limits.iobuf_small_bytes;
    const waiter = (small ? this.#waitSmall : this.#waitLarge).shift();
    if (waiter !== undefined) {
      waiter.onBuf(own);
      return;
    }
    own.taken = false;
    (small ? this.#small : this.#large).push(own);
  }
  waitSmall(waiter: BufferWaiterPort): void {
    if (this.#small.length > 0) throw new Error('waits though there is one');
    this.#waitSmall.push(waiter);
  }
  waitLarge(waiter: BufferWaiterPort): void {
    if (this.#large.length > 0) throw new Error('waits though there is one');
    this.#waitLarge.push(waiter);
  }
  cancelWait(waiter: BufferWaiterPort): boolean {
    if (!this.#waitSmall.includes(waiter) && !this.#waitLarge.includes(waiter)) throw new Error('does not wait');
    this.#waitSmall = this.#waitSmall.filter((other) => other !== waiter);
    this.#waitLarge = this.#waitLarge.filter((other) => other !== waiter);
    return true;
  }
}

export interface FakeExportOptions {
  name?: string;
  sizeBytes?: number;
  blockBytes?: number;
  memory?: boolean;
  readOnly?: boolean;
  volatileCache?: boolean;
  fastZero?: boolean;
  /** I/Os that the disk takes at once; more get -ENOMEM. */
  depth?: number;
  /** It is written in whole units only. */
  writeUnitBytes?: number;
}

/** A disk in memory that is reached by I/O (completing when the test says so), and in place if `memory`. */
export class FakeExport implements ExportPort, ChannelPort {
  readonly name: string;
  readonly description = 'a fake disk';
  sizeBytes: number;
  readonly flags = 0x56d;
  readonly minBlockBytes: number;
  readonly preferredBlockBytes = 4096;
  readonly blockBytes: number;
  readonly readOnly: boolean;
  removed = false;
  readonly memory: boolean;
  readonly canTrim = true;
  readonly canFlush = true;
  readonly fastZero: boolean;
  readonly volatileCache: boolean;
  readonly writeBuffers: WriteBuffers | null;
  readonly channel: ChannelPort = this;
  connection = 0;
  readonly disk: Segment;
  /** The disk's memory is handed out in parts of this size. */
  partBytes = Number.POSITIVE_INFINITY;
  /** In place it cannot be reached, and whether it says so before it is asked. */
  gated = false;
  gatedUnawares = false;
  /** Completed with this status instead of being carried out. */
  failWith = 0;
  flushes = 0;
  /** Announced changes in place that are not done. */
  writing = 0;
  readonly #depth: number;
  readonly #writeUnitBytes: number;
  readonly pending: { run(): number; done: IoDone; ctx: unknown }[] = [];
  readonly #waiting: IoWaitPort[] = [];

  constructor(options: FakeExportOptions = {}) {
    this.name = options.name ?? 'disk';
    this.sizeBytes = options.sizeBytes ?? 1024 * 1024;
    this.blockBytes = options.blockBytes ?? 512;
    this.memory = options.memory ?? false;
    this.minBlockBytes = this.memory ? 1 : this.blockBytes;
    this.readOnly = options.readOnly ?? false;
    this.volatileCache = options.volatileCache ?? false;
    this.fastZero = options.fastZero ?? true;
    this.#depth = options.depth ?? Number.POSITIVE_INFINITY;
    this.disk = newSegment(this.sizeBytes);
    this.#writeUnitBytes = options.writeUnitBytes ?? 1;
    const bytes = writeBufferBytes(this.#writeUnitBytes, limits.nbd_piece_bytes);
    this.writeBuffers = bytes === 0 ? null : new WriteBuffers(newSegment(WRITE_BUFFERS * bytes), 0, bytes);
  }

  #io(byteOffset: number, bytes: number, done: IoDone, ctx: unknown, run: () => void): number {
    if (!this.memory && (byteOffset % this.blockBytes !== 0 || bytes % this.blockBytes !== 0)) return -22;
    if (this.pending.length >= this.#depth) return -12;
    this.pending.push({
      run: () => {
        if (this.failWith !== 0) return this.failWith;
        if (byteOffset + bytes > this.sizeBytes) return -22;
        run();
        return 0;
      },
      done,
      ctx,
    });
    return 0;
  }
  complete(index: number): void {
    const [io] = this.pending.splice(index, 1);
    io.done(io.ctx, io.run());
    this.#waiting.shift()?.onReady();
  }

  read(segment: Segment, at: number, byteOffset: number, bytes: number, done: IoDone, ctx: unknown): number {
    return this.#io(byteOffset, bytes, done, ctx, () => copyBytes(segment, at, this.disk, byteOffset, bytes));
  }
  write(segment: Segment, at: number, byteOffset: number, bytes: number, done: IoDone, ctx: unknown): number {
    if (byteOffset % this.#writeUnitBytes !== 0 || bytes % this.#writeUnitBytes !== 0) return -22;
    return this.#io(byteOffset, bytes, done, ctx, () => copyBytes(this.disk, byteOffset, segment, at, bytes));
  }
  unmap(byteOffset: number, bytes: number, done: IoDone, ctx: unknown): number {
    return this.#io(byteOffset, bytes, done, ctx, () => fillBytes(this.disk, byteOffset, bytes, 0));
  }
  writeZeroes(byteOffset: number, bytes: number, _flags: number, done: IoDone, ctx: unknown): number {
    return this.#io(byteOffset, bytes, done, ctx, () => fillBytes(this.disk, byteOffset, bytes, 0));
  }
  flush(_byteOffset: number, _bytes: number, done: IoDone, ctx: unknown): number {
    return this.#io(0, 0, done, ctx, () => {
      this.flushes++;
    });
  }
  get inPlace(): boolean {
    return this.memory && !this.gated;
  }
  queueIoWait(entry: IoWaitPort): void {
    this.#waiting.push(entry);
  }
  zcopy(byteOffset: number, bytes: number, out: IoVecs, write: boolean): boolean {
    if (this.removed || this.gated || this.gatedUnawares) return false;
    const parts = Math.ceil(bytes / this.partBytes);
    if (!this.memory || out.count + parts > out.capacity) return false;
    for (let at = 0; at < bytes; at += this.partBytes) {
      out.push(this.disk, byteOffset + at, Math.min(this.partBytes, bytes - at));
    }
    if (write) this.writing++;
    return true;
  }
  zcopyWritten(): void {
    this.writing--;
  }
  /** Every second 4 KiB is a hole. */
  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    for (let at = byteOffset; at < byteOffset + bytes; ) {
      const end = Math.min(byteOffset + bytes, Math.floor(at / 4096 + 1) * 4096);
      if (!out.push(end - at, Math.floor(at / 4096) % 2 === 1 ? 3 : 0)) break;
      at = end;
    }
    return 0;
  }
}

export interface WorldOptions {
  exports?: FakeExport[];
  small?: number;
  large?: number;
  seed?: number;
}

/** One reactor's worth of NBD, with any number of clients. */
export class World implements ConnectionHost {
  readonly exports: FakeExport[];
  readonly pool: FakePool;
  readonly buffers: BufferPoolPort;
  readonly lanes = new LanePool();
  readonly extents = new Extents(256);
  readonly random: Random;
  readonly connections: Connection[] = [];
  readonly socks: FakeSock[] = [];
  readonly reasons: string[] = [];
  goneCount = 0;
  us = 0;
  #dirty: Connection[] = [];

  constructor(options: WorldOptions = {}) {
    this.exports = options.exports ?? [new FakeExport()];
    this.pool = new FakePool(options.small ?? 8, options.large ?? 4);
    this.buffers = this.pool;
    this.random = new Random(options.seed ?? 1);
    this.lanes.add(newSegment(8 * LANE_BYTES));
  }

  // ConnectionHost
  newIoVecs(): IoVecs {
    return new IoVecs(limits.nbd_send_iovs);
  }
  nowUs(): number {
    return this.us;
  }
  dirty(connection: Connection): void {
    this.#dirty.push(connection);
  }
  readonly mayGather = true;
  gatherers = 0;
  gathers(change: 1 | -1): void {
    this.gatherers += change;
  }
  awaited = 0;
  awaits(change: 1 | -1): void {
    this.awaited += change;
  }
  setDeadline(connection: Connection, dueUs: number): void {
    if (dueUs === 0) return;
    this.us = dueUs;
    this.#dirty.push(connection);
  }
  entered(): void {}
  broken(_connection: Connection, reason: string): void {
    this.reasons.push(reason);
  }
  gone(connection: Connection): void {
    this.goneCount++;
    this.lanes.put(connection.lane);
  }
  find(name: string): ExportPort | null {
    if (name === '') return this.exports[0] ?? null;
    return this.exports.find((exp) => exp.name === name) ?? null;
  }
  list(): Iterable<ExportPort> {
    return this.exports;
  }

  connect(): { sock: FakeSock; connection: Connection } {
    const sock = new FakeSock();
    const connection = new Connection(this.connections.length + 1, sock, this.lanes.take(), this);
    sock.handler = connection;
    this.connections.push(connection);
    this.socks.push(sock);
    connection.run();
    return { sock, connection };
  }

  /** What can happen now. */
  #choices(): (() => void)[] {
    const all: (() => void)[] = [];
    for (const sock of this.socks) {
      if (sock.canReceive()) all.push(() => sock.doReceive(Number.POSITIVE_INFINITY));
      if (sock.canSend()) all.push(() => sock.doSend());
      if (sock.canClose()) all.push(() => sock.doClose());
    }
    for (const exp of this.exports) {
      if (exp.pending.length > 0) all.push(() => exp.complete(this.random.int(exp.pending.length)));
    }
    return all;
  }

  /** Lets one thing happen; false when nothing can. */
  step(): boolean {
    const choices = this.#choices();
    if (choices.length === 0 && this.#dirty.length === 0) return false;
    // The poll group runs dirty connections at the end of a turn: sometimes soon, sometimes after more completions.
    if (choices.length === 0 || (this.#dirty.length > 0 && this.random.int(3) === 0)) this.poll();
    else choices[this.random.int(choices.length)]();
    return true;
  }
  /** What the poll group does each turn. */
  poll(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const connection of dirty) connection.run();
  }
  settle(): void {
    while (this.step());
  }
}

/** After every client has left: nothing is held. */
export function assertQuiet(all: World): void {
  all.settle();
  assert.equal(all.goneCount, all.connections.length, 'every connection is gone');
  assert.equal(all.lanes.freeCount, all.lanes.totalCount, 'every lane is back');
  assert.equal(all.pool.free, all.pool.total, 'every buffer is back');
  assert.equal(all.pool.waiting, 0, 'nobody waits for a buffer');
  for (const exp of all.exports) assert.equal(exp.writing, 0, 'every change in place has been reported');
}
