/**
 * Notifications: a short history of what changed (a bdev came, a bdev went), for tools that poll.
 *
 * SPDK's lib/notify: types are registered by name, events get consecutive ids and lie in a ring; whoever asks with
 * the last id it saw gets what came since. Overwritten events are skipped, silently, as there: a reader sees it by the gap in the
 * ids. App thread only; an instance for each application.
 */
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';

/** One event. `context` names what it is about, a bdev for example. */
export interface NotifyEvent {
  readonly id: number;
  readonly type: string;
  readonly context: string;
}

export class Notify {
  readonly #types = new Set<string>();
  readonly #ring: NotifyEvent[] = [];
  readonly #capacity: number;
  #next = 0;

  constructor(capacity: number = limits.notify_events) {
    this.#capacity = capacity;
  }

  /** Makes a type known; again is allowed (spdk_notify_type_register). @throws {SpdkError} EINVAL for an empty name. */
  registerType(type: string): void {
    if (type === '') throw new SpdkError('EINVAL', 'a notification type needs a name');
    this.#types.add(type);
  }

  /** Names of all types in order of registration. */
  types(): string[] {
    return [...this.#types];
  }

  /** Records an event and returns its id (spdk_notify_send). @throws {SpdkError} ENOENT when the type is not registered. */
  send(type: string, context: string): number {
    if (!this.#types.has(type)) throw new SpdkError('ENOENT', `notification type '${type}' is not registered`);
    const id = this.#next++;
    this.#ring[id % this.#capacity] = { id, type, context };
    return id;
  }

  /** At most `max` events that are still there, from id `first` on (spdk_notify_foreach_event). */
  events(first = 0, max = Number.POSITIVE_INFINITY): NotifyEvent[] {
    const events: NotifyEvent[] = [];
    const start = Math.max(first, this.#next - this.#capacity);
    for (let id = start; id < this.#next && events.length < max; id++) events.push(this.#ring[id % this.#capacity]);
    return events;
  }
}
