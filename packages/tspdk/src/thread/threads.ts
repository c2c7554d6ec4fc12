/**
 * The threads of one reactor, and how a thread's id becomes a Thread there.
 *
 * A thread created on another core exists in the shared table before its core has heard of it. Its adopt event and a first
 * message from a third core travel on different mailboxes, so either may come first; whichever does adopts it. Drops are
 * counted: they happen only to threads that were exited by force.
 */
import { log } from '../log/index.ts';
import { localKey, type ThreadHost } from './host.ts';
import { SLOT_CREATING, SLOT_RUNNING } from './shared-thread-table.ts';
import { Thread } from './thread.ts';

const component = log.register('thread');

/** What one reactor knows of its threads. */
export class Threads {
  /** In order of adoption. */
  readonly list: Thread[] = [];
  /** Messages that came for a thread that was gone. */
  dropped = 0;
  readonly #bySlot: (Thread | undefined)[] = [];
  readonly #host: ThreadHost;

  constructor(host: ThreadHost) {
    this.#host = host;
  }

  /** The thread with that id if it lives here; adopts it when it is new. Data path; undefined when there is none. */
  find(id: number): Thread | undefined {
    const thread = this.#bySlot[(id - 1) & (this.#host.shared.slots - 1)];
    if (thread !== undefined && thread.id === id) return thread;
    return this.#adopt(id);
  }

  /** The thread in that slot, if the low bits of its generation are `tag`. Data path. */
  atSlot(slot: number, tag: number): Thread | undefined {
    const thread = this.#bySlot[slot];
    if (thread !== undefined && tagOf(thread.id, this.#host.shared.slots) === tag) return thread;
    const id = this.#host.shared.idAt(slot);
    return id !== 0 && tagOf(id, this.#host.shared.slots) === tag ? this.find(id) : undefined;
  }

  /** It has exited. */
  remove(thread: Thread): void {
    this.list.splice(this.list.indexOf(thread), 1);
    this.#bySlot[(thread.id - 1) & (this.#host.shared.slots - 1)] = undefined;
    this.#host.removePollable(thread);
  }

  /** A message came for a thread that is gone. */
  drop(what: string): void {
    this.dropped++;
    component.error(`${what} on core ${this.#host.core} dropped: its thread is gone (${this.dropped} so far)`);
  }

  #adopt(id: number): Thread | undefined {
    const shared = this.#host.shared;
    if (shared.state(id) !== SLOT_CREATING || shared.core(id) !== this.#host.core) return undefined;
    const facts = shared.facts(id);
    if (facts === null) return undefined;
    const thread = new Thread(this.#host, id, facts.name);
    this.list.push(thread);
    this.#bySlot[(id - 1) & (shared.slots - 1)] = thread;
    shared.setState(id, SLOT_RUNNING);
    this.#host.addPollable(thread);
    component.debug(() => `thread ${facts.name}:${id} starts on core ${facts.core}`);
    return thread;
  }
}

/** Low ten bits of the generation: how often ids have gone round the table. */
export function tagOf(id: number, slots: number): number {
  return Math.floor((id - 1) / slots) & 0x3ff;
}

/** `host.local(threadsOf)` is a reactor's Threads. */
export const threadsOf = localKey('threads', (host) => new Threads(host));
