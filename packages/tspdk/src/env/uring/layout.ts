/**
 * Numbers of the io_uring interface, as Linux's `include/uapi/linux/io_uring.h` fixes them for ever: flags, opcodes, offsets.
 *
 * Only those that the kit uses. Names are the kernel's. A submission entry (64 bytes) is written as 32-bit words:
 *
 *   word 0   opcode | flags << 8 | ioprio << 16          word 1   fd
 *   word 2,3 offset or second address (low, high)         word 4,5 address (low, high)
 *   word 6   length                                       word 7   flags of the operation (rw, msg, poll, fsync, accept, cancel)
 *   word 8,9 user_data: slot, generation                  word 10   number of a registered buffer
 *   word 11..15 unused by us, always zero
 *
 * A completion entry (16 bytes): words 0, 1 user_data; word 2 result; word 3 flags. Word order assumes little-endian, as every
 * Linux that Node supports but s390x; `Ring.open` refuses a big-endian machine.
 */

export const IORING_SETUP_CQSIZE = 1 << 3;
export const IORING_SETUP_CLAMP = 1 << 4;
export const IORING_SETUP_SUBMIT_ALL = 1 << 7;
export const IORING_SETUP_COOP_TASKRUN = 1 << 8;
export const IORING_SETUP_TASKRUN_FLAG = 1 << 9;
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13;
export const IORING_SETUP_NO_SQARRAY = 1 << 16;

export const IORING_FEAT_SINGLE_MMAP = 1 << 0;
export const IORING_FEAT_NODROP = 1 << 1;
export const IORING_FEAT_SUBMIT_STABLE = 1 << 2;
export const IORING_FEAT_FAST_POLL = 1 << 5;
export const IORING_FEAT_EXT_ARG = 1 << 8;

export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x10000000;

export const IORING_ENTER_GETEVENTS = 1 << 0;
export const IORING_ENTER_EXT_ARG = 1 << 3;
export const IORING_ENTER_REGISTERED_RING = 1 << 4;

export const IORING_SQ_CQ_OVERFLOW = 1 << 1;
export const IORING_SQ_TASKRUN = 1 << 2;
export const IORING_CQ_EVENTFD_DISABLED = 1 << 0;

/** More completions follow from the same submission. */
export const IORING_CQE_F_MORE = 1 << 1;
/** The socket has more data to read. */
export const IORING_CQE_F_SOCK_NONEMPTY = 1 << 2;

export const IORING_REGISTER_EVENTFD = 4;
export const IORING_UNREGISTER_EVENTFD = 5;
export const IORING_REGISTER_PROBE = 8;
export const IORING_REGISTER_FILES2 = 13;
export const IORING_REGISTER_FILES_UPDATE2 = 14;
export const IORING_REGISTER_BUFFERS2 = 15;
export const IORING_REGISTER_BUFFERS_UPDATE = 16;
export const IORING_REGISTER_RING_FDS = 20;
export const IORING_UNREGISTER_RING_FDS = 21;

export const IORING_OP_NOP = 0;
export const IORING_OP_READV = 1;
export const IORING_OP_WRITEV = 2;
export const IORING_OP_FSYNC = 3;
export const IORING_OP_READ_FIXED = 4;
export const IORING_OP_WRITE_FIXED = 5;
export const IORING_OP_POLL_ADD = 6;
export const IORING_OP_SENDMSG = 9;
export const IORING_OP_RECVMSG = 10;
export const IORING_OP_ACCEPT = 13;
export const IORING_OP_ASYNC_CANCEL = 14;
export const IORING_OP_FALLOCATE = 17;
export const IORING_OP_CLOSE = 19;
export const IORING_OP_READ = 22;
export const IORING_OP_WRITE = 23;
export const IORING_OP_SEND = 26;
export const IORING_OP_RECV = 27;
export const IORING_OP_SHUTDOWN = 34;

/** Opcodes without which the ring is of no use to the kit. */
export const OPCODES_NEEDED: readonly (readonly [number, string])[] = [
  [IORING_OP_NOP, 'nop'],
  [IORING_OP_READV, 'readv'],
  [IORING_OP_WRITEV, 'writev'],
  [IORING_OP_FSYNC, 'fsync'],
  [IORING_OP_POLL_ADD, 'poll'],
  [IORING_OP_SENDMSG, 'sendmsg'],
  [IORING_OP_RECVMSG, 'recvmsg'],
  [IORING_OP_ACCEPT, 'accept'],
  [IORING_OP_ASYNC_CANCEL, 'cancel'],
  [IORING_OP_FALLOCATE, 'fallocate'],
  [IORING_OP_CLOSE, 'close'],
  [IORING_OP_READ, 'read'],
  [IORING_OP_WRITE, 'write'],
  [IORING_OP_SEND, 'send'],
  [IORING_OP_RECV, 'recv'],
  [IORING_OP_SHUTDOWN, 'shutdown'],
];

/** A table of places, all empty. */
export const IORING_RSRC_REGISTER_SPARSE = 1 << 0;
/** In the flags of a submission: its file is the number of a registered one. */
export const IOSQE_FIXED_FILE = 1 << 0;

export const IORING_FSYNC_DATASYNC = 1 << 0;
export const IORING_ASYNC_CANCEL_ALL = 1 << 0;
export const IORING_ASYNC_CANCEL_ANY = 1 << 2;
export const IORING_ACCEPT_MULTISHOT = 1 << 0;
/** In ioprio of recv: wait until the socket is readable before the first attempt. */
export const IORING_RECVSEND_POLL_FIRST = 1 << 0;

/** `struct io_uring_params`: size, and 32-bit word indices of what is read or written. */
export const PARAMS_BYTES = 120;
export const PARAMS_SQ_ENTRIES = 0;
export const PARAMS_CQ_ENTRIES = 1;
export const PARAMS_FLAGS = 2;
export const PARAMS_FEATURES = 5;
/** `sq_off`: head, tail, ring_mask, ring_entries, flags, dropped, array. */
export const PARAMS_SQ_OFF = 10;
/** `cq_off`: head, tail, ring_mask, ring_entries, overflow, cqes, flags. */
export const PARAMS_CQ_OFF = 20;

export const SQE_WORDS = 16;
export const SQE_BYTES = 64;
export const CQE_BYTES = 16;

export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;
