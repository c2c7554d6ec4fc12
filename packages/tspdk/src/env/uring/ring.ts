/**
 * One reactor's io_uring: operations go in as words in a mapped ring, completions come back as calls of `op.onCqe`.
 *
 * Calling thread: the one that opened it, always (the kernel enforces it where it knows single issuers). Nothing here allocates per operation;
 * an operation is named by a slot number and the slot's generation, so a stale completion can never reach another operation.
 * The memory an operation reads or writes belongs to the kernel until its completion was delivered.
 *
 * Why the index arithmetic is right. Four words are shared with the kernel. *SQ tail* is written by us only, *SQ head* by the kernel only; entries
 * in [head, tail) are the kernel's, the rest ours. We write entries first and the tail after; without a polling kernel thread the kernel reads
 * both only inside our own io_uring_enter, so program order is enough. We reuse an entry only when the head has passed it, and the
 * kernel has copied an entry before it moves the head. *CQ tail* is the kernel's, *CQ head* ours, the same with roles exchanged. With deferred task work
 * the kernel writes completions, and looks at the head, only inside our own system calls too: plain loads and stores do. Without it other
 * contexts may complete at any time: then we read the tail with Atomics.load (an acquire) before the entries, and store the head with
 * Atomics.store (a release) after the last read of them, so the kernel never overwrites what is unread. Indices run freely modulo 2^32 and are masked
 * on use; a difference `(tail - head) | 0` is right across the wrap because both rings are far smaller than 2^31. When the completion ring is full
 * the kernel keeps completions on a list (NODROP) and raises CQ_OVERFLOW, which makes the next poll enter and fetch them.
 *
 * An idle poll makes no system call: with deferred task work the kernel raises SQ_TASKRUN in shared memory when an enter would produce completions.
 * Before a reactor sleeps it calls `armEventfd()`, then looks at `pending`, then sleeps. The kernel raises TASKRUN (or moves
 * the CQ tail) first and reads the eventfd's disabled flag after; we clear the flag first and look after: one of the two sees the other.
 */
import { codeOfErrno, SpdkError } from '../errors.ts';
import { limits } from '../limits.ts';
import { FixedTables, registeredFile } from './fixed.ts';
import * as L from './layout.ts';
import { type RingMemory, setupRing } from './setup.ts';

/** The user's side of an operation: preallocated, at most one submission in flight. */
export interface RingOp {
  /** `res`: bytes, descriptor or 0; negative: -errno. `flags`: IORING_CQE_F_*. It may start operations, this one too. */
  onCqe(res: number, flags: number): void;
}

export interface RingOptions {
  /** Submission entries; the kernel rounds up to a power of two. Default `limits.uring_entries`. */
  readonly entries?: number;
  /** Completion entries. Default 8 × entries. */
  readonly cqEntries?: number;
  /** Start further down the list of kernel features (tests): 0 is all that the kernel has. */
  readonly rung?: number;
}

const NOTHING: RingOp = { onCqe() {} };
const NEEDS_ENTER = L.IORING_SQ_TASKRUN | L.IORING_SQ_CQ_OVERFLOW;
const WORD = 4294967296;
/** struct io_uring_getevents_arg; behind it the struct __kernel_timespec that it points to. */
const NAP_ARG_BYTES = 24;
const NAP_NSEC = 8;
const NAP_US_MAX = 999_999;
const SOCK_CLOEXEC = 0x80000;
const EINTR = 4;
const EAGAIN = 11;
const EBUSY = 16;
const EEXIST = 17;

export class Ring {
  /** A line for the log: sizes and kernel features in use. */
  readonly summary: string;
  readonly fd: number;
  /** Files and memory that the kernel knows. */
  readonly fixed: FixedTables;
  readonly #memory: RingMemory;
  readonly #words: Int32Array;
  readonly #sqes: Int32Array;
  readonly #sqMask: number;
  readonly #cqMask: number;
  readonly #enterFlags: number;
  readonly #sqFlags: number;
  readonly #cqTail: number;
  /** The kernel writes completions only inside our own system calls (deferred task work). */
  readonly #deferred: boolean;
  #sqTail: number;
  #cqHead: number;
  /** Entries written and not yet taken by the kernel. */
  #queued = 0;
  /** Of those, the ones that will complete at once, and bring no work: small sends. */
  #atOnce = 0;
  /** Entries that may be written; 0 also while the backlog holds some, which must go first. */
  #room: number;
  /** Entries that found the ring full and the kernel busy; rare, so it may grow. */
  #backlog = new Int32Array(0);
  #backlogCount = 0;
  #ops: RingOp[] = [];
  #generations = new Int32Array(0);
  #freeSlots = new Int32Array(0);
  #freeCount = 0;
  /** Called when an operation is queued while none was: outside a turn, the reactor must then have one soon. */
  onQueued: () => void = () => {};
  #polling = false;
  #closing = false;
  #closed = false;

  /** Opens a ring on the calling thread, or says why there is none. `TSPDK_NO_URING=1` disables it. */
  static open(options: RingOptions = {}): Ring | { reason: string } {
    const entries = options.entries ?? limits.uring_entries;
    const memory = setupRing({ entries, cqEntries: options.cqEntries ?? entries * 8, rung: options.rung ?? 0 });
    return 'reason' in memory ? memory : new Ring(memory);
  }

  private constructor(memory: RingMemory) {
    this.#memory = memory;
    this.summary = memory.summary;
    this.fd = memory.fd;
    this.fixed = new FixedTables(memory.ffi, memory.fd);
    this.#words = memory.words;
    this.#sqes = memory.sqes;
    this.#sqMask = memory.sqEntries - 1;
    this.#cqMask = memory.cqEntries - 1;
    this.#enterFlags = memory.enterFlags | L.IORING_ENTER_GETEVENTS;
    this.#sqFlags = memory.sqFlags;
    this.#cqTail = memory.cqTail;
    this.#deferred = (memory.setupFlags & L.IORING_SETUP_DEFER_TASKRUN) !== 0;
    this.#room = memory.sqEntries;
    this.#sqTail = memory.words[memory.sqTail];
    this.#cqHead = memory.words[memory.cqHead];
    this.#growSlots(memory.sqEntries);
  }

  /** Operations begun and not completed. */
  get inFlight(): number {
    return this.#ops.length - this.#freeCount;
  }

  /** Operations begun and not yet given to the kernel. */
  get queued(): number {
    return this.#queued;
  }

  /** Whether `poll` would find something to do now. */
  get pending(): boolean {
    return (
      this.#queued !== 0 ||
      this.#backlogCount !== 0 ||
      (Atomics.load(this.#words, this.#sqFlags) & NEEDS_ENTER) !== 0 ||
      Atomics.load(this.#words, this.#cqTail) !== this.#cqHead
    );
  }

  /** Whether `nap` works on this kernel (5.11). */
  get canNap(): boolean {
    return this.#memory.napArg !== null;
  }

  nop(op: RingOp): void {
    this.prep(L.IORING_OP_NOP, -1, 0, 0, 0, 0, 0, 0, op);
  }

  /** `offset` in the file, bytes. `rwFlags`: RWF_*. `fixed`: of the segment that the memory lies in (`Segment.fixed`). */
  read(fd: number, address: number, bytes: number, offset: number, op: RingOp, rwFlags = 0, fixed = 0): void {
    const opcode = fixed > 0 ? L.IORING_OP_READ_FIXED : L.IORING_OP_READ;
    this.#transfer(opcode, fd, address, bytes, offset, op, rwFlags, fixed);
  }

  /** As `read`. `rwFlags`: RWF_DSYNC (2) makes it durable before it completes. */
  write(fd: number, address: number, bytes: number, offset: number, op: RingOp, rwFlags = 0, fixed = 0): void {
    const opcode = fixed > 0 ? L.IORING_OP_WRITE_FIXED : L.IORING_OP_WRITE;
    this.#transfer(opcode, fd, address, bytes, offset, op, rwFlags, fixed);
  }

  /** `address` of `count` struct iovec, which stay as they are until completion. */
  readv(fd: number, address: number, count: number, offset: number, op: RingOp, rwFlags = 0): void {
    this.#transfer(L.IORING_OP_READV, fd, address, count, offset, op, rwFlags, 0);
  }

  writev(fd: number, address: number, count: number, offset: number, op: RingOp, rwFlags = 0): void {
    this.#transfer(L.IORING_OP_WRITEV, fd, address, count, offset, op, rwFlags, 0);
  }

  #transfer(
    opcode: number,
    fd: number,
    address: number,
    length: number,
    offset: number,
    op: RingOp,
    rwFlags: number,
    fixed: number,
  ): void {
    const low = offset | 0;
    const high = (offset / WORD) | 0;
    const buffer = fixed > 0 ? fixed - 1 : 0;
    this.prep(opcode, fd, low, high, address | 0, (address / WORD) | 0, length, rwFlags, op, buffer);
  }

  fsync(fd: number, datasync: boolean, op: RingOp): void {
    this.prep(L.IORING_OP_FSYNC, fd, 0, 0, 0, 0, 0, datasync ? L.IORING_FSYNC_DATASYNC : 0, op);
  }

  /** `mode`: FALLOC_FL_* (3: punch a hole and keep the size; 0x10 | 1: zero the range). */
  fallocate(fd: number, mode: number, offset: number, bytes: number, op: RingOp): void {
    this.prep(L.IORING_OP_FALLOCATE, fd, offset | 0, (offset / WORD) | 0, bytes | 0, (bytes / WORD) | 0, mode, 0, op);
  }

  /** `flags`: MSG_*. `pollFirst`: data is not expected yet, so do not try before the socket says it has some. */
  recv(fd: number, address: number, bytes: number, flags: number, op: RingOp, pollFirst = false): void {
    const opcode = pollFirst ? L.IORING_OP_RECV | (L.IORING_RECVSEND_POLL_FIRST << 16) : L.IORING_OP_RECV;
    this.prep(opcode, fd, 0, 0, address | 0, (address / WORD) | 0, bytes, flags, op);
  }

  send(fd: number, address: number, bytes: number, flags: number, op: RingOp): void {
    this.prep(L.IORING_OP_SEND, fd, 0, 0, address | 0, (address / WORD) | 0, bytes, flags, op);
  }

  /** `address` of a struct msghdr, which stays as it is until completion, like its iovecs. `atOnce`: it will hardly have to wait. */
  sendmsg(fd: number, address: number, flags: number, op: RingOp, atOnce = false): void {
    this.prep(L.IORING_OP_SENDMSG, fd, 0, 0, address | 0, (address / WORD) | 0, 1, flags, op);
    if (atOnce) this.#atOnce++;
  }

  /** As `recv`, into the pieces of the struct msghdr at `address`, which stays as it is until completion. */
  recvmsg(fd: number, address: number, flags: number, op: RingOp, pollFirst = false): void {
    const opcode = pollFirst ? L.IORING_OP_RECVMSG | (L.IORING_RECVSEND_POLL_FIRST << 16) : L.IORING_OP_RECVMSG;
    this.prep(opcode, fd, 0, 0, address | 0, (address / WORD) | 0, 1, flags, op);
  }

  /** Completes with the new descriptor (close-on-exec). */
  accept(fd: number, op: RingOp): void {
    this.prep(L.IORING_OP_ACCEPT, fd, 0, 0, 0, 0, 0, SOCK_CLOEXEC, op);
  }

  /** One completion for each connection, as long as its flags have IORING_CQE_F_MORE. EINVAL before Linux 5.19. */
  acceptMultishot(fd: number, op: RingOp): void {
    const opcode = L.IORING_OP_ACCEPT | (L.IORING_ACCEPT_MULTISHOT << 16);
    this.prep(opcode, fd, 0, 0, 0, 0, 0, SOCK_CLOEXEC, op);
  }

  /** Completes once with the events that occurred. `events`: POLLIN (1), POLLOUT (4). */
  pollAdd(fd: number, events: number, op: RingOp): void {
    this.prep(L.IORING_OP_POLL_ADD, fd, 0, 0, 0, 0, 0, events, op);
  }

  /** `how`: 0 no more reads, 1 no more writes, 2 neither. */
  shutdown(fd: number, how: number, op: RingOp): void {
    this.prep(L.IORING_OP_SHUTDOWN, fd, 0, 0, 0, 0, how, 0, op);
  }

  closeFd(fd: number, op: RingOp): void {
    this.prep(L.IORING_OP_CLOSE, fd, 0, 0, 0, 0, 0, 0, op);
  }

  /**
   * Asks the kernel to give up `op`, which completes in any case: with -ECANCELED, or as it would have. Looks through all slots: not for
   * the data path. `done` gets 0, -ENOENT (it was over) or -EALREADY (too late to stop). False when `op` is not in flight.
   */
  cancel(op: RingOp, done: RingOp = NOTHING): boolean {
    const slot = this.#ops.indexOf(op);
    if (slot < 0) return false;
    this.prep(L.IORING_OP_ASYNC_CANCEL, -1, 0, 0, slot, this.#generations[slot], 0, 0, done);
    return true;
  }

  /**
   * Writes one submission entry; 64-bit fields as two words. The methods above are this with names. `fd`: a descriptor, or what `fixed.addFile` gave.
   * @throws {SpdkError} ESHUTDOWN when the ring is closed or closing.
   */
  prep(
    opcode: number,
    fd: number,
    offsetLow: number,
    offsetHigh: number,
    addressLow: number,
    addressHigh: number,
    length: number,
    opFlags: number,
    op: RingOp,
    buffer = 0,
  ): void {
    if (this.#closing) throw new SpdkError('ESHUTDOWN', 'the ring is closing: no operation can begin');
    const backlogged = this.#room === 0 && !this.#makeRoom();
    if (this.#freeCount === 0) this.#growSlots(this.#ops.length * 2);
    const slot = this.#freeSlots[--this.#freeCount];
    this.#ops[slot] = op;
    let words = this.#sqes;
    let at: number;
    if (backlogged) {
      at = this.#appendBacklog();
      words = this.#backlog;
    } else {
      at = (this.#sqTail & this.#sqMask) * L.SQE_WORDS;
      this.#sqTail = (this.#sqTail + 1) | 0;
      if (this.#queued++ === 0) this.onQueued();
      this.#room--;
    }
    if (fd < -1) {
      words[at] = opcode | (L.IOSQE_FIXED_FILE << 8);
      words[at + 1] = registeredFile(fd);
    } else {
      words[at] = opcode;
      words[at + 1] = fd;
    }
    words[at + 2] = offsetLow;
    words[at + 3] = offsetHigh;
    words[at + 4] = addressLow;
    words[at + 5] = addressHigh;
    words[at + 6] = length;
    words[at + 7] = opFlags;
    words[at + 8] = slot;
    words[at + 9] = this.#generations[slot];
    words[at + 10] = buffer;
  }

  /** Gives what is queued to the kernel. What it does not take now (busy, no memory) goes with the next poll. */
  submit(): void {
    if (this.#queued !== 0 || this.#backlogCount !== 0) this.#enter(0);
  }

  /** Submits what is queued, reaps what completed. Returns the number of completions delivered; 0 without a system call when idle. */
  poll(): number {
    if (this.#polling || this.#closed) return 0;
    const words = this.#words;
    // A plain load may see the flag one turn late, which costs nothing; before sleeping `pending` looks properly.
    if (this.#queued !== 0 || (words[this.#sqFlags] & NEEDS_ENTER) !== 0 || this.#backlogCount !== 0) this.#enter(0);
    // An atomic load is a call out of optimised code in older V8; when the kernel wrote in our own system call no order is missing.
    const tail = this.#deferred ? words[this.#cqTail] : Atomics.load(words, this.#cqTail);
    return tail === this.#cqHead ? 0 : this.#reap(tail);
  }

  #reap(tail: number): number {
    const words = this.#words;
    const base = this.#memory.cqes;
    let delivered = 0;
    this.#polling = true;
    try {
      while (this.#cqHead !== tail) {
        const at = base + (this.#cqHead & this.#cqMask) * 4;
        this.#cqHead = (this.#cqHead + 1) | 0;
        delivered++;
        const slot = words[at];
        if (this.#generations[slot] !== words[at + 1]) {
          throw new SpdkError('EPROTO', `the kernel completed slot ${slot}, which is not in flight`);
        }
        const op = this.#ops[slot];
        const res = words[at + 2];
        const flags = words[at + 3];
        // Freed before the call, so that the operation may begin again inside it.
        if ((flags & L.IORING_CQE_F_MORE) === 0) this.#freeSlot(slot);
        op.onCqe(res, flags);
      }
    } finally {
      // Also when a callback threw: the rest stays for the next poll, nothing comes twice.
      if (this.#deferred) words[this.#memory.cqHead] = this.#cqHead;
      else Atomics.store(words, this.#memory.cqHead, this.#cqHead);
      this.#polling = false;
    }
    return delivered;
  }

  #freeSlot(slot: number): void {
    this.#ops[slot] = NOTHING;
    this.#generations[slot]++;
    this.#freeSlots[this.#freeCount++] = slot;
  }

  /** Signals `fd` for completions, while armed. It starts disarmed. @throws {SpdkError} of the kernel's errno */
  registerEventfd(fd: number): void {
    const port = this.#memory.ffi;
    const arg = port.calloc(4);
    try {
      new Int32Array(port.viewOf(arg, 4))[0] = fd;
      if (port.ioUringRegister(this.fd, L.IORING_REGISTER_EVENTFD, arg, 1) < 0) {
        const errno = port.errno();
        throw new SpdkError(codeOfErrno(errno), `eventfd ${fd} cannot be registered with the ring: errno ${errno}`);
      }
    } finally {
      port.free(arg);
    }
    this.disarmEventfd();
  }

  /** From now on completions signal the eventfd. Look at `pending` after it, before sleeping. */
  armEventfd(): void {
    Atomics.store(this.#words, this.#memory.cqFlags, 0);
  }

  /** From now on they do not: a polling reactor spares the kernel the signal. */
  disarmEventfd(): void {
    Atomics.store(this.#words, this.#memory.cqFlags, L.IORING_CQ_EVENTFD_DISABLED);
  }

  /**
   * Submits what is queued and sleeps in the kernel: until something completes that was not to be expected at once, or `us` microseconds have
   * passed. For a reactor that knows when it wants to go on; libuv does not run meanwhile, so `us` is small. False when the kernel cannot.
   */
  nap(us: number): boolean {
    const memory = this.#memory;
    const { napArg } = memory;
    if (napArg === null || this.#polling || this.#closed || this.#backlogCount > 0) return false;
    napArg.words[NAP_NSEC] = Math.min(us, NAP_US_MAX) * 1000;
    if (this.#queued > 0) Atomics.store(this.#words, memory.sqTail, this.#sqTail);
    const flags = this.#enterFlags | L.IORING_ENTER_EXT_ARG;
    const enough = this.#atOnce + 1;
    this.#atOnce = 0;
    memory.ffi.ioUringEnterArg(memory.enterFd, this.#queued, enough, flags, napArg.address, NAP_ARG_BYTES);
    // Its result says nothing that the ring does not: what the kernel did not take is still queued, and the next poll enters again.
    this.#queued = (this.#sqTail - Atomics.load(this.#words, memory.sqHead)) | 0;
    this.#room = memory.sqEntries - this.#queued;
    return true;
  }

  /**
   * Ends the ring: refuses new operations, cancels those in flight, waits for the completion of each (and delivers it), then gives the memory back.
   * After it the kernel writes nowhere. It blocks for as long as the device needs for what cannot be cancelled. Control path.
   * Not from inside `onCqe`. An error that a callback throws meanwhile is thrown at the end.
   */
  close(): void {
    if (this.#closing) return;
    let failure: unknown;
    for (const op of this.#ops.filter((each) => each !== NOTHING)) this.cancel(op);
    this.#closing = true;
    while (this.inFlight > 0) {
      this.#enter(1);
      try {
        this.#reap(Atomics.load(this.#words, this.#cqTail));
      } catch (error) {
        failure ??= error;
      }
    }
    this.#closed = true;
    this.#memory.release();
    if (failure !== undefined) throw failure;
  }

  /** Enters the kernel: submits all it can, runs task work, and waits until `minComplete` completions are there. */
  #enter(minComplete: number): void {
    const memory = this.#memory;
    for (;;) {
      if (this.#backlogCount > 0) this.#moveBacklog();
      this.#words[memory.sqTail] = this.#sqTail;
      this.#atOnce = 0;
      const result = memory.ffi.ioUringEnter(memory.enterFd, this.#queued, minComplete, this.#enterFlags);
      const errno = result < 0 ? memory.ffi.errno() : 0;
      this.#queued = (this.#sqTail - this.#words[memory.sqHead]) | 0;
      this.#room = this.#backlogCount > 0 ? 0 : memory.sqEntries - this.#queued;
      if (result > 0 && this.#backlogCount > 0) continue;
      if (result >= 0 || errno === EAGAIN || errno === EBUSY) return;
      if (errno === EINTR) {
        if (minComplete > 0 || this.#queued > 0) continue;
        return;
      }
      const what =
        errno === EEXIST ? 'the ring belongs to another thread' : `io_uring_enter failed with errno ${errno}`;
      throw new SpdkError(errno === EEXIST ? 'EWRONGTHREAD' : codeOfErrno(errno), what);
    }
  }

  /** Makes room in a full submission ring by submitting it; false when the kernel takes nothing now. */
  #makeRoom(): boolean {
    this.#enter(0);
    return this.#room > 0;
  }

  #appendBacklog(): number {
    const at = this.#backlogCount * L.SQE_WORDS;
    if (at === this.#backlog.length) {
      const grown = new Int32Array(Math.max(at * 2, 64 * L.SQE_WORDS));
      grown.set(this.#backlog);
      this.#backlog = grown;
    }
    this.#backlogCount++;
    return at;
  }

  #moveBacklog(): void {
    const count = Math.min(this.#backlogCount, this.#memory.sqEntries - this.#queued);
    for (let entry = 0; entry < count; entry++) {
      const from = entry * L.SQE_WORDS;
      const to = (this.#sqTail & this.#sqMask) * L.SQE_WORDS;
      for (let word = 0; word < L.SQE_WORDS; word++) this.#sqes[to + word] = this.#backlog[from + word];
      this.#sqTail = (this.#sqTail + 1) | 0;
    }
    this.#queued += count;
    this.#backlog.copyWithin(0, count * L.SQE_WORDS, this.#backlogCount * L.SQE_WORDS);
    this.#backlogCount -= count;
  }

  #growSlots(count: number): void {
    const have = this.#ops.length;
    const generations = new Int32Array(count);
    generations.set(this.#generations);
    const free = new Int32Array(count);
    for (let slot = count - 1; slot >= have; slot--) {
      this.#ops.push(NOTHING);
      free[this.#freeCount++] = slot;
    }
    this.#generations = generations;
    this.#freeSlots = free;
  }
}
