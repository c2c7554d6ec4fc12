/**
 * The NBD protocol's numbers and byte layouts, and nothing else: no state, no I/O.
 *
 * Source: the protocol document of the NetworkBlockDevice project (doc/proto.md); constants carry its names without the
 * `NBD_` prefix. Everything on the wire is big-endian. A 64-bit magic is kept as its two 32-bit halves, since no BigInt
 * may appear on the data path. Callable from any thread.
 */

// Handshake. S: INIT_MAGIC OPTS_MAGIC flags(u16); C: flags(u32); then options.
export const INIT_MAGIC_HI = 0x4e42444d;
export const INIT_MAGIC_LO = 0x41474943;
export const OPTS_MAGIC_HI = 0x49484156;
export const OPTS_MAGIC_LO = 0x454f5054;
export const REP_MAGIC_HI = 0x0003e889;
export const REP_MAGIC_LO = 0x045565a9;

/** Handshake flags of the server and, under the same bits, of the client. */
export const FLAG_FIXED_NEWSTYLE = 1 << 0;
export const FLAG_NO_ZEROES = 1 << 1;

export const OPT_EXPORT_NAME = 1;
export const OPT_ABORT = 2;
export const OPT_LIST = 3;
export const OPT_STARTTLS = 5;
export const OPT_INFO = 6;
export const OPT_GO = 7;
export const OPT_STRUCTURED_REPLY = 8;
export const OPT_LIST_META_CONTEXT = 9;
export const OPT_SET_META_CONTEXT = 10;
export const OPT_EXTENDED_HEADERS = 11;

export const REP_ACK = 1;
export const REP_SERVER = 2;
export const REP_INFO = 3;
export const REP_META_CONTEXT = 4;
export const REP_ERR_UNSUP = 0x8000_0001;
export const REP_ERR_POLICY = 0x8000_0002;
export const REP_ERR_INVALID = 0x8000_0003;
export const REP_ERR_TLS_REQD = 0x8000_0005;
export const REP_ERR_UNKNOWN = 0x8000_0006;
export const REP_ERR_SHUTDOWN = 0x8000_0007;
export const REP_ERR_TOO_BIG = 0x8000_0009;

export const INFO_EXPORT = 0;
export const INFO_NAME = 1;
export const INFO_DESCRIPTION = 2;
export const INFO_BLOCK_SIZE = 3;

/** Transmission flags: what an export can do. */
export const TX_HAS_FLAGS = 1 << 0;
export const TX_READ_ONLY = 1 << 1;
export const TX_SEND_FLUSH = 1 << 2;
export const TX_SEND_FUA = 1 << 3;
export const TX_ROTATIONAL = 1 << 4;
export const TX_SEND_TRIM = 1 << 5;
export const TX_SEND_WRITE_ZEROES = 1 << 6;
export const TX_SEND_DF = 1 << 7;
export const TX_CAN_MULTI_CONN = 1 << 8;
export const TX_SEND_CACHE = 1 << 10;
export const TX_SEND_FAST_ZERO = 1 << 11;

/**
 * A request: 28 bytes, a WRITE followed by its payload.
 *
 *    0     4      6     8              16              24      28
 *    | magic | flags | type | cookie (8) | offset (8)    | length |
 */
export const REQUEST_MAGIC = 0x25609513;
export const REQUEST_BYTES = 28;

export const CMD_READ = 0;
export const CMD_WRITE = 1;
export const CMD_DISC = 2;
export const CMD_FLUSH = 3;
export const CMD_TRIM = 4;
export const CMD_CACHE = 5;
export const CMD_WRITE_ZEROES = 6;
export const CMD_BLOCK_STATUS = 7;
export const CMD_RESIZE = 8;

export const CMD_FLAG_FUA = 1 << 0;
export const CMD_FLAG_NO_HOLE = 1 << 1;
export const CMD_FLAG_DF = 1 << 2;
export const CMD_FLAG_REQ_ONE = 1 << 3;
export const CMD_FLAG_FAST_ZERO = 1 << 4;

/**
 * A simple reply: 16 bytes, a successful READ's followed by its payload.
 *
 *    0      4       8           16
 *    | magic | error | cookie (8) |
 */
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const SIMPLE_REPLY_BYTES = 16;

/**
 * One chunk of a structured reply: 20 bytes and its payload.
 *
 *    0      4       6      8           16       20
 *    | magic | flags | type | cookie (8) | length |
 */
export const CHUNK_MAGIC = 0x668e33ef;
export const CHUNK_BYTES = 20;
export const CHUNK_FLAG_DONE = 1 << 0;
export const CHUNK_NONE = 0;
export const CHUNK_OFFSET_DATA = 1;
export const CHUNK_OFFSET_HOLE = 2;
export const CHUNK_BLOCK_STATUS = 5;
/** With this bit a chunk's type is an error. */
export const CHUNK_ERROR_BIT = 0x8000;
export const CHUNK_ERROR = 0x8001;
/** An OFFSET_DATA chunk's header with the offset that precedes the data. */
export const DATA_CHUNK_BYTES = CHUNK_BYTES + 8;

export const STATE_HOLE = 1 << 0;
export const STATE_ZERO = 1 << 1;

/** Errors that may be on the wire: Linux numbers, a closed list. */
export const NBD_EPERM = 1;
export const NBD_EIO = 5;
export const NBD_ENOMEM = 12;
export const NBD_EINVAL = 22;
export const NBD_ENOSPC = 28;
export const NBD_EOVERFLOW = 75;
export const NBD_ENOTSUP = 95;
export const NBD_ESHUTDOWN = 108;

/** The bits above 2^53 of an offset's upper word: with any of them set the offset is no safe integer. */
const UNSAFE_HI = 0x0020_0000;

/** A 64-bit offset as a double. One that is no safe integer becomes the largest one, which is beyond the end of every disk. */
export function readOffset(view: DataView, at: number): number {
  const hi = view.getUint32(at);
  return hi >= UNSAFE_HI ? Number.MAX_SAFE_INTEGER : hi * 0x1_0000_0000 + view.getUint32(at + 4);
}

/** Writes a safe integer as 64 bits. */
export function writeOffset(view: DataView, at: number, value: number): void {
  const hi = Math.floor(value / 0x1_0000_0000);
  view.setUint32(at, hi);
  view.setUint32(at + 4, value - hi * 0x1_0000_0000);
}

/** The wire's error for a bdev's status (0 or a negative errno), as the document's section "Error values" maps them. */
export function nbdError(status: number): number {
  switch (-status) {
    case 0:
      return 0;
    case 1: // EPERM
    case 13: // EACCES
    case 30: // EROFS
      return NBD_EPERM;
    case 12: // ENOMEM
      return NBD_ENOMEM;
    case 22: // EINVAL
    case 34: // ERANGE
    case 38: // ENOSYS
    case 75: // EOVERFLOW and ENOTSUP are kept for requests that ask for them, by DF and FAST_ZERO
    case 95:
      return NBD_EINVAL;
    case 27: // EFBIG
    case 28: // ENOSPC
    case 122: // EDQUOT
      return NBD_ENOSPC;
    case 6: // ENXIO
    case 19: // ENODEV
    case 108: // ESHUTDOWN
    case 125: // ECANCELED
      return NBD_ESHUTDOWN;
    default:
      return NBD_EIO;
  }
}
