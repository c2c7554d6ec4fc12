/**
 * Opening a ring: which flags this kernel takes, where its parts lie in memory, whether it can do what the kit needs.
 *
 * Control path; the thread that opens a ring is the only one that may use it (single issuer). Nothing here throws for a kernel
 * that has no io_uring or denies it: the reason comes back as text, for the log and for `framework_get_config`-like reports.
 */
import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { type Ffi, ffi, ffiReason } from '../ffi.ts';
import * as L from './layout.ts';

/** The mapped parts of one ring. Indices are of 32-bit words in `words`. */
export interface RingMemory {
  readonly ffi: Ffi;
  readonly fd: number;
  /** Number to pass to io_uring_enter: the registered index, or `fd`. */
  readonly enterFd: number;
  /** Flag to pass with it. */
  readonly enterFlags: number;
  readonly setupFlags: number;
  readonly features: number;
  readonly sqEntries: number;
  readonly cqEntries: number;
  readonly words: Int32Array;
  readonly sqes: Int32Array;
  readonly sqHead: number;
  readonly sqTail: number;
  readonly sqFlags: number;
  readonly cqHead: number;
  readonly cqTail: number;
  readonly cqFlags: number;
  readonly cqes: number;
  /** Arguments of a timed wait: the address, and its words; null where the kernel has none. */
  readonly napArg: { readonly address: number; readonly words: Int32Array } | null;
  /** A line for the log: what was agreed with the kernel. */
  readonly summary: string;
  /** Unmaps and closes. Nothing may be in flight. */
  release(): void;
}

const BASE = L.IORING_SETUP_CQSIZE | L.IORING_SETUP_CLAMP;
const ALL = BASE | L.IORING_SETUP_SUBMIT_ALL;
const DEFERRED = ALL | L.IORING_SETUP_SINGLE_ISSUER | L.IORING_SETUP_DEFER_TASKRUN | L.IORING_SETUP_TASKRUN_FLAG;

/** Best first; a kernel that does not know a flag answers EINVAL. */
const LADDER: readonly (readonly [number, string])[] = [
  [DEFERRED | L.IORING_SETUP_NO_SQARRAY, 'single issuer, deferred task work, no index array'],
  [DEFERRED, 'single issuer, deferred task work'],
  [ALL | L.IORING_SETUP_COOP_TASKRUN | L.IORING_SETUP_TASKRUN_FLAG, 'cooperative task work'],
  [ALL, 'plain, submit all'],
  [BASE, 'plain'],
];

const FEATURES_NEEDED: readonly (readonly [number, string])[] = [
  [L.IORING_FEAT_SINGLE_MMAP, 'single mmap'],
  [L.IORING_FEAT_NODROP, 'no dropped completions'],
  [L.IORING_FEAT_SUBMIT_STABLE, 'stable submissions'],
  [L.IORING_FEAT_FAST_POLL, 'fast poll'],
];

const EPERM = 1;
const ENOMEM = 12;
const EINVAL = 22;
const ENOSYS = 38;
const MAP_FAILED = -1;
const PROT_READ_WRITE = 3;
const MAP_SHARED_POPULATE = 0x8001;

/** The sentence for a refused io_uring_setup. */
export function setupFailure(errno: number, disabledSysctl: string): string {
  if (errno === EPERM) {
    return disabledSysctl === '' || disabledSysctl === '0'
      ? 'the system denies io_uring (EPERM): a seccomp or security policy, as containers have'
      : `the system denies io_uring: kernel.io_uring_disabled = ${disabledSysctl}`;
  }
  if (errno === ENOSYS) return 'the kernel has no io_uring, or a seccomp filter hides it (ENOSYS)';
  if (errno === ENOMEM) return 'no memory for a ring (ENOMEM): the limit of locked memory (ulimit -l) may be too low';
  return `io_uring_setup failed with errno ${errno}`;
}

function disabledSysctl(): string {
  try {
    return readFileSync('/proc/sys/kernel/io_uring_disabled', 'latin1').trim();
  } catch {
    return '';
  }
}

export interface SetupOptions {
  readonly entries: number;
  readonly cqEntries: number;
  /** First rung of the ladder to try; 0 is the best (tests walk it down). */
  readonly rung?: number;
}

/** Opens and maps a ring, or says why not. */
export function setupRing(options: SetupOptions): RingMemory | { reason: string } {
  if (process.env.TSPDK_NO_URING === '1') return { reason: 'disabled by TSPDK_NO_URING=1' };
  if (ffi === null) return { reason: `no FFI: ${ffiReason}` };
  if (endianness() !== 'LE') return { reason: 'not used on big-endian machines' };
  const scratch = ffi.calloc(L.PARAMS_BYTES);
  if (scratch === 0) return { reason: 'out of memory' };
  try {
    const params = new Int32Array(ffi.viewOf(scratch, L.PARAMS_BYTES));
    let errno = 0;
    for (let rung = options.rung ?? 0; rung < LADDER.length; rung++) {
      params.fill(0);
      params[L.PARAMS_FLAGS] = LADDER[rung][0];
      params[L.PARAMS_CQ_ENTRIES] = options.cqEntries;
      const fd = ffi.ioUringSetup(options.entries, scratch);
      if (fd >= 0) return mapRing(ffi, fd, params, LADDER[rung][1]);
      errno = ffi.errno();
      if (errno !== EINVAL) break;
    }
    return { reason: setupFailure(errno, disabledSysctl()) };
  } finally {
    ffi.free(scratch);
  }
}

function mapRing(port: Ffi, fd: number, params: Int32Array, mode: string): RingMemory | { reason: string } {
  const features = params[L.PARAMS_FEATURES];
  const missing = FEATURES_NEEDED.filter(([bit]) => (features & bit) === 0).map(([, name]) => name);
  missing.push(...missingOpcodes(port, fd));
  if (missing.length > 0) {
    port.close(fd);
    return { reason: `the kernel's io_uring is too old; it lacks: ${missing.join(', ')}` };
  }
  const sqEntries = params[L.PARAMS_SQ_ENTRIES];
  const cqEntries = params[L.PARAMS_CQ_ENTRIES];
  const sq = (field: number) => params[L.PARAMS_SQ_OFF + field] >> 2;
  const cq = (field: number) => params[L.PARAMS_CQ_OFF + field] >> 2;
  const sqArray = sq(6);
  const ringBytes = Math.max((sqArray + sqEntries) * 4, cq(5) * 4 + cqEntries * L.CQE_BYTES);
  const sqeBytes = sqEntries * L.SQE_BYTES;
  const ringAt = port.mmap(0, ringBytes, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, L.IORING_OFF_SQ_RING);
  const sqesAt = port.mmap(0, sqeBytes, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, L.IORING_OFF_SQES);
  const unmap = () => {
    if (ringAt !== MAP_FAILED) port.munmap(ringAt, ringBytes);
    if (sqesAt !== MAP_FAILED) port.munmap(sqesAt, sqeBytes);
    port.close(fd);
  };
  if (ringAt === MAP_FAILED || sqesAt === MAP_FAILED) {
    const errno = port.errno();
    unmap();
    return { reason: `the ring cannot be mapped (errno ${errno})` };
  }
  const words = new Int32Array(port.viewOf(ringAt, ringBytes));
  const setupFlags = params[L.PARAMS_FLAGS];
  if ((setupFlags & L.IORING_SETUP_NO_SQARRAY) === 0) {
    // Entry n of the ring is always submission entry n.
    for (let entry = 0; entry < sqEntries; entry++) words[sqArray + entry] = entry;
  }
  const registered = ringFd(port, fd, L.IORING_REGISTER_RING_FDS, -1);
  const napArg = (features & L.IORING_FEAT_EXT_ARG) === 0 ? null : makeNapArg(port);
  return {
    ffi: port,
    fd,
    enterFd: registered >= 0 ? registered : fd,
    enterFlags: registered >= 0 ? L.IORING_ENTER_REGISTERED_RING : 0,
    setupFlags,
    features,
    sqEntries,
    cqEntries,
    words,
    sqes: new Int32Array(port.viewOf(sqesAt, sqeBytes)),
    sqHead: sq(0),
    sqTail: sq(1),
    sqFlags: sq(4),
    cqHead: cq(0),
    cqTail: cq(1),
    cqFlags: cq(6),
    cqes: cq(5),
    napArg,
    summary: `${sqEntries} submissions, ${cqEntries} completions, ${mode}${registered >= 0 ? ', registered ring' : ''}`,
    release: () => {
      if (napArg !== null) port.free(napArg.address);
      // A registered ring is held by its thread's table: closing the descriptor alone would keep it.
      if (registered >= 0) ringFd(port, fd, L.IORING_UNREGISTER_RING_FDS, registered);
      unmap();
    },
  };
}

const NAP_BYTES = 40;
const NAP_TIMESPEC_AT = 24;

/** struct io_uring_getevents_arg (24 bytes; its word 4 points to the timeout), and the timespec behind it. */
function makeNapArg(port: Ffi): RingMemory['napArg'] {
  const address = port.calloc(NAP_BYTES);
  if (address === 0) return null;
  const words = new Int32Array(port.viewOf(address, NAP_BYTES));
  const timespec = address + NAP_TIMESPEC_AT;
  words[4] = timespec | 0;
  words[5] = (timespec / 4294967296) | 0;
  return { address, words };
}

const PROBE_OPS = 64;
const PROBE_BYTES = 16 + PROBE_OPS * 8;
const IO_URING_OP_SUPPORTED = 1;

/** Names of needed opcodes that this kernel does not have. `struct io_uring_probe`: 16 bytes, then 8 for each opcode, flags at +2. */
function missingOpcodes(port: Ffi, fd: number): string[] {
  const probe = port.calloc(PROBE_BYTES);
  try {
    if (port.ioUringRegister(fd, L.IORING_REGISTER_PROBE, probe, PROBE_OPS) < 0) return ['probe'];
    const bytes = new Uint8Array(port.viewOf(probe, PROBE_BYTES));
    return L.OPCODES_NEEDED.filter(([op]) => (bytes[16 + op * 8 + 2] & IO_URING_OP_SUPPORTED) === 0).map(
      ([, name]) => name,
    );
  } finally {
    port.free(probe);
  }
}

/**
 * Registers or unregisters the ring with this thread, which spares a look-up in the descriptor table per call. Gives the ring's index
 * among the thread's registered rings; -1 where the kernel refuses. `struct io_uring_rsrc_update`: index, reserved, 64-bit descriptor.
 */
function ringFd(port: Ffi, fd: number, opcode: number, index: number): number {
  const update = port.calloc(16);
  try {
    const words = new Int32Array(port.viewOf(update, 16));
    words[0] = index;
    words[2] = opcode === L.IORING_REGISTER_RING_FDS ? fd : 0;
    return port.ioUringRegister(fd, opcode, update, 1) === 1 ? words[0] : -1;
  } finally {
    port.free(update);
  }
}
