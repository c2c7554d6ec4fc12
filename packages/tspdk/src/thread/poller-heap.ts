/**
 * Timed pollers by the time they are due: a binary heap, stable for equal times. Data path.
 *
 * Two pollers due at the same microsecond run in the order in which they were put in (SPDK's tree inserts equal keys to
 * the right). Each poller knows its place, so one that is unregistered leaves at once, in O(log n).
 */

/** What the heap needs of a poller. */
export interface Due {
  /** Due time in µs on the host's clock. */
  nextRunUs: number;
  /** Order of insertion; the heap's. */
  dueOrder: number;
  /** Index in the heap, -1 when out of it; the heap's. */
  heapIndex: number;
}

export class PollerHeap<P extends Due> {
  readonly items: P[] = [];
  #order = 0;

  get size(): number {
    return this.items.length;
  }

  /** When the earliest is due; Infinity when empty. */
  get nextUs(): number {
    return this.items.length === 0 ? Number.POSITIVE_INFINITY : this.items[0].nextRunUs;
  }

  insert(item: P): void {
    item.dueOrder = this.#order++;
    this.items.push(item);
    this.#up(item, this.items.length - 1);
  }

  /** Takes the earliest; undefined when empty. */
  pop(): P | undefined {
    const first = this.items[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Takes `item` out, wherever it is. It must be in. */
  remove(item: P): void {
    const index = item.heapIndex;
    const last = this.items.pop() as P;
    item.heapIndex = -1;
    if (last === item) return;
    if (index > 0 && before(last, this.items[(index - 1) >> 1])) this.#up(last, index);
    else this.#down(last, index);
  }

  /** All of them, earliest first. Control path. */
  sorted(): P[] {
    return [...this.items].sort((a, b) => (before(a, b) ? -1 : 1));
  }

  #up(item: P, from: number): void {
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = this.items[above];
      if (!before(item, parent)) break;
      this.items[at] = parent;
      parent.heapIndex = at;
      at = above;
    }
    this.items[at] = item;
    item.heapIndex = at;
  }

  #down(item: P, from: number): void {
    const items = this.items;
    let at = from;
    for (;;) {
      let below = at * 2 + 1;
      if (below >= items.length) break;
      if (below + 1 < items.length && before(items[below + 1], items[below])) below++;
      if (!before(items[below], item)) break;
      items[at] = items[below];
      items[at].heapIndex = at;
      at = below;
    }
    items[at] = item;
    item.heapIndex = at;
  }
}

function before(a: Due, b: Due): boolean {
  return a.nextRunUs < b.nextRunUs || (a.nextRunUs === b.nextRunUs && a.dueOrder < b.dueOrder);
}
