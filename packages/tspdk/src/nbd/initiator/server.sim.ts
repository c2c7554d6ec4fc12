/** An NBD server that does what a test says, right or wrong, on a socket of Node's: what real servers would not do. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import * as wire from '../wire.ts';

/** A request as it came. */
export interface Asked {
  readonly type: number;
  readonly flags: number;
  readonly cookie: Buffer;
  readonly offset: number;
  readonly length: number;
  readonly data: Buffer;
}

export interface ServerScript {
  sizeBytes: number;
  /** TX_* */
  flags: number;
  structured: boolean;
  /** Instead of the greeting and all that follows. */
  hello?: Buffer;
  /** What an option is answered with, instead of the right thing. */
  option?: ((type: number, socket: Socket) => boolean) | undefined;
  /** What a request is answered with. Default: carried out in `disk`. */
  request?: ((asked: Asked, socket: Socket, server: ScriptedServer) => void) | undefined;
}

const RIGHT: ServerScript = {
  sizeBytes: 1 << 20,
  flags:
    wire.TX_HAS_FLAGS |
    wire.TX_SEND_FLUSH |
    wire.TX_SEND_FUA |
    wire.TX_SEND_TRIM |
    wire.TX_SEND_WRITE_ZEROES |
    wire.TX_CAN_MULTI_CONN,
  structured: true,
};

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export const simple = (cookie: Buffer, error: number): Buffer =>
  Buffer.concat([u32(wire.SIMPLE_REPLY_MAGIC), u32(error), cookie]);

export const chunk = (cookie: Buffer, flags: number, type: number, payload: Buffer): Buffer =>
  Buffer.concat([u32(wire.CHUNK_MAGIC), u16(flags), u16(type), cookie, u32(payload.length), payload]);

export const optionReply = (type: number, reply: number, data = Buffer.alloc(0)): Buffer =>
  Buffer.concat([u32(wire.REP_MAGIC_HI), u32(wire.REP_MAGIC_LO), u32(type), u32(reply), u32(data.length), data]);

export class ScriptedServer {
  readonly script: ServerScript;
  readonly disk: Buffer;
  /** What was asked, oldest first. */
  readonly asked: Asked[] = [];
  connections = 0;
  readonly #sockets = new Set<Socket>();
  #server: Server;
  #port = 0;

  private constructor(script: ServerScript) {
    this.script = script;
    this.disk = Buffer.alloc(script.sizeBytes);
    this.#server = this.#make();
  }

  static async start(script: Partial<ServerScript> = {}): Promise<ScriptedServer> {
    const server = new ScriptedServer({ ...RIGHT, ...script });
    await server.open();
    return server;
  }

  get uri(): string {
    return `nbd://127.0.0.1:${this.#port}/x`;
  }

  /** Listens, again at the same port. */
  async open(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  #make(): Server {
    return createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
      this.#serve(socket).catch(() => socket.destroy());
    });
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Listens no more, and cuts every connection. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
    this.#server = this.#make();
  }

  async #serve(socket: Socket): Promise<void> {
    const { script } = this;
    const read = reader(socket);
    const greeting = Buffer.concat([
      u32(wire.INIT_MAGIC_HI),
      u32(wire.INIT_MAGIC_LO),
      u32(wire.OPTS_MAGIC_HI),
      u32(wire.OPTS_MAGIC_LO),
      u16(wire.FLAG_FIXED_NEWSTYLE | wire.FLAG_NO_ZEROES),
    ]);
    socket.write(script.hello ?? greeting);
    await read(4);
    for (let entered = false; !entered; ) {
      const head = await read(16);
      const type = head.readUInt32BE(8);
      await read(head.readUInt32BE(12));
      if (script.option?.(type, socket) === true) continue;
      entered = type !== wire.OPT_STRUCTURED_REPLY;
      if (type === wire.OPT_EXPORT_NAME) {
        socket.write(Buffer.concat([u64(script.sizeBytes), u16(script.flags)]));
      } else if (type === wire.OPT_STRUCTURED_REPLY) {
        socket.write(optionReply(type, script.structured ? wire.REP_ACK : wire.REP_ERR_UNSUP));
      } else {
        const info = Buffer.concat([u16(wire.INFO_EXPORT), u64(script.sizeBytes), u16(script.flags)]);
        socket.write(Buffer.concat([optionReply(type, wire.REP_INFO, info), optionReply(type, wire.REP_ACK)]));
      }
    }
    for (;;) {
      const head = await read(wire.REQUEST_BYTES);
      const type = head.readUInt16BE(6);
      if (type === wire.CMD_DISC) break;
      const length = head.readUInt32BE(24);
      const asked: Asked = {
        type,
        flags: head.readUInt16BE(4),
        cookie: Buffer.from(head.subarray(8, 16)),
        offset: Number(head.readBigUInt64BE(16)),
        length,
        data: type === wire.CMD_WRITE ? await read(length) : Buffer.alloc(0),
      };
      this.asked.push(asked);
      if (script.request === undefined) this.answer(asked, socket);
      else script.request(asked, socket, this);
    }
    socket.end();
  }

  /** Does what is asked, and answers as one should: reads in two chunks where they are structured, the second first. */
  answer({ type, cookie, offset, length, data }: Asked, socket: Socket): void {
    if (type === wire.CMD_WRITE) data.copy(this.disk, offset);
    if (type === wire.CMD_TRIM || type === wire.CMD_WRITE_ZEROES) this.disk.fill(0, offset, offset + length);
    if (type !== wire.CMD_READ) {
      socket.write(simple(cookie, 0));
      return;
    }
    const bytes = Buffer.from(this.disk.subarray(offset, offset + length));
    if (!this.script.structured) {
      socket.write(Buffer.concat([simple(cookie, 0), bytes]));
      return;
    }
    const half = length / 2;
    const part = (at: number, flags: number): Buffer => {
      const own = bytes.subarray(at, at + half);
      if (own.some((byte) => byte !== 0)) {
        return chunk(cookie, flags, wire.CHUNK_OFFSET_DATA, Buffer.concat([u64(offset + at), own]));
      }
      return chunk(cookie, flags, wire.CHUNK_OFFSET_HOLE, Buffer.concat([u64(offset + at), u32(half)]));
    };
    socket.write(Buffer.concat([part(half, 0), part(0, wire.CHUNK_FLAG_DONE)]));
  }
}

/** Gives the bytes of a socket as they are asked for, one reader at a time. */
function reader(socket: Socket): (bytes: number) => Promise<Buffer> {
  let wake = (): void => {};
  for (const event of ['readable', 'end', 'close']) socket.on(event, () => wake());
  return async (bytes) => {
    if (bytes === 0) return Buffer.alloc(0);
    for (;;) {
      const got = socket.read(bytes) as Buffer | null;
      if (got !== null && got.length === bytes) return got;
      if (socket.readableEnded || socket.destroyed) throw new Error('the client has gone');
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
}
