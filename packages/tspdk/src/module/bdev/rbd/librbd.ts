/**
 * The calls of librados and librbd that the RBD disk makes, over the kit's FFI port. The libraries are loaded with the first disk, by each thread for itself.
 *
 * No call takes a function of JavaScript: librbd calls back on threads of its own, which must not enter an isolate. Completions are made without a
 * callback and are fetched (`pollIoEvents`); a changed image posts a semaphore, which is a C function. Handles are addresses and the same on all
 * threads; both libraries may be called from any thread. A negative answer is an errno. Structures and numbers: rados/librados.h and rbd/librbd.h.
 */
import { SpdkError } from '../../../env/errors.ts';
import { type Ffi, ffi, ffiReason, type NativeLibrary } from '../../../env/ffi.ts';

/** `EVENT_TYPE_EVENTFD` of rbd_set_image_notification. */
export const EVENT_TYPE_EVENTFD = 2;
/** `RBD_WRITE_ZEROES_FLAG_THICK_PROVISION`: the space stays allocated. */
export const WRITE_ZEROES_THICK = 1;

/** What may block, for a connection's own thread only. `out` is the address of eight bytes that take a handle or a size. */
export interface LibrbdControl {
  radosCreate(out: number, userId: string | null): number;
  radosConfReadFile(cluster: number, path: string | null): number;
  radosConfSet(cluster: number, option: string, value: string): number;
  radosConfGet(cluster: number, option: string, buffer: number, bytes: number): number;
  radosConnect(cluster: number): number;
  radosShutdown(cluster: number): void;
  radosClusterFsid(cluster: number, buffer: number, bytes: number): number;
  ioctxCreate(cluster: number, pool: string, out: number): number;
  ioctxDestroy(ioctx: number): void;
  open(ioctx: number, image: string, out: number, readOnly: boolean): number;
  close(image: number): number;
  /** Writes back what is in the cache. */
  flush(image: number): number;
  /** rbd_image_info_t: the size, then the size of an object, both 64 bits. */
  stat(image: number, info: number, bytes: number): number;
  resize(image: number, bytes: number): number;
  /** Posts the semaphore at `semaphore` when the image's header changes. */
  updateWatch(image: number, out: number, semaphore: number): number;
  updateUnwatch(image: number, watch: number): number;
}

/** What never blocks, for reactors. */
export interface LibrbdData {
  setImageNotification(image: number, fd: number, type: number): number;
  /** Puts up to `max` finished completions at `completions`; their number. */
  pollIoEvents(image: number, completions: number, max: number): number;
  /** `arg` is given back by `getArg`. */
  createCompletion(arg: number, out: number): number;
  getArg(completion: number): number;
  /** Bytes read, 0, or a negative errno. */
  getReturnValue(completion: number): number;
  release(completion: number): void;
  read(image: number, offset: number, bytes: number, memory: number, completion: number): number;
  /** The iovecs must stay until the completion. */
  readv(image: number, iovecs: number, count: number, offset: number, completion: number): number;
  write(image: number, offset: number, bytes: number, memory: number, completion: number): number;
  writev(image: number, iovecs: number, count: number, offset: number, completion: number): number;
  discard(image: number, offset: number, bytes: number, completion: number): number;
  writeZeroes(image: number, offset: number, bytes: number, completion: number, flags: number): number;
  flush(image: number, completion: number): number;
}

const PACKAGE = 'Debian: apt-get install librbd1';
const P = 'int64_t';

/** The part of the FFI port that is used; null where there is no FFI. */
export type LibraryPort = Pick<Ffi, 'library'> | null;

function load(port: LibraryPort, file: string): NativeLibrary {
  if (port === null) throw new SpdkError('ENOTSUP', `Ceph RBD needs FFI for ${file}, and there is none: ${ffiReason}`);
  try {
    return port.library(file);
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new SpdkError('ENOTSUP', `Ceph RBD needs ${file} (${PACKAGE}): ${why}`);
  }
}

/** @throws {SpdkError} ENOTSUP without FFI or without the libraries; the message names the package. */
export function openLibrbdControl(port: LibraryPort = ffi): LibrbdControl {
  const rados = load(port, 'librados.so.2');
  const rbd = load(port, 'librbd.so.1');
  const openImage = rbd.func('rbd_open', 'int', P, 'str', P, 'str');
  const openReadOnly = rbd.func('rbd_open_read_only', 'int', P, 'str', P, 'str');
  const watch = rbd.func('rbd_update_watch', 'int', P, P, P, P);
  const post = (port as NonNullable<LibraryPort>).library(null).symbol('sem_post');
  return {
    radosCreate: rados.func('rados_create', 'int', P, 'str'),
    radosConfReadFile: rados.func('rados_conf_read_file', 'int', P, 'str'),
    radosConfSet: rados.func('rados_conf_set', 'int', P, 'str', 'str'),
    radosConfGet: rados.func('rados_conf_get', 'int', P, 'str', P, P),
    radosConnect: rados.func('rados_connect', 'int', P),
    radosShutdown: rados.func('rados_shutdown', 'void', P),
    radosClusterFsid: rados.func('rados_cluster_fsid', 'int', P, P, P),
    ioctxCreate: rados.func('rados_ioctx_create', 'int', P, 'str', P),
    ioctxDestroy: rados.func('rados_ioctx_destroy', 'void', P),
    open: (ioctx, image, out, readOnly) => (readOnly ? openReadOnly : openImage)(ioctx, image, out, null),
    close: rbd.func('rbd_close', 'int', P),
    flush: rbd.func('rbd_flush', 'int', P),
    stat: rbd.func('rbd_stat', 'int', P, P, P),
    resize: rbd.func('rbd_resize', 'int', P, P),
    updateWatch: (image, out, semaphore) => watch(image, out, post, semaphore),
    updateUnwatch: rbd.func('rbd_update_unwatch', 'int', P, P),
  };
}

/** @throws {SpdkError} ENOTSUP as openLibrbdControl */
export function openLibrbdData(port: LibraryPort = ffi): LibrbdData {
  const rbd = load(port, 'librbd.so.1');
  const create = rbd.func('rbd_aio_create_completion', 'int', P, P, P);
  const zeroes = rbd.func('rbd_aio_write_zeroes', 'int', P, P, P, P, 'int', 'int');
  return {
    setImageNotification: rbd.func('rbd_set_image_notification', 'int', P, 'int', 'int'),
    pollIoEvents: rbd.func('rbd_poll_io_events', 'int', P, P, 'int'),
    createCompletion: (arg, out) => create(arg, 0, out),
    getArg: rbd.func('rbd_aio_get_arg', P, P),
    getReturnValue: rbd.func('rbd_aio_get_return_value', P, P),
    release: rbd.func('rbd_aio_release', 'void', P),
    read: rbd.func('rbd_aio_read', 'int', P, P, P, P, P),
    readv: rbd.func('rbd_aio_readv', 'int', P, P, 'int', P, P),
    write: rbd.func('rbd_aio_write', 'int', P, P, P, P, P),
    writev: rbd.func('rbd_aio_writev', 'int', P, P, 'int', P, P),
    discard: rbd.func('rbd_aio_discard', 'int', P, P, P, P),
    writeZeroes: (image, offset, bytes, completion, flags) => zeroes(image, offset, bytes, completion, flags, 0),
    flush: rbd.func('rbd_aio_flush', 'int', P, P),
  };
}
