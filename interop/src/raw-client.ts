// A small NBD client that does what it is told, right or wrong: the clients that people use refuse to send what a hostile peer would.
//
// Fixed newstyle and simple replies only, as the NBD protocol document has them (doc/proto.md of the NetworkBlockDevice project).

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connectOptions, type Server } from './nbd-server.ts';

export const command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const;
export const commandFlag = { fua: 1, noHole: 2, df: 4, reqOne: 8, fastZero: 16 } as const;

const optionMagic = 0x49484156454f5054n;
const requestMagic = 0x25609513;
const replyMagic = 0x67446698;
const clientFlags = 3;
const exportNameOption = 1;

export interface Request {
  readonly type: number;
  readonly flags?: number;
  readonly offset?: number | bigint;
  readonly length?: number;
  readonly data?: Uint8Array;
  readonly magic?: number;
}

/** A connection. Nothing reads from it but `receive`; whoever opened it closes it. */
export class RawClient {
  readonly socket: Socket;
  readonly #waiting: (() => void)[] = [];
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #ended = false;
  #cookie = 0n;

  private constructor(socket: Socket) {
    this.socket = socket;
    const wake = () => {
      for (const resolve of this.#waiting.splice(0)) resolve();
    };
    socket.on('data', (bytes) => {
      this.#received.push(bytes);
      this.#receivedBytes += bytes.length;
      wake();
    });
    // An end by the server is an answer here, whatever form it takes.
    for (const event of ['end', 'error', 'close']) {
      socket.on(event, () => {
        this.#ended = true;
        wake();
      });
    }
  }

  /** Connects, and says nothing yet. */
  static async connect(server: Server): Promise<RawClient> {
    const socket = connect(connectOptions(server.address));
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Connects, and goes on to where commands can be sent. */
  static async open(server: Server): Promise<RawClient> {
    const client = await RawClient.connect(server);
    // Greeting: two magic numbers and the handshake flags.
    await client.receive(18);
    client.send(u32(clientFlags));
    client.sendOption(exportNameOption, Buffer.from(server.exportName));
    // The export's size and transmission flags; no zero padding, since it was declined.
    await client.receive(10);
    return client;
  }

  send(bytes: Uint8Array): void {
    if (!this.#ended) this.socket.write(bytes);
  }

  sendOption(option: number, data: Uint8Array, length = data.length): void {
    const header = Buffer.alloc(16);
    header.writeBigUInt64BE(optionMagic, 0);
    header.writeUInt32BE(option, 8);
    header.writeUInt32BE(length, 12);
    this.send(Buffer.concat([header, data]));
  }

  /** Sends a request and returns its cookie. */
  sendRequest({ type, flags = 0, offset = 0, length, data, magic = requestMagic }: Request): bigint {
    const header = Buffer.alloc(28);
    const cookie = ++this.#cookie;
    header.writeUInt32BE(magic, 0);
    header.writeUInt16BE(flags, 4);
    header.writeUInt16BE(type, 6);
    header.writeBigUInt64BE(cookie, 8);
    header.writeBigUInt64BE(BigInt.asUintN(64, BigInt(offset)), 16);
    header.writeUInt32BE(length ?? data?.length ?? 0, 24);
    this.send(data === undefined ? header : Buffer.concat([header, data]));
    return cookie;
  }

  /** The next `bytes` bytes. @throws when the server ends the connection first */
  async receive(bytes: number, timeoutMs = 30_000): Promise<Buffer> {
    const until = performance.now() + timeoutMs;
    while (this.#receivedBytes < bytes) {
      if (this.#ended) throw new Error('the server ended the connection');
      const left = until - performance.now();
      if (left <= 0) throw new Error(`no ${bytes} bytes within ${timeoutMs / 1000} s, but ${this.#receivedBytes}`);
      await this.#more(left);
    }
    return this.#take(bytes);
  }

  /** One request and its reply: the error number (0 is success), and what was read. */
  async request(request: Request): Promise<{ readonly error: number; readonly data: Buffer }> {
    const cookie = this.sendRequest(request);
    const reply = await this.receive(16);
    if (reply.readUInt32BE(0) !== replyMagic) throw new Error(`a reply that begins with ${reply.toString('hex')}`);
    if (reply.readBigUInt64BE(8) !== cookie)
      throw new Error(`a reply to ${reply.readBigUInt64BE(8)}, not to ${cookie}`);
    const error = reply.readUInt32BE(4);
    const reads = request.type === command.read && error === 0;
    return { error, data: reads ? await this.receive(request.length ?? 0) : Buffer.alloc(0) };
  }

  /** Resolves to true when the server ends the connection, false when it has not within `timeoutMs`. */
  async ended(timeoutMs = 30_000): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    while (!this.#ended && performance.now() < until) await this.#more(until - performance.now());
    return this.#ended;
  }

  close(): void {
    this.socket.destroy();
  }

  /** Takes `bytes` of what has been received, which are there. */
  #take(bytes: number): Buffer {
    const parts: Buffer[] = [];
    for (let missing = bytes; missing > 0; ) {
      const first = this.#received[0]!;
      parts.push(first.subarray(0, missing));
      if (first.length > missing) this.#received[0] = first.subarray(missing);
      else this.#received.shift();
      missing -= Math.min(missing, first.length);
    }
    this.#receivedBytes -= bytes;
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts, bytes);
  }

  async #more(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      if (timeoutMs !== Number.POSITIVE_INFINITY) timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
  }
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
