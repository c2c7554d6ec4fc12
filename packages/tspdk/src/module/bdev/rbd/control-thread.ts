/**
 * The thread of one connection to a Ceph cluster: everything of librados and librbd that may block runs here, one call after the other.
 *
 * A thread of its own rather than libuv's pool, for two reasons. librados and librbd start their threads from whichever calls them, and those inherit its
 * cores: this one widens its own first, so that they do not all sit on the reactor that made the disk. And a cluster that does not
 * answer holds this thread, not the files of the whole process. It also looks whether an image has another size: librbd posts a semaphore, this looks at it
 * twice a second.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { pinThread } from '../../../env/affinity.ts';
import { codeOfErrno, SpdkError, toSpdkError } from '../../../env/errors.ts';
import { ffi } from '../../../env/ffi.ts';
import type {
  ControlAnswer,
  ControlRequest,
  OpenedImage,
  RbdConnectOptions,
  ResizeNotice,
} from './control-messages.ts';
import { openLibrbdControl } from './librbd.ts';

const port = parentPort!;
const options = workerData as RbdConnectOptions;

/** How often the semaphores are looked at. */
const LOOK_MS = 500;
/** librados' own is 300 s; a call to make a disk should not take as long. A configuration that says something else is followed. */
const LIBRADOS_MOUNT_TIMEOUT = '300';
const MOUNT_TIMEOUT = '30';

interface OpenImage {
  readonly ioctx: number;
  readonly image: number;
  readonly name: string;
  /** What rbd_update_watch gave; 0 when there is none. */
  readonly watch: number;
  /** Address of a sem_t, and its counter. */
  readonly semaphore: number;
  readonly counter: Int32Array;
  seen: number;
  sizeBytes: number;
}

const SEM_BYTES = 64;
const images = new Map<number, OpenImage>();
let cluster = 0;

/** Memory for answers: handles, rbd_image_info_t, texts. */
const SCRATCH_BYTES = 512;
const native = ffi as NonNullable<typeof ffi>;

function check(rc: number, what: string): void {
  if (rc < 0) throw new SpdkError(codeOfErrno(-rc), `${what}: errno ${-rc} (${codeOfErrno(-rc)})`);
}

function makeControl() {
  const rbd = openLibrbdControl();
  const scratch = native.calloc(SCRATCH_BYTES);
  const view = new DataView(native.viewOf(scratch, SCRATCH_BYTES));
  const number64 = (at = 0): number => view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  const text = (): string => {
    const bytes = Buffer.from(view.buffer, 0, SCRATCH_BYTES);
    return bytes.toString('latin1', 0, bytes.indexOf(0));
  };

  function configure(handle: number): void {
    const { config, configFile, keyFile } = options;
    if (config === undefined) {
      check(rbd.radosConfReadFile(handle, configFile ?? null), `Ceph configuration ${configFile ?? 'of the system'}`);
    }
    for (const [name, value] of Object.entries({
      ...config,
      ...(keyFile === undefined ? {} : { keyring: keyFile }),
    })) {
      check(rbd.radosConfSet(handle, name, value), `Ceph option ${name} = "${value}"`);
    }
    if (
      rbd.radosConfGet(handle, 'client_mount_timeout', scratch, SCRATCH_BYTES) >= 0 &&
      text() === LIBRADOS_MOUNT_TIMEOUT
    ) {
      rbd.radosConfSet(handle, 'client_mount_timeout', MOUNT_TIMEOUT);
    }
  }

  function connect(): string {
    pinThread(options.cores);
    const user = options.userId ?? 'admin';
    check(rbd.radosCreate(scratch, options.userId ?? null), `Ceph user "${user}"`);
    const handle = number64();
    try {
      configure(handle);
      const key = options.keyFile === undefined ? '' : ` with the key of ${options.keyFile}`;
      check(rbd.radosConnect(handle), `connecting to the Ceph cluster as user "${user}"${key}`);
      check(rbd.radosClusterFsid(handle, scratch, SCRATCH_BYTES), 'id of the Ceph cluster');
    } catch (error) {
      rbd.radosShutdown(handle);
      throw error;
    }
    cluster = handle;
    return text();
  }

  function sizes(image: number, name: string): { sizeBytes: number; objectBytes: number } {
    check(rbd.stat(image, scratch, SCRATCH_BYTES), `size of image "${name}"`);
    return { sizeBytes: number64(), objectBytes: number64(8) };
  }

  function open(what: { pool: string; image: string; readOnly: boolean }): OpenedImage {
    const name = `${what.pool}/${what.image}`;
    check(rbd.ioctxCreate(cluster, what.pool, scratch), `Ceph pool "${what.pool}"`);
    const ioctx = number64();
    let image = 0;
    try {
      check(rbd.open(ioctx, what.image, scratch, what.readOnly), `image "${name}"`);
      image = number64();
      const { sizeBytes, objectBytes } = sizes(image, name);
      const semaphore = native.calloc(SEM_BYTES);
      const counter = new Int32Array(native.viewOf(semaphore, SEM_BYTES));
      // Without a watch the disk works, and does not hear that others resize the image.
      const watch = rbd.updateWatch(image, scratch, semaphore) < 0 ? 0 : number64();
      images.set(image, { ioctx, image, name, watch, semaphore, counter, seen: 0, sizeBytes });
      return { image, sizeBytes, objectBytes };
    } catch (error) {
      if (image !== 0) rbd.close(image);
      rbd.ioctxDestroy(ioctx);
      throw error;
    }
  }

  function close(image: number): void {
    const known = images.get(image) as OpenImage;
    images.delete(image);
    // rbd_close writes back, too, and is silent when it cannot.
    const flushed = rbd.flush(image);
    if (known.watch !== 0) rbd.updateUnwatch(image, known.watch);
    const rc = rbd.close(image);
    rbd.ioctxDestroy(known.ioctx);
    native.free(known.semaphore);
    check(flushed, `image "${known.name}" could not be written back, and completed writes may be lost`);
    check(rc, `closing image "${known.name}"`);
  }

  function resize(what: { image: number; sizeBytes: number }): number {
    const known = images.get(what.image) as OpenImage;
    check(rbd.resize(what.image, what.sizeBytes), `resizing image "${known.name}" to ${what.sizeBytes} bytes`);
    known.sizeBytes = sizes(what.image, known.name).sizeBytes;
    return known.sizeBytes;
  }

  /** Tells of images that have another size. */
  function look(): void {
    for (const known of images.values()) {
      const posted = Atomics.load(known.counter, 0);
      if (posted === known.seen) continue;
      // When the cluster does not answer, the next look asks again.
      if (rbd.stat(known.image, scratch, SCRATCH_BYTES) < 0) continue;
      known.seen = posted;
      const sizeBytes = number64();
      if (sizeBytes === known.sizeBytes) continue;
      known.sizeBytes = sizeBytes;
      port.postMessage({ kind: 'resized', image: known.image, sizeBytes } satisfies ResizeNotice);
    }
  }

  function shutdown(): void {
    if (cluster !== 0) rbd.radosShutdown(cluster);
    cluster = 0;
    native.free(scratch);
  }

  return { connect, open, close, resize, look, shutdown };
}

let control: ReturnType<typeof makeControl> | undefined;

function perform(request: ControlRequest): unknown {
  control ??= makeControl();
  switch (request.call) {
    case 'connect':
      return control.connect();
    case 'open':
      return control.open(request.payload);
    case 'close':
      return control.close(request.payload);
    case 'resize':
      return control.resize(request.payload);
    case 'shutdown':
      clearInterval(timer);
      return control.shutdown();
  }
}

const timer = setInterval(() => control?.look(), LOOK_MS);

port.on('message', (request: ControlRequest) => {
  let answer: ControlAnswer;
  try {
    answer = { kind: 'result', id: request.id, value: perform(request) };
  } catch (thrown) {
    const { code, message } = toSpdkError(thrown, 'Ceph');
    answer = { kind: 'error', id: request.id, code, message };
  }
  port.postMessage(answer);
  if (request.call === 'shutdown') port.close();
});
