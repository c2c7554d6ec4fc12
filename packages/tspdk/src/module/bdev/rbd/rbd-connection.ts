/**
 * A connection to a Ceph cluster as the app core holds it: starts the thread that makes the blocking calls, and awaits their answers. App core only.
 */
import { Worker } from 'node:worker_threads';
import { allowedCores } from '../../../env/affinity.ts';
import { Cpuset } from '../../../env/cpuset.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { Reactor } from '../../../event/reactor.ts';
import type { ControlAnswer, ControlCalls, OpenedImage, RbdConnectOptions, ResizeNotice } from './control-messages.ts';
import { openLibrbdControl } from './librbd.ts';

/** Read before the application pins the thread that loads this. */
const allowed = allowedCores();

/** The cores that `mask` names, else those without a reactor, else all. @throws {SpdkError} EINVAL */
export function coresForCeph(mask: string | undefined, reactor: Reactor): number[] {
  if (mask !== undefined) return [...Cpuset.parse(mask)];
  const others = allowed.filter((core) => !reactor.cores.includes(core));
  return others.length > 0 ? others : allowed;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class RbdConnection {
  /** The cluster's id. */
  fsid = '';
  /** By image: called when somebody has given it another size. */
  readonly onResize = new Map<number, (sizeBytes: number) => void>();
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #ids = 0;
  #ended: SpdkError | null = null;

  private constructor(options: RbdConnectOptions) {
    this.#worker = new Worker(new URL('./control-thread.js', import.meta.url), { workerData: options, name: 'ceph' });
    this.#worker.on('message', (message: ControlAnswer | ResizeNotice) => this.#receive(message));
    this.#worker.on('error', (error) => this.#end(`the thread of a connection to Ceph failed: ${error}`));
    this.#worker.on('exit', () => this.#end('the connection to Ceph is closed'));
    // Reactors keep the process alive, not this. After the listeners, which would take it back.
    this.#worker.unref();
  }

  /** @throws {SpdkError} ENOTSUP without the libraries; what connecting fails with */
  static async open(options: RbdConnectOptions): Promise<RbdConnection> {
    // Said here, with the package's name, before a thread is started for nothing.
    openLibrbdControl();
    const connection = new RbdConnection(options);
    try {
      connection.fsid = await connection.#call('connect', null);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  openImage(pool: string, image: string, readOnly: boolean): Promise<OpenedImage> {
    return this.#call('open', { pool, image, readOnly });
  }

  closeImage(image: number): Promise<void> {
    this.onResize.delete(image);
    return this.#call('close', image);
  }

  resizeImage(image: number, sizeBytes: number): Promise<number> {
    return this.#call('resize', { image, sizeBytes });
  }

  /** Leaves the cluster and ends the thread. */
  async close(): Promise<void> {
    if (this.#ended !== null) return;
    const exited = new Promise((resolve) => this.#worker.once('exit', resolve));
    await this.#call('shutdown', null);
    await exited;
  }

  #call<C extends keyof ControlCalls>(
    call: C,
    payload: Parameters<ControlCalls[C]>[0],
  ): Promise<ReturnType<ControlCalls[C]>> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== null) {
        reject(this.#ended);
        return;
      }
      const id = ++this.#ids;
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage({ id, call, payload });
    });
  }

  #receive(message: ControlAnswer | ResizeNotice): void {
    if (message.kind === 'resized') {
      this.onResize.get(message.image)?.(message.sizeBytes);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.kind === 'result') waiting?.resolve(message.value);
    else waiting?.reject(new SpdkError(message.code, message.message));
  }

  #end(why: string): void {
    this.#ended ??= new SpdkError('ESHUTDOWN', why);
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}
