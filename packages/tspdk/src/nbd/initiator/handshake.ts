/**
 * A connection to a remote NBD server, up to the transmission phase (the protocol document of the NetworkBlockDevice project: fixed newstyle negotiation, structured replies, GO). Control
 * path, on Node's sockets; the server is a stranger, so every length and magic is looked at.
 */
import { connect, type Socket } from 'node:net';
import { SpdkError, toSpdkError } from '../../env/errors.ts';
import { limits } from '../../env/limits.ts';
import { formatHostPort, type SockAddress } from '../../sock/index.ts';
import * as wire from '../wire.ts';

/** What a server says of an export. */
export interface RemoteExport {
  readonly sizeBytes: number;
  /** TX_* */
  readonly flags: number;
  /** 1 when the server names none. */
  readonly minBlockBytes: number;
  readonly preferredBlockBytes: number;
  readonly maxPayloadBytes: number;
  readonly structured: boolean;
}

const OPTION_BYTES = 16;
const REPLY_BYTES = 20;
/** Of an option's reply, as long as a server has reason to be. */
const REPLY_DATA_MAX = 64 * 1024;
const REPLIES_MAX = 1024;
/** Of EXPORT_NAME's answer, where the server did not agree to leave them out. */
const ZEROES_BYTES = 124;
const KEEP_ALIVE_MS = 10_000;

/** The bytes of a socket as they are asked for. */
class Reader {
  readonly #socket: Socket;
  #wanted: { bytes: number; resolve: (bytes: Buffer) => void; reject: (error: Error) => void } | null = null;
  #failure: Error | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('readable', this.#serve);
    socket.on('end', this.#ended);
    socket.on('error', this.fail);
  }

  read(bytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#wanted = { bytes, resolve, reject };
      this.#serve();
    });
  }

  readonly #serve = (): void => {
    const wanted = this.#wanted;
    if (wanted === null) return;
    if (this.#failure !== null) {
      this.#wanted = null;
      wanted.reject(this.#failure);
      return;
    }
    const bytes = this.#socket.read(wanted.bytes) as Buffer | null;
    // At the end of the stream Node gives what is left.
    if (bytes === null || bytes.length < wanted.bytes) return;
    this.#wanted = null;
    wanted.resolve(bytes);
  };

  readonly #ended = (): void => this.fail(new Error('the server has ended the connection'));

  readonly fail = (error: Error): void => {
    this.#failure ??= error;
    this.#serve();
  };

  /** The socket is somebody else's from now on. @throws {SpdkError} EPROTO when the server has said more than it was asked */
  letGo(): void {
    this.#socket.removeListener('readable', this.#serve);
    this.#socket.removeListener('end', this.#ended);
    this.#socket.removeListener('error', this.fail);
    if (this.#socket.readableLength > 0) throw broken('it says more than it was asked');
  }
}

function broken(what: string): SpdkError {
  return new SpdkError('EPROTO', `the server breaks the protocol: ${what}`);
}

/** As people write it. */
export function addressText(address: SockAddress): string {
  return 'path' in address ? address.path : formatHostPort(address.host, address.port);
}

function option(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(OPTION_BYTES);
  head.writeUInt32BE(wire.OPTS_MAGIC_HI, 0);
  head.writeUInt32BE(wire.OPTS_MAGIC_LO, 4);
  head.writeUInt32BE(type, 8);
  head.writeUInt32BE(data.length, 12);
  return Buffer.concat([head, data]);
}

interface Reply {
  readonly type: number;
  readonly data: Buffer;
}

async function readReply(reader: Reader, asked: number): Promise<Reply> {
  const head = await reader.read(REPLY_BYTES);
  if (head.readUInt32BE(0) !== wire.REP_MAGIC_HI || head.readUInt32BE(4) !== wire.REP_MAGIC_LO) {
    throw broken('a reply to an option without its magic number');
  }
  if (head.readUInt32BE(8) !== asked) throw broken(`a reply to option ${head.readUInt32BE(8)}, asked was ${asked}`);
  const length = head.readUInt32BE(16);
  if (length > REPLY_DATA_MAX) throw broken(`a reply of ${length} bytes, limit ${REPLY_DATA_MAX}`);
  return { type: head.readUInt32BE(12), data: length === 0 ? Buffer.alloc(0) : await reader.read(length) };
}

function sizeOf(data: Buffer, at: number): number {
  const size = data.readBigUInt64BE(at);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new SpdkError('EFBIG', `the export has ${size} bytes`);
  return Number(size);
}

/** Why GO was refused. */
function refusal({ type, data }: Reply, exportName: string): SpdkError {
  const said = data.toString('utf8').trim();
  const why = said === '' ? '' : `: ${JSON.stringify(said)}`;
  if (type === wire.REP_ERR_UNKNOWN) return new SpdkError('ENOENT', `the server has no export "${exportName}"${why}`);
  if (type === wire.REP_ERR_TLS_REQD)
    return new SpdkError('ENOTSUP', `the server wants TLS, which is not supported${why}`);
  if (type === wire.REP_ERR_POLICY) return new SpdkError('EPERM', `the server does not allow it${why}`);
  if (type === wire.REP_ERR_SHUTDOWN) return new SpdkError('ESHUTDOWN', `the server is shutting down${why}`);
  return new SpdkError('EIO', `the server refuses export "${exportName}" (error ${type & 0x7fffffff})${why}`);
}

async function negotiate(socket: Socket, reader: Reader, exportName: string): Promise<RemoteExport> {
  const hello = await reader.read(18);
  if (hello.readUInt32BE(0) !== wire.INIT_MAGIC_HI || hello.readUInt32BE(4) !== wire.INIT_MAGIC_LO) {
    throw broken('it does not greet as an NBD server');
  }
  const newstyle = hello.readUInt32BE(8) === wire.OPTS_MAGIC_HI && hello.readUInt32BE(12) === wire.OPTS_MAGIC_LO;
  if (!newstyle || (hello.readUInt16BE(16) & wire.FLAG_FIXED_NEWSTYLE) === 0) {
    throw new SpdkError('ENOTSUP', 'the server speaks an old form of NBD, before fixed newstyle negotiation');
  }
  const flags = hello.readUInt16BE(16) & (wire.FLAG_FIXED_NEWSTYLE | wire.FLAG_NO_ZEROES);
  const answer = Buffer.alloc(4);
  answer.writeUInt32BE(flags);
  socket.write(answer);
  socket.write(option(wire.OPT_STRUCTURED_REPLY, Buffer.alloc(0)));
  const structured = (await readReply(reader, wire.OPT_STRUCTURED_REPLY)).type === wire.REP_ACK;
  const name = Buffer.from(exportName);
  const go = Buffer.alloc(4 + name.length + 4);
  go.writeUInt32BE(name.length, 0);
  name.copy(go, 4);
  go.writeUInt16BE(1, 4 + name.length);
  go.writeUInt16BE(wire.INFO_BLOCK_SIZE, 6 + name.length);
  socket.write(option(wire.OPT_GO, go));
  const told = { sizeBytes: -1, flags: 0, minBlockBytes: 1, preferredBlockBytes: 4096, maxPayloadBytes: 0 };
  for (let i = 0; i < REPLIES_MAX; i++) {
    const reply = await readReply(reader, wire.OPT_GO);
    if (reply.type === wire.REP_ACK) {
      if (told.sizeBytes < 0) throw broken('it grants an export without saying its size');
      return { ...told, maxPayloadBytes: told.maxPayloadBytes || limits.nbd_payload_bytes_max, structured };
    }
    if (reply.type === wire.REP_ERR_UNSUP) return exportByName(socket, reader, name, flags, structured);
    if (reply.type !== wire.REP_INFO) throw refusal(reply, exportName);
    takeInfo(reply.data, told);
  }
  throw broken(`more than ${REPLIES_MAX} replies to one option`);
}

function takeInfo(data: Buffer, told: { -readonly [K in keyof Omit<RemoteExport, 'structured'>]: number }): void {
  const type = data.length >= 2 ? data.readUInt16BE(0) : -1;
  if (type === wire.INFO_EXPORT) {
    if (data.length !== 12) throw broken(`an export's description of ${data.length} bytes`);
    told.sizeBytes = sizeOf(data, 2);
    told.flags = data.readUInt16BE(10);
  } else if (type === wire.INFO_BLOCK_SIZE) {
    if (data.length !== 14) throw broken(`block sizes of ${data.length} bytes`);
    const [least, preferred, most] = [2, 6, 10].map((at) => data.readUInt32BE(at));
    if (least === 0 || (least & (least - 1)) !== 0 || least > 65536) throw broken(`a block size of ${least}`);
    told.minBlockBytes = least;
    // A preference that is none is left out of account: it costs nothing but speed.
    const sound =
      preferred >= least && (preferred & (preferred - 1)) === 0 && preferred <= limits.nbd_payload_bytes_max;
    told.preferredBlockBytes = sound ? preferred : Math.max(4096, least);
    told.maxPayloadBytes = Math.max(most, least);
  }
}

/** For servers that do not know GO: the last option there is, and no reply but the export. */
async function exportByName(
  socket: Socket,
  reader: Reader,
  name: Buffer,
  flags: number,
  structured: boolean,
): Promise<RemoteExport> {
  socket.write(option(wire.OPT_EXPORT_NAME, name));
  const data = await reader.read(10);
  if ((flags & wire.FLAG_NO_ZEROES) === 0) await reader.read(ZEROES_BYTES);
  const { nbd_payload_bytes_max: maxPayloadBytes } = limits;
  const sizes = { minBlockBytes: 1, preferredBlockBytes: 4096, maxPayloadBytes };
  return { sizeBytes: sizeOf(data, 0), flags: data.readUInt16BE(8), ...sizes, structured };
}

/**
 * Connects and negotiates. The socket is ready for requests, and has nothing unread.
 * @throws {SpdkError} ECONNREFUSED, ETIMEDOUT ..., ENOENT (no such export), ENOTSUP (old protocol, TLS), EPROTO, ECANCELED when `signal` was aborted; the message names the server
 */
export async function connectNbd(
  address: SockAddress,
  exportName: string,
  signal?: AbortSignal,
): Promise<{ readonly socket: Socket; readonly remote: RemoteExport }> {
  const text = addressText(address);
  if (Buffer.byteLength(exportName) > limits.nbd_string_bytes_max) {
    throw new SpdkError(
      'ENAMETOOLONG',
      `export name of ${Buffer.byteLength(exportName)} bytes, limit ${limits.nbd_string_bytes_max}`,
    );
  }
  const socket = connect(
    'path' in address ? { path: address.path } : { host: address.host, port: address.port, noDelay: true },
  );
  const reader = new Reader(socket);
  const timer = setTimeout(() => {
    reader.fail(new SpdkError('ETIMEDOUT', `the server is silent for ${limits.nbd_client_handshake_ms} ms`));
  }, limits.nbd_client_handshake_ms);
  const cancel = (): void => reader.fail(new SpdkError('ECANCELED', 'nobody wants it any more'));
  signal?.addEventListener('abort', cancel);
  if (signal?.aborted === true) cancel();
  try {
    const remote = await negotiate(socket, reader, exportName);
    reader.letGo();
    if (!('path' in address)) socket.setKeepAlive(true, KEEP_ALIVE_MS);
    return { socket, remote };
  } catch (error) {
    socket.on('error', () => {});
    socket.destroy();
    const known = toSpdkError(error, `NBD server ${text}`);
    throw error instanceof SpdkError ? new SpdkError(error.code, `NBD server ${text}: ${error.message}`) : known;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
  }
}
