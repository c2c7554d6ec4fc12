/**
 * Functions that other cores can call: registered under a stable name, named on the wire by a small integer.
 *
 * Every isolate of the process gives one name the same number (see shared-names.ts); the main thread makes the table, workers adopt
 * it before their reactor starts. Registration is module-load work; the data path only indexes `handlers[id]`.
 */
import { callerOf } from './alloc-site.ts';
import { SpdkError } from './errors.ts';
import { limits } from './limits.ts';
import { SharedNames } from './shared-names.ts';

/** What a core runs for an event: three 32-bit words (signed; use `>>> 0` for pointers above 2 GiB). */
export type EventHandler = (arg1: number, arg2: number, arg3: number) => void;

/** A function known on every core under the same id. */
export interface EventFn {
  readonly name: string;
  /** Index into `handlers`, the same on every core of the process. */
  readonly id: number;
}

/** id -> handler of this isolate. Filled at module load, read on the data path. */
export const handlers: EventHandler[] = [];

const makeTable = (buffer?: SharedArrayBuffer) =>
  new SharedNames('event function', limits.event_fns_max, limits.event_fn_name_bytes, buffer);

let names = makeTable();
/** What was registered here; `defined` keeps the stack of that moment, which costs words only when somebody asks. */
interface Registered {
  readonly fn: { name: string; id: number };
  readonly handler: EventHandler;
  readonly defined: Error;
}
const registered = new Map<string, Registered>();

/** The process's table, to pass to a worker. */
export function functionTable(): SharedArrayBuffer {
  return names.buffer;
}

/**
 * Called once in a worker before its reactor starts: takes the process's table and renumbers what modules have registered.
 * EventFn objects keep their identity, so a constant captured at module load stays right.
 */
export function adoptFunctionTable(buffer: SharedArrayBuffer): void {
  if (buffer === names.buffer) return;
  names = makeTable(buffer);
  handlers.length = 0;
  for (const { fn, handler } of registered.values()) {
    fn.id = names.intern(fn.name);
    handlers[fn.id] = handler;
  }
}

/**
 * Registers `handler` under `name` ("layer.noun.verb").
 * @throws {SpdkError} EEXIST when the name is registered in this isolate; ENAMETOOLONG; ENOSPC when the table is full.
 */
export function defineEvent(name: string, handler: EventHandler): EventFn {
  if (registered.has(name)) throw new SpdkError('EEXIST', `event function "${name}" is already registered`);
  const fn = { name, id: names.intern(name) };
  registered.set(name, { fn, handler, defined: new Error() });
  handlers[fn.id] = handler;
  return fn;
}

/** The name behind an id, for logs; works for functions that only other isolates have loaded. */
export function eventFnName(id: number): string {
  return names.name(id) ?? `unknown function ${id}`;
}

/** Where the function was defined, "folder/file.js:12"; of this isolate's functions. */
export function eventFnSite(id: number): string {
  const found = [...registered.values()].find(({ fn }) => fn.id === id);
  return found === undefined ? 'another isolate' : callerOf(found.defined.stack, /\/env\/event-fn\.[jt]s$/);
}
