/**
 * The port to native functions: every call into libc that the kit makes, by name and shape, and nothing else; and the way to a
 * library that one kind of disk needs and that is loaded with its first disk.
 *
 * The rest of the kit sees this interface only, so another FFI (node:ffi) can come behind it. Behind it now is koffi, an optional
 * dependency: where it is missing, refused (`TSPDK_NO_FFI=1`) or the system is not Linux, `ffi` is null and `ffiReason` says why,
 * and the `node` backends serve. Addresses, lengths and file offsets are doubles that are safe integers (user addresses are below 2^47).
 * All calls are synchronous, on the calling thread. Nothing here checks addresses: callers do, before the call.
 */
import { createRequire } from 'node:module';

/** Watches one descriptor on this thread's event loop. Keeps the loop alive until closed. */
export interface FdWatch {
  close(): void;
}

/** What a native function takes and gives. Integers and addresses are doubles; a string goes in only, null is a null pointer. */
export type NativeType = 'int' | 'int64_t' | 'str' | 'void';

/** A shared library of the system beside libc. */
export interface NativeLibrary {
  /** Its function `name`. Synchronous, on the calling thread. @throws {Error} when there is none. */
  func(name: string, result: NativeType, ...args: NativeType[]): (...args: (number | string | null)[]) => number;
  /** The address of `name`, for a library that calls back a function which is itself native. @throws {Error} */
  symbol(name: string): number;
}

/** What is needed of libc and of the event loop. Calls that can fail return -1 (or `MAP_FAILED`, also -1) and set `errno()`. */
export interface Ffi {
  /** Which implementation stands behind the port, with its version: "koffi 3.3.4". */
  readonly name: string;
  /** The errno of the last failed call on this thread; read it at once. */
  errno(): number;

  /** Address of a view's first byte. The memory must not move: slices of large or shared buffers only (over 64 bytes). */
  addressOf(view: ArrayBufferView): number;
  /** The `bytes` at `address` as an ArrayBuffer. The caller keeps the memory mapped for as long as the buffer is used. */
  viewOf(address: number, bytes: number): ArrayBuffer;
  /** Zeroed memory, 16-byte aligned; 0 when there is none. */
  calloc(bytes: number): number;
  free(address: number): void;
  /** `bytes` is below 2^31. Ranges may overlap. */
  memmove(to: number, from: number, bytes: number): void;
  /** `bytes` is below 2^31. */
  memset(to: number, value: number, bytes: number): void;
  mmap(address: number, bytes: number, prot: number, flags: number, fd: number, offset: number): number;
  munmap(address: number, bytes: number): number;
  /** Advice on whole pages: MADV_DONTNEED (4) gives anonymous memory back; it reads as zeroes afterwards. */
  madvise(address: number, bytes: number, advice: number): number;

  close(fd: number): number;
  read(fd: number, address: number, bytes: number): number;
  write(fd: number, address: number, bytes: number): number;
  /** `whence`: SEEK_DATA (3), SEEK_HOLE (4), ... The new offset, or -1. */
  lseek(fd: number, offset: number, whence: number): number;
  fcntl(fd: number, command: number, arg: number): number;
  eventfd(initial: number, flags: number): number;
  /** Adds to an eventfd's counter. */
  eventfdWrite(fd: number, add: number): number;

  schedGetAffinity(pid: number, bytes: number, maskAddress: number): number;
  schedSetAffinity(pid: number, bytes: number, maskAddress: number): number;

  ioUringSetup(entries: number, paramsAddress: number): number;
  ioUringEnter(fd: number, toSubmit: number, minComplete: number, flags: number): number;
  /** With `argBytes` of arguments at `argAddress` (struct io_uring_getevents_arg): waits with a timeout. */
  ioUringEnterArg(
    fd: number,
    toSubmit: number,
    minComplete: number,
    flags: number,
    argAddress: number,
    argBytes: number,
  ): number;
  ioUringRegister(fd: number, opcode: number, argAddress: number, count: number): number;

  socket(domain: number, type: number, protocol: number): number;
  socketpair(domain: number, type: number, protocol: number, pairAddress: number): number;
  bind(fd: number, address: number, bytes: number): number;
  listen(fd: number, backlog: number): number;
  connect(fd: number, address: number, bytes: number): number;
  getsockname(fd: number, address: number, lengthAddress: number): number;
  getpeername(fd: number, address: number, lengthAddress: number): number;
  setsockopt(fd: number, level: number, option: number, valueAddress: number, bytes: number): number;
  shutdown(fd: number, how: number): number;

  /** _exit: ends the process, whatever its other threads are doing. */
  exit(code: number): void;

  /** Calls `onReadable` on this thread whenever `fd` is readable (level-triggered). Ends by itself when the thread ends. */
  watchReadable(fd: number, onReadable: () => void): FdWatch;

  /** Loads a library for what is optional, by its file's name; null is libc. @throws {Error} when it cannot be loaded. */
  library(file: string | null): NativeLibrary;
}

/** The part of koffi that is used. */
interface Koffi {
  readonly version: string;
  load(path: string | null): {
    func(name: string, result: string, args: string[]): (...args: unknown[]) => number;
    symbol(name: string): unknown;
  };
  address(value: unknown): bigint;
  errno(): number;
  view(address: number, bytes: number): ArrayBuffer;
  readonly node: { poll(fd: number, options: { readable: boolean }, onEvent: () => void): FdWatch };
}

function openLibrary(koffi: Koffi, file: string | null): NativeLibrary {
  const library = koffi.load(file);
  return {
    func: (name, result, ...args) => library.func(name, result, args),
    symbol: (name) => Number(koffi.address(library.symbol(name))),
  };
}

const SYS_IO_URING_SETUP = 425;
const SYS_IO_URING_ENTER = 426;
const SYS_IO_URING_REGISTER = 427;

function openKoffi(koffi: Koffi): Ffi {
  const libc = koffi.load(null);
  const int = (name: string, ...args: string[]) => libc.func(name, 'int', args) as (...args: number[]) => number;
  const long = (name: string, ...args: string[]) => libc.func(name, 'int64_t', args) as (...args: number[]) => number;
  const none = (name: string, ...args: string[]) => libc.func(name, 'void', args) as (...args: number[]) => number;
  const i = 'int';
  const l = 'int64_t';
  // A C function that returns its pointer argument turns a view into its address; `koffi.address` gives a BigInt.
  const identity = libc.func('memmove', l, ['void *', 'void *', l]);
  const setup = long('syscall', l, i, l);
  const enter = int('syscall', l, i, i, i, i, l, l);
  const register = long('syscall', l, i, i, l, i);
  return {
    name: `koffi ${koffi.version}`,
    errno: () => koffi.errno(),
    addressOf: (view) => (view.byteLength === 0 ? 0 : identity(view, view, 0)),
    viewOf: (address, bytes) => koffi.view(address, bytes),
    calloc: long('calloc', l, l).bind(null, 1),
    free: none('free', l),
    memmove: none('memmove', l, l, i),
    memset: none('memset', l, i, i),
    mmap: long('mmap', l, l, i, i, i, l),
    munmap: int('munmap', l, l),
    madvise: int('madvise', l, l, i),
    close: int('close', i),
    read: long('read', i, l, l),
    write: long('write', i, l, l),
    lseek: long('lseek64', i, l, i),
    fcntl: int('fcntl', i, i, l),
    eventfd: int('eventfd', i, i),
    eventfdWrite: int('eventfd_write', i, l),
    schedGetAffinity: int('sched_getaffinity', i, l, l),
    schedSetAffinity: int('sched_setaffinity', i, l, l),
    ioUringSetup: (entries, params) => setup(SYS_IO_URING_SETUP, entries, params),
    ioUringEnter: (fd, toSubmit, minComplete, flags) =>
      enter(SYS_IO_URING_ENTER, fd, toSubmit, minComplete, flags, 0, 0),
    ioUringEnterArg: (fd, toSubmit, minComplete, flags, arg, bytes) =>
      enter(SYS_IO_URING_ENTER, fd, toSubmit, minComplete, flags, arg, bytes),
    ioUringRegister: (fd, opcode, arg, count) => register(SYS_IO_URING_REGISTER, fd, opcode, arg, count),
    socket: int('socket', i, i, i),
    socketpair: int('socketpair', i, i, i, l),
    bind: int('bind', i, l, i),
    listen: int('listen', i, i),
    connect: int('connect', i, l, i),
    getsockname: int('getsockname', i, l, l),
    getpeername: int('getpeername', i, l, l),
    setsockopt: int('setsockopt', i, i, i, l, i),
    shutdown: int('shutdown', i, i),
    exit: none('_exit', i),
    // Not uv_poll by hand: a libuv handle that outlives its worker aborts the process ("uv loop has open handles") when the
    // worker is terminated. koffi's own handle is closed by Node when the thread's environment ends.
    watchReadable: (fd, onReadable) => koffi.node.poll(fd, { readable: true }, onReadable),
    library: (file) => openLibrary(koffi, file),
  };
}

function open(): { ffi: Ffi | null; reason: string } {
  if (process.env.TSPDK_NO_FFI === '1') return { ffi: null, reason: 'disabled by TSPDK_NO_FFI=1' };
  if (process.platform !== 'linux') return { ffi: null, reason: `not used on ${process.platform}` };
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    return { ffi: openKoffi(koffi), reason: '' };
  } catch (error) {
    const message = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return { ffi: null, reason: `koffi cannot be loaded: ${message}` };
  }
}

const opened = open();

/** The port, or null where there is no FFI. A constant of the isolate. */
export const ffi: Ffi | null = opened.ffi;

/** Why `ffi` is null; empty when it is not. */
export const ffiReason: string = opened.reason;
