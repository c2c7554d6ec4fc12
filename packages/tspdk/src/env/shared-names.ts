/**
 * A table of names that gives one name the same small number in every isolate of the process.
 *
 * Closures and strings never cross cores; numbers do. The table is append-only: an isolate that needs a name first appends
 * it under a lock word, the others find it. Only module load and error paths come here, never an I/O.
 *
 *   word 0: lock (0 free, 1 held)   word 1: entries   from byte 16: entries of `entryBytes`: u32 length, then UTF-8
 *
 * The lock is held for microseconds and only while a name is appended; a waiter sleeps at most a millisecond at a time,
 * so a thread that was terminated while it held the lock is the one thing that could block others: terminating a
 * worker that is still loading its modules is not supported.
 */
import { assert, SpdkError } from './errors.ts';

const HEADER_BYTES = 16;
const LOCK = 0;
const COUNT = 1;

/** Names shared by all isolates that hold the same buffer. Any thread may call. */
export class SharedNames {
  readonly buffer: SharedArrayBuffer;
  readonly #what: string;
  readonly #entries: number;
  readonly #entryBytes: number;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #ids = new Map<string, number>();

  /**
   * @param what what a name stands for, for error messages ("event function").
   * @param entries how many names fit; `nameBytes` how long one may be (UTF-8).
   * @param buffer the table of another isolate, to adopt.
   */
  constructor(what: string, entries: number, nameBytes: number, buffer?: SharedArrayBuffer) {
    this.#what = what;
    this.#entries = entries;
    this.#entryBytes = (4 + nameBytes + 3) & ~3;
    this.buffer = buffer ?? new SharedArrayBuffer(HEADER_BYTES + entries * this.#entryBytes);
    this.#words = new Int32Array(this.buffer);
    this.#bytes = new Uint8Array(this.buffer);
  }

  /** Names known so far. */
  get count(): number {
    return Atomics.load(this.#words, COUNT);
  }

  /** The name of `id`, or undefined when no isolate has registered it. */
  name(id: number): string | undefined {
    if (!Number.isInteger(id) || id < 0 || id >= this.count) return undefined;
    const at = HEADER_BYTES + id * this.#entryBytes;
    return new TextDecoder().decode(this.#bytes.slice(at + 4, at + 4 + (this.#words[at >> 2] as number)));
  }

  /**
   * The number of `name`, appended when it is new.
   * @throws {SpdkError} ENAMETOOLONG; ENOSPC when the table is full.
   */
  intern(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const encoded = new TextEncoder().encode(name);
    const limit = this.#entryBytes - 4;
    if (encoded.length > limit) {
      throw new SpdkError('ENAMETOOLONG', `${this.#what} "${name}" is ${encoded.length} bytes, limit ${limit}`);
    }
    while (Atomics.compareExchange(this.#words, LOCK, 0, 1) !== 0) Atomics.wait(this.#words, LOCK, 1, 1);
    try {
      const id = this.#find(name) ?? this.#append(name, encoded);
      this.#ids.set(name, id);
      return id;
    } finally {
      Atomics.store(this.#words, LOCK, 0);
      Atomics.notify(this.#words, LOCK);
    }
  }

  #find(name: string): number | undefined {
    const count = this.count;
    for (let id = 0; id < count; id++) if (this.name(id) === name) return id;
    return undefined;
  }

  #append(name: string, encoded: Uint8Array): number {
    const id = this.count;
    if (id === this.#entries) {
      throw new SpdkError('ENOSPC', `${this.#what} "${name}": all ${this.#entries} numbers are taken`);
    }
    const at = HEADER_BYTES + id * this.#entryBytes;
    this.#words[at >> 2] = encoded.length;
    this.#bytes.set(encoded, at + 4);
    Atomics.store(this.#words, COUNT, id + 1);
    assert(this.name(id) === name, `the name "${name}" reads back`);
    return id;
  }
}
