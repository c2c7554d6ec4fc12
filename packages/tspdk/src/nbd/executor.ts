/**
 * Carries out one parsed request: checks it against the export, starts its I/O, and hands it to the replier when it is done.
 *
 * The checks are all here, and come before anything touches a disk. Answers follow the protocol document: beyond the end is ENOSPC for what
 * writes and EINVAL for the rest, a write on a read-only export is EPERM, an unknown command or flag EINVAL. A memory disk is
 * served in place: READ only names the memory (the replier gathers it), WRITE is one copy.
 * Data path: no allocation; the connection's reactor only.
 */

import { IO_FLAG_NO_HOLE } from '../bdev/index.ts';
import { IoVecs } from '../env/iovecs.ts';
import { limits } from '../env/limits.ts';
import { copyBytes, type Segment } from '../env/segment.ts';
import { type Connection, STAT_ERRORS } from './connection.ts';
import type { BufferPort } from './ports.ts';
import type { Request } from './request.ts';
import * as req from './request.ts';
import * as wire from './wire.ts';

const ENOMEM = 12;
const ENOTSUP = 95;
const ESHUTDOWN = 108;

/** Flags each command may carry; index is the command. */
const ALLOWED_FLAGS = new Int32Array(wire.CMD_BLOCK_STATUS + 1).fill(wire.CMD_FLAG_FUA);
ALLOWED_FLAGS[wire.CMD_READ] |= wire.CMD_FLAG_DF;
ALLOWED_FLAGS[wire.CMD_WRITE_ZEROES] |= wire.CMD_FLAG_NO_HOLE | wire.CMD_FLAG_FAST_ZERO;
ALLOWED_FLAGS[wire.CMD_BLOCK_STATUS] |= wire.CMD_FLAG_REQ_ONE;

/** Given to a bdev as the completion of every I/O. */
function onIoDone(ctx: unknown, status: number): void {
  const request = ctx as Request;
  (request.owner as Connection).executor.ioDone(request, status);
}

export class Executor {
  readonly #conn: Connection;
  /** Where a range of a memory disk lies. */
  readonly #vecs = new IoVecs(limits.nbd_send_iovs);

  constructor(conn: Connection) {
    this.#conn = conn;
  }

  /** The wire's error for a request that may not be carried out; 0 when it may. */
  check(request: Request): number {
    const { export: exp, at, structured, allocationContext } = this.#conn;
    const { type, length } = request;
    if (type > wire.CMD_BLOCK_STATUS || type === wire.CMD_DISC) return wire.NBD_EINVAL;
    let allowed = ALLOWED_FLAGS[type];
    if (!structured) allowed &= ~wire.CMD_FLAG_DF;
    if ((request.flags & ~allowed) !== 0) return wire.NBD_EINVAL;
    if (exp.removed) return wire.NBD_ESHUTDOWN;
    const offset = at[request.index];
    if (type === wire.CMD_FLUSH) return offset === 0 && length === 0 ? 0 : wire.NBD_EINVAL;
    const writes = type === wire.CMD_WRITE || type === wire.CMD_WRITE_ZEROES;
    if (exp.readOnly && (writes || type === wire.CMD_TRIM)) return wire.NBD_EPERM;
    if (length > exp.sizeBytes - offset) return writes ? wire.NBD_ENOSPC : wire.NBD_EINVAL;
    const block = exp.minBlockBytes;
    if (block > 1 && (offset % block !== 0 || length % block !== 0)) return wire.NBD_EINVAL;
    switch (type) {
      case wire.CMD_READ:
        if (length <= limits.nbd_payload_bytes_max) return 0;
        return (request.flags & wire.CMD_FLAG_DF) !== 0 ? wire.NBD_EOVERFLOW : wire.NBD_EINVAL;
      case wire.CMD_TRIM:
        return exp.canTrim ? 0 : wire.NBD_EINVAL;
      case wire.CMD_WRITE_ZEROES:
        return (request.flags & wire.CMD_FLAG_FAST_ZERO) !== 0 && !exp.fastZero ? wire.NBD_ENOTSUP : 0;
      case wire.CMD_BLOCK_STATUS:
        return allocationContext && length > 0 ? 0 : wire.NBD_EINVAL;
      default:
        return 0;
    }
  }

  /** Checks and starts a request; a WRITE's payload lies complete in the lane, at `payloadAt`, in `bank`. */
  execute(request: Request, payloadAt: number, bank: number): void {
    const error = this.check(request);
    if (error !== 0) {
      this.finish(request, error);
      return;
    }
    const type = request.type;
    if (request.length === 0 && type !== wire.CMD_FLUSH) {
      this.finish(request, 0);
      return;
    }
    switch (type) {
      case wire.CMD_READ:
        this.#read(request);
        return;
      case wire.CMD_WRITE:
        this.#write(request, payloadAt, bank);
        return;
      case wire.CMD_FLUSH:
        this.flush(request);
        return;
      case wire.CMD_TRIM:
        this.#trim(request);
        return;
      case wire.CMD_WRITE_ZEROES:
        this.#writeZeroes(request);
        return;
      case wire.CMD_BLOCK_STATUS:
        request.payload = req.PAYLOAD_STATUS;
        this.finish(request, 0);
        return;
      default: // CACHE: what is in memory is, and the rest is read when it is asked for
        this.finish(request, 0);
        return;
    }
  }

  /** Hands a request to the replier. */
  finish(request: Request, error: number): void {
    request.error = error;
    if (error !== 0) this.#conn.stats[STAT_ERRORS]++;
    if (error !== 0) request.payload = req.PAYLOAD_NONE;
    this.#conn.reply(request);
  }

  flush(request: Request): void {
    if (!this.#conn.export.canFlush) {
      this.finish(request, 0); // nothing of it is volatile
      return;
    }
    request.op = req.OP_FLUSH;
    this.#conn.ioAt[request.index] = 0;
    request.ioBytes = this.#conn.export.sizeBytes;
    this.submit(request);
  }

  #read(request: Request): void {
    const { export: exp } = this.#conn;
    if (exp.memory && exp.channel.inPlace) {
      request.payload = req.PAYLOAD_MEMORY;
      this.finish(request, 0);
      return;
    }
    this.readIntoBuffer(request);
  }

  /** A READ as an I/O. Also of a disk that is memory and cannot be reached in place for now. */
  readIntoBuffer(request: Request): void {
    const conn = this.#conn;
    const exp = conn.export;
    const offset = conn.at[request.index];
    const block = exp.blockBytes;
    const from = offset - (offset % block);
    const end = offset + request.length;
    const rest = end % block;
    const bytes = (rest === 0 ? end : end - rest + block) - from;
    if (bytes > conn.pieceBytes) {
      conn.readStream.start(request);
      return;
    }
    conn.ioAt[request.index] = from;
    request.ioBytes = bytes;
    const small = bytes <= conn.buffers.smallBytes;
    const buf = small ? conn.buffers.getSmall() : conn.buffers.getLarge();
    if (buf !== null) {
      this.bufferReady(request, buf);
      return;
    }
    request.waitsForBuffer = true;
    conn.outstanding++;
    if (small) conn.buffers.waitSmall(request);
    else conn.buffers.waitLarge(request);
  }

  /** A READ got its buffer. */
  bufferReady(request: Request, buf: BufferPort): void {
    request.buf = buf;
    request.op = req.OP_READ;
    request.segment = buf.segment;
    request.memOffset = buf.offset;
    this.submit(request);
  }

  #write(request: Request, payloadAt: number, bank: number): void {
    const conn = this.#conn;
    const offset = conn.at[request.index];
    if (conn.export.memory && this.#copyIn(conn.lane.segment, payloadAt, offset, request.length)) {
      this.written(request);
      return;
    }
    request.op = req.OP_WRITE;
    request.segment = conn.lane.segment;
    request.memOffset = payloadAt;
    request.ioBytes = request.length;
    conn.ioAt[request.index] = offset;
    request.bank = bank;
    conn.receiver.retain(bank);
    this.submit(request);
  }

  /** Copies into the disk's memory; false when it is not to be had. */
  #copyIn(segment: Segment, at: number, offset: number, bytes: number): boolean {
    const { channel } = this.#conn.export;
    const vecs = this.#vecs;
    vecs.reset();
    if (!channel.zcopy(offset, bytes, vecs, true)) return false;
    for (let i = 0; i < vecs.count; i++) {
      copyBytes(vecs.segment[i]!, vecs.offset[i], segment, at, vecs.bytes[i]);
      at += vecs.bytes[i];
    }
    channel.zcopyWritten(offset, bytes);
    return true;
  }

  /** What changes data is done: what FUA asks for comes before the reply. */
  written(request: Request): void {
    if ((request.flags & wire.CMD_FLAG_FUA) !== 0 && this.#conn.export.volatileCache) {
      this.flush(request);
      return;
    }
    this.finish(request, 0);
  }

  /** TRIM is a hint: the blocks that lie wholly inside. */
  #trim(request: Request): void {
    const conn = this.#conn;
    const offset = conn.at[request.index];
    const block = conn.export.blockBytes;
    const from = Math.ceil(offset / block) * block;
    const end = Math.floor((offset + request.length) / block) * block;
    if (end <= from) {
      this.finish(request, 0);
      return;
    }
    request.op = req.OP_UNMAP;
    conn.ioAt[request.index] = from;
    request.ioBytes = end - from;
    this.submit(request);
  }

  #writeZeroes(request: Request): void {
    const conn = this.#conn;
    request.op = req.OP_WRITE_ZEROES;
    conn.ioAt[request.index] = conn.at[request.index];
    request.ioBytes = request.length;
    this.submit(request);
  }

  /** Gives the request's `op` to the bdev. */
  submit(request: Request): void {
    const conn = this.#conn;
    const channel = conn.export.channel;
    const at = conn.ioAt[request.index];
    const bytes = request.ioBytes;
    conn.outstanding++;
    channel.connection = conn.id;
    let rc: number;
    switch (request.op) {
      case req.OP_READ:
        rc = channel.read(request.segment!, request.memOffset, at, bytes, onIoDone, request);
        break;
      case req.OP_WRITE:
        rc = channel.write(request.segment!, request.memOffset, at, bytes, onIoDone, request);
        break;
      case req.OP_FLUSH:
        rc = channel.flush(at, bytes, onIoDone, request);
        break;
      case req.OP_UNMAP:
        rc = channel.unmap(at, bytes, onIoDone, request);
        break;
      default:
        rc = channel.writeZeroes(at, bytes, zeroFlags(request), onIoDone, request);
    }
    if (rc === 0) return;
    if (rc === -ENOMEM)
      channel.queueIoWait(request); // still outstanding
    else this.ioDone(request, rc);
  }

  /** The bdev's pool has room again. */
  poolReady(request: Request): void {
    if (this.#conn.closing) {
      this.ioDone(request, -ESHUTDOWN); // nobody waits for it any more
      return;
    }
    this.#conn.outstanding--;
    this.submit(request);
  }

  ioDone(request: Request, status: number): void {
    const conn = this.#conn;
    conn.outstanding--;
    if (request.bank >= 0) {
      conn.receiver.release(request.bank);
      request.bank = -1;
    }
    if (request.parent !== null) {
      if (request.op === req.OP_READ) conn.readStream.pieceDone(request, status);
      else conn.directWrite.pieceDone(request, status);
    } else if (request.op === req.OP_READ) {
      if (status === 0) request.payload = req.PAYLOAD_BUFFER;
      request.memOffset += conn.at[request.index] - conn.ioAt[request.index];
      this.finish(request, wire.nbdError(status));
    } else if (status === 0 && request.op !== req.OP_FLUSH) {
      this.written(request);
    } else {
      this.finish(request, errorOf(request, status));
    }
    conn.touch();
  }
}

function zeroFlags(request: Request): number {
  return (request.flags & wire.CMD_FLAG_NO_HOLE) !== 0 ? IO_FLAG_NO_HOLE : 0;
}

/** What the disk does not do: a TRIM is a hint, and FAST_ZERO asks to be told. */
function errorOf(request: Request, status: number): number {
  if (status !== -ENOTSUP) return wire.nbdError(status);
  if (request.type === wire.CMD_TRIM) return 0;
  return (request.flags & wire.CMD_FLAG_FAST_ZERO) !== 0 ? wire.NBD_ENOTSUP : wire.NBD_EINVAL;
}
