/**
 * The doorbell: how another core, or the kernel, wakes a reactor that sleeps in its event loop.
 *
 * A reactor opens one on its own thread and gives its `target` (plain data, fit for postMessage) to the others; any thread rings it
 * with `ringDoorbell(target)`. What it promises: after a ring the owner's event loop makes a turn, so an immediate that is
 * waiting there runs, also an unref'd one; rings before the owner looks may fall together into one. There is no callback: the reactor's
 * turn *is* that immediate. An open doorbell keeps the event loop alive, a closed one does not.
 *
 * Nothing is lost if the owner does this: set its sleeping word; look at its mailboxes (and ring) once more; return to the loop. And the others:
 * put the message in; then read the sleeping word; ring if it is set. Both sides write one word and then read the other's with
 * sequentially consistent Atomics, so at least one of them sees the other. A ring that comes before the loop blocks stays pending:
 * the eventfd is level-triggered, and `waitAsync` resolves at once when the word has changed since it was armed.
 *
 * eventfd: watched by libuv; the kernel's io_uring can signal the same descriptor (`Ring.registerEventfd`). It is read as libuv
 * reports it, so a ring costs the owner one system call and one callback. Closing: the watch goes first (libuv forgets the
 * descriptor at once), then the descriptor. A late ring by another thread would reach a closed, perhaps reused, descriptor: the
 * reactor closes its doorbell only after all cores have stopped sending.
 * atomics: without FFI. `Atomics.waitAsync` on a shared word; its promise wakes the loop. It does not keep the loop alive, an idle timer does that.
 */
import { isMainThread } from 'node:worker_threads';
import { SpdkError } from './errors.ts';
import { type FdWatch, ffi } from './ffi.ts';

/** What another thread needs in order to ring; can be sent in a message. */
export type DoorbellTarget =
  | { readonly kind: 'eventfd'; readonly fd: number }
  | { readonly kind: 'atomics'; readonly word: Int32Array };

/** The owner's side. */
export interface Doorbell {
  readonly kind: 'eventfd' | 'atomics';
  /** The eventfd, for `Ring.registerEventfd`; -1 for the atomics kind. */
  readonly fd: number;
  readonly target: DoorbellTarget;
  /** How often the doorbell woke the loop. Rings can fall together. */
  readonly wakes: number;
  /** Owner only, once, after the last ring. */
  close(): void;
}

const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;

class EventfdDoorbell implements Doorbell {
  readonly kind = 'eventfd';
  readonly fd: number;
  readonly target: DoorbellTarget;
  wakes = 0;
  readonly #ffi: NonNullable<typeof ffi>;
  readonly #counter: number;
  readonly #watch: FdWatch;
  #closed = false;

  constructor(port: NonNullable<typeof ffi>) {
    this.#ffi = port;
    this.fd = port.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (this.fd < 0) throw new SpdkError('EMFILE', `eventfd failed with errno ${port.errno()}`);
    this.#counter = port.calloc(8);
    this.target = { kind: 'eventfd', fd: this.fd };
    this.#watch = port.watchReadable(this.fd, () => {
      this.wakes++;
      // Reading resets the counter; unread, libuv would report the descriptor again at once.
      port.read(this.fd, this.#counter, 8);
    });
    // A worker that ends by process.exit would be called back once more, and koffi then aborts the process. The descriptor stays: others may ring it.
    if (!isMainThread) process.once('exit', this.#unwatch);
  }

  readonly #unwatch = (): void => this.#watch.close();

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.off('exit', this.#unwatch);
    this.#watch.close();
    this.#ffi.close(this.fd);
    this.#ffi.free(this.#counter);
  }
}

/** Longest timer there is; it only holds the event loop open. */
const FOREVER_MS = 0x7fffffff;

interface WaitAsync {
  waitAsync(word: Int32Array, index: number, value: number): { async: boolean; value: Promise<string> | string };
}

class AtomicsDoorbell implements Doorbell {
  readonly kind = 'atomics';
  readonly fd = -1;
  readonly target: DoorbellTarget;
  wakes = 0;
  readonly #word = new Int32Array(new SharedArrayBuffer(4));
  readonly #keepAlive = setInterval(() => {}, FOREVER_MS);
  #closed = false;

  constructor() {
    this.target = { kind: 'atomics', word: this.#word };
    this.#arm(0);
  }

  /** Waits for the word to differ from `seen`. Every change is either seen by the next arm or notifies it. */
  #arm(seen: number): void {
    const wait = (Atomics as unknown as WaitAsync).waitAsync(this.#word, 0, seen);
    const woken = () => {
      if (this.#closed) return;
      this.wakes++;
      this.#arm(Atomics.load(this.#word, 0));
    };
    if (wait.async) void (wait.value as Promise<string>).then(woken);
    else setImmediate(woken);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#keepAlive);
    // Ends the pending wait, which would otherwise hold the buffer.
    ringDoorbell(this.target);
  }
}

/**
 * Opens a doorbell on the calling thread. `native: false` takes the kind without FFI (tests).
 * @throws {SpdkError} EMFILE when no descriptor is left.
 */
export function openDoorbell(options: { native?: boolean } = {}): Doorbell {
  return ffi !== null && options.native !== false ? new EventfdDoorbell(ffi) : new AtomicsDoorbell();
}

/** Wakes the owner. Any thread; does not block, does not throw. */
export function ringDoorbell(target: DoorbellTarget): void {
  if (target.kind === 'eventfd') {
    ffi?.eventfdWrite(target.fd, 1);
  } else {
    Atomics.add(target.word, 0, 1);
    Atomics.notify(target.word, 0);
  }
}
