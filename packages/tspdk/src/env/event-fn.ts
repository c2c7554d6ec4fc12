/**
 * Functions that other cores can call: registered under a stable name, named on the wire by a small integer.
 *
 * Closures never cross cores. What crosses is a number, so every isolate of the process must give one name the same number.
 * The numbers live in one shared table per process: the main thread makes it, workers get it in their workerData
 * (see `adoptFunctionTable`). An isolate that registers a name first appends it under a lock; the others find it there.
 * Registration is module-load work (control path); the data path only indexes `handlers[id]`.
 */
import { assert, SpdkError } from './errors.ts';
import { limits } from './limits.ts';

/** What a core runs for an event: three 32-bit words (signed; use `>>> 0` for pointers above 2 GiB). */
export type EventHandler = (arg1: number, arg2: number, arg3: number) => void;

/** A function known on every core under the same id. */
export interface EventFn {
  readonly name: string;
  /** Index into `handlers`, the same on every core of the process. */
  readonly id: number;
}

const ENTRY_BYTES = limits.event_fn_name_bytes + 4;
const HEADER_BYTES = 16;
const LOCK = 0;
const COUNT = 1;

/** id -> handler of this isolate. Filled at module load, read on the data path. */
export const handlers: EventHandler[] = [];

let table = new SharedArrayBuffer(HEADER_BYTES + ENTRY_BYTES * limits.event_fns_max);
let words = new Int32Array(table);
let bytes = new Uint8Array(table);
const local = new Map<string, { -readonly [K in keyof EventFn]: EventFn[K] }>();
const registered = new Map<string, EventHandler>();

/** The process's table, to pass to a worker. */
export function functionTable(): SharedArrayBuffer {
  return table;
}

/**
 * Called once in a worker before its reactor starts: takes the process's table and renumbers what modules have registered.
 * EventFn objects keep their identity, so a constant captured at module load stays right.
 */
export function adoptFunctionTable(shared: SharedArrayBuffer): void {
  if (shared === table) return;
  table = shared;
  words = new Int32Array(table);
  bytes = new Uint8Array(table);
  handlers.length = 0;
  for (const [name, fn] of local) {
    fn.id = numberOf(name);
    handlers[fn.id] = registered.get(name)!;
  }
}

/**
 * Registers `handler` under `name` ("layer.noun.verb").
 * @throws {SpdkError} EEXIST when the name is registered in this isolate; ENAMETOOLONG; ENOSPC when the table is full.
 */
export function defineEvent(name: string, handler: EventHandler): EventFn {
  if (local.has(name)) throw new SpdkError('EEXIST', `event function "${name}" is already registered`);
  const fn = { name, id: numberOf(name) };
  local.set(name, fn);
  registered.set(name, handler);
  handlers[fn.id] = handler;
  return fn;
}

/** The name behind an id, for logs; works for functions that only other isolates have loaded. */
export function eventFnName(id: number): string {
  if (id < 0 || id >= Atomics.load(words, COUNT)) return `unknown function ${id}`;
  return nameAt(id);
}

function nameAt(id: number): string {
  const at = HEADER_BYTES + id * ENTRY_BYTES;
  const length = words[at >> 2];
  return new TextDecoder().decode(bytes.slice(at + 4, at + 4 + length));
}

function numberOf(name: string): number {
  const encoded = new TextEncoder().encode(name);
  if (encoded.length > limits.event_fn_name_bytes) {
    throw new SpdkError(
      'ENAMETOOLONG',
      `event function "${name}" is ${encoded.length} bytes, limit ${limits.event_fn_name_bytes}`,
    );
  }
  while (Atomics.compareExchange(words, LOCK, 0, 1) !== 0) Atomics.wait(words, LOCK, 1, 1);
  try {
    const count = Atomics.load(words, COUNT);
    for (let id = 0; id < count; id++) if (nameAt(id) === name) return id;
    if (count === limits.event_fns_max) {
      throw new SpdkError('ENOSPC', `event function "${name}": all ${limits.event_fns_max} numbers are taken`);
    }
    const at = HEADER_BYTES + count * ENTRY_BYTES;
    words[at >> 2] = encoded.length;
    bytes.set(encoded, at + 4);
    assert(nameAt(count) === name, 'the name reads back');
    Atomics.store(words, COUNT, count + 1);
    return count;
  } finally {
    Atomics.store(words, LOCK, 0);
    Atomics.notify(words, LOCK);
  }
}
