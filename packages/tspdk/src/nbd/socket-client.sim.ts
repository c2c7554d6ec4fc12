/**
 * An NBD client on a real socket for tests: polite when asked to be, able to send anything. Uses Node's net, so that it shares nothing
 * with the target's sockets.
 */
import { connect, type Socket } from 'node:net';
import type { SockAddress } from '../sock/index.ts';
import {
  cat,
  clientFlags,
  type Expected,
  go,
  metaContext,
  option,
  type Reply,
  type RequestFields,
  request,
} from './client.sim.ts';

/** Bytes of a stream, asked for one after the other. */
class ByteQueue {
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #waiting: { bytes: number; resolve(data: Uint8Array): void; reject(error: Error): void } | null = null;
  #ended: Error | null = null;

  push(part: Uint8Array): void {
    this.#parts.push(part);
    this.#bytes += part.length;
    this.#serve();
  }
  end(error: Error): void {
    this.#ended = error;
    this.#serve();
  }
  take(bytes: number): Promise<Uint8Array> {
    if (this.#waiting !== null) throw new Error('two takes at once');
    return new Promise((resolve, reject) => {
      this.#waiting = { bytes, resolve, reject };
      this.#serve();
    });
  }
  #serve(): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    if (this.#bytes < waiting.bytes) {
      if (this.#ended === null) return;
      this.#waiting = null;
      waiting.reject(this.#ended);
      return;
    }
    this.#waiting = null;
    const all = this.#parts.length === 1 ? this.#parts[0] : cat(...this.#parts);
    const taken = all.subarray(0, waiting.bytes);
    this.#bytes -= waiting.bytes;
    this.#parts = this.#bytes === 0 ? [] : [all.subarray(waiting.bytes)];
    waiting.resolve(taken);
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export class SocketClient {
  readonly socket: Socket;
  readonly #queue = new ByteQueue();
  /** Resolves when the connection has ended, however. */
  readonly closed: Promise<void>;
  structured = false;
  sizeBytes = 0;
  flags = 0;
  readonly #expected = new Map<bigint, Expected & { resolve(reply: Reply): void; reject(error: Error): void }>();
  #cookies = 1n;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data: Uint8Array) => this.#queue.push(data));
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#queue.end(new Error('the connection has ended'));
        resolve();
      });
    });
    socket.once('end', () => this.#queue.end(new Error('the server has ended the stream')));
  }

  static open(address: SockAddress): Promise<SocketClient> {
    return new Promise((resolve, reject) => {
      const socket = 'path' in address ? connect(address.path) : connect(address.port, address.host);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new SocketClient(socket));
      });
    });
  }

  /** Connects and enters the transmission phase. */
  static async enter(address: SockAddress, name = '', structured = true): Promise<SocketClient> {
    const client = await SocketClient.open(address);
    await client.take(18);
    client.say(clientFlags(3));
    if (structured) {
      client.say(cat(option(8), metaContext(10, name, ['base:allocation'])));
      client.structured = true;
    }
    client.say(go(name));
    for (let acks = structured ? 3 : 1; acks > 0; ) {
      const reply = await client.optionReply();
      if (reply.type >= 0x8000_0000) throw new Error(`option ${reply.option}: error ${reply.type & 0x7fff_ffff}`);
      if (reply.type === 1) acks--;
      if (reply.type === 3 && view(reply.data).getUint16(0) === 0) {
        client.sizeBytes = Number(view(reply.data).getBigUint64(2));
        client.flags = view(reply.data).getUint16(10);
      }
    }
    void client.#readReplies();
    return client;
  }

  say(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }
  take(bytes: number): Promise<Uint8Array> {
    return this.#queue.take(bytes);
  }
  async optionReply(): Promise<{ option: number; type: number; data: Uint8Array }> {
    const header = view(await this.take(20));
    if (header.getBigUint64(0) !== 0x3e889045565a9n) throw new Error('wrong magic of an option reply');
    const [number, type, bytes] = [header.getUint32(8), header.getUint32(12), header.getUint32(16)];
    return { option: number, type, data: await this.take(bytes) };
  }

  /** Sends a request; resolves with its reply, rejects when the connection ends first. */
  ask(fields: RequestFields): Promise<Reply> {
    const cookie = this.#cookies++;
    const length = fields.length ?? fields.data?.length ?? 0;
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#expected.set(cookie, { type: fields.type, offset: Number(fields.offset ?? 0), length, resolve, reject });
    });
    reply.catch(() => {});
    this.say(request({ ...fields, cookie }));
    return reply;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { error, data } = await this.ask({ type: 0, offset, length });
    if (error !== 0) throw new Error(`read: error ${error}`);
    return data;
  }
  async write(offset: number, data: Uint8Array, flags = 0): Promise<void> {
    const { error } = await this.ask({ type: 1, offset, data, flags });
    if (error !== 0) throw new Error(`write: error ${error}`);
  }

  /** Says goodbye and waits for the end. */
  async disconnect(): Promise<void> {
    this.say(request({ type: 2 }));
    await this.closed;
  }
  destroy(): void {
    this.socket.destroy();
  }

  async #readReplies(): Promise<void> {
    try {
      for (;;) await this.#readReply();
    } catch (error) {
      for (const { reject } of this.#expected.values()) reject(error as Error);
      this.#expected.clear();
    }
  }

  async #readReply(): Promise<void> {
    const magic = view(await this.take(4)).getUint32(0);
    if (magic === 0x67446698) {
      const header = view(await this.take(12));
      const [error, cookie] = [header.getUint32(0), header.getBigUint64(4)];
      const asked = this.#waiting(cookie);
      const data = asked.type === 0 && error === 0 ? (await this.take(asked.length)).slice() : new Uint8Array(0);
      this.#expected.delete(cookie);
      asked.resolve({ cookie, error, data, extents: [], chunks: 0 });
      return;
    }
    if (magic !== 0x668e33ef) throw new Error(`wrong magic of a reply: ${magic.toString(16)}`);
    await this.#readChunks();
  }

  /** Chunks of different replies do not mix here unless the server mixes them; then this gathers by cookie. */
  readonly #open = new Map<bigint, Reply>();
  async #readChunks(): Promise<void> {
    const header = view(await this.take(16));
    const [flags, type, cookie] = [header.getUint16(0), header.getUint16(2), header.getBigUint64(4)];
    const body = await this.take(header.getUint32(12));
    const asked = this.#waiting(cookie);
    const empty = {
      cookie,
      error: 0,
      data: new Uint8Array(asked.type === 0 ? asked.length : 0),
      extents: [],
      chunks: 0,
    };
    const reply: Reply = this.#open.get(cookie) ?? empty;
    this.#open.set(cookie, reply);
    reply.chunks++;
    if (type === 1) reply.data.set(body.subarray(8), Number(view(body).getBigUint64(0)) - asked.offset);
    else if (type === 0x8001) reply.error = view(body).getUint32(0);
    else if (type === 5) {
      for (let at = 4; at < body.length; at += 8) {
        reply.extents.push({ bytes: view(body).getUint32(at), flags: view(body).getUint32(at + 4) });
      }
    } else if (type !== 0) throw new Error(`unknown chunk type ${type}`);
    if ((flags & 1) === 0) return;
    this.#open.delete(cookie);
    this.#expected.delete(cookie);
    asked.resolve(reply);
  }

  #waiting(cookie: bigint): Expected & { resolve(reply: Reply): void } {
    const asked = this.#expected.get(cookie);
    if (asked === undefined) throw new Error(`a reply to ${cookie}, which nobody asked`);
    return asked;
  }
}
