/**
 * What the tests of sockets share: a polled group of either backend, handlers that record or echo, clients.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { IoVecs } from '../env/iovecs.ts';
import { makeSegment, type Segment } from '../env/segment.ts';
import { Ring } from '../env/uring.ts';
import { type Listener, listen, openSockGroup, type Sock, type SockAddress, type SockGroup } from './index.ts';

const opened = Ring.open();
export const noRing = opened instanceof Ring ? '' : opened.reason;
if (opened instanceof Ring) opened.close();

/** A reactor's share in this: it polls the group and the ring from an ordinary immediate. */
export class Bench {
  readonly ring: Ring | null;
  readonly group: SockGroup;
  #running = true;
  readonly #stopped: Promise<void>;

  constructor(backend: string) {
    const ring = backend === 'uring' ? Ring.open({ entries: 64 }) : null;
    assert.ok(ring === null || ring instanceof Ring);
    this.ring = ring;
    this.group = openSockGroup({ ring });
    assert.equal(this.group.backend, backend);
    this.#stopped = new Promise((resolve, reject) => {
      const turn = () => {
        try {
          this.ring?.poll();
          this.group.poll();
        } catch (error) {
          reject(error);
          return;
        }
        if (this.#running) setImmediate(turn);
        else resolve();
      };
      setImmediate(turn);
    });
  }

  async stop(): Promise<void> {
    await this.group.close();
    assert.equal(this.group.count, 0);
    this.#running = false;
    await this.#stopped;
    assert.equal(this.ring?.inFlight ?? 0, 0);
    this.ring?.close();
  }
}

/** Keeps one connection's callbacks; `next` resolves with the following one. */
export class Recorder {
  sock!: Sock;
  readonly events: [string, number][] = [];
  #wake: () => void = () => {};
  #seen = 0;
  onRecv(bytes: number): void {
    this.#add('recv', bytes);
  }
  onSent(result: number): void {
    this.#add('sent', result);
  }
  onClose(): void {
    this.#add('close', 0);
  }
  #add(kind: string, value: number): void {
    this.events.push([kind, value]);
    this.#wake();
  }
  async next(): Promise<[string, number]> {
    while (this.events.length === this.#seen) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.events[this.#seen++];
  }
}

/** Sends back what comes, `bytes` at a time. */
export class Echo {
  sock!: Sock;
  closed = false;
  readonly segment: Segment;
  readonly bytes: number;
  readonly #iovs = new IoVecs(300);
  constructor(bytes: number) {
    this.segment = makeSegment(1, new SharedArrayBuffer(Math.max(bytes, 4096)));
    this.bytes = bytes;
  }
  start(sock: Sock): void {
    this.sock = sock;
    sock.recv(this.segment, 0, this.bytes);
  }
  onRecv(bytes: number): void {
    if (bytes <= 0) {
      this.sock.close();
      return;
    }
    this.#iovs.reset();
    // In many pieces, more than one call to the kernel takes.
    const piece = Math.max(1, Math.ceil(bytes / 300));
    for (let at = 0; at < bytes; at += piece) this.#iovs.push(this.segment, at, Math.min(piece, bytes - at));
    this.sock.send(this.#iovs);
  }
  onSent(result: number): void {
    if (result < 0) this.sock.close();
    else this.sock.recv(this.segment, 0, this.bytes);
  }
  onClose(): void {
    this.closed = true;
  }
}

export function vector(segment: Segment, bytes: number): IoVecs {
  const iovs = new IoVecs(4);
  iovs.push(segment, 0, bytes);
  return iovs;
}

export function scratch(bytes = 65536): Segment {
  return makeSegment(1, new SharedArrayBuffer(bytes));
}

export function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-sock-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

export function connect(listener: Listener, allowHalfOpen = true): Promise<Socket> {
  const where = listener.port === 0 ? { path: listener.address } : { port: listener.port, host: hostOf(listener) };
  const socket = createConnection({ ...where, allowHalfOpen });
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

function hostOf(listener: Listener): string {
  return listener.address.slice(0, listener.address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

export function closed(socket: Socket): Promise<void> {
  socket.on('error', () => {});
  return new Promise((resolve) => (socket.closed ? resolve() : socket.once('close', () => resolve())));
}

/** One listener, one connected client, the server's side in a recorder. */
export async function pair(bench: Bench, address: SockAddress) {
  const recorder = new Recorder();
  let accepted: (sock: Sock) => void;
  const adopted = new Promise<Sock>((resolve) => {
    accepted = resolve;
  });
  const listener = await listen(bench.group, address, {
    onAccept: (fd, peer) => accepted(bench.group.adopt(fd, recorder, peer)),
  });
  const client = await connect(listener);
  recorder.sock = await adopted;
  return { listener, client, recorder, sock: recorder.sock };
}

export const TCP = { host: '127.0.0.1', port: 0 };

type Body = (t: TestContext, bench: Bench) => Promise<void>;

/** Calls `define` for each backend with a `check` that runs a test body beside a polled group. */
export function onEachBackend(
  define: (check: (name: string, body: Body, skip?: boolean | string) => void) => void,
): void {
  for (const backend of ['uring', 'node']) {
    define((name, body, skip = false) => {
      test(`${backend}: ${name}`, { skip: backend === 'uring' && noRing !== '' ? noRing : skip }, async (t) => {
        const bench = new Bench(backend);
        await body(t, bench);
        await bench.stop();
      });
    });
  }
}
