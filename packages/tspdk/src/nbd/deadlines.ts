/**
 * Which connections of a reactor want to run at a certain time at the latest, and when the first of them does. Data path: no timers, no allocation once warm;
 * the poll group looks at `firstUs` each turn, and the reactor naps until then.
 */

/** What has a deadline; the two fields are the deadlines' own. */
export interface Due {
  /** µs; 0: none. */
  dueUs: number;
  /** Where it stands in the list. */
  dueIndex: number;
  run(): void;
}

/** So many are looked through to find the next first one at once; else it is found when the old first time has come. */
const SEARCH_MAX = 16;

export class Deadlines {
  #list: Due[] = [];
  #count = 0;
  #ready: Due[] = [];
  /** No deadline is before this time, µs; 0: there is none. */
  firstUs = 0;

  get count(): number {
    return this.#count;
  }

  /** Sets or, with 0, removes the deadline of `due`. */
  set(due: Due, us: number): void {
    const before = due.dueUs;
    if (us === before) return;
    due.dueUs = us;
    if (before === 0) {
      due.dueIndex = this.#count;
      this.#list[this.#count++] = due;
    } else if (us === 0) {
      const last = this.#list[--this.#count];
      this.#list[due.dueIndex] = last;
      last.dueIndex = due.dueIndex;
    }
    if (this.#count === 0) this.firstUs = 0;
    else if (us !== 0 && (this.firstUs === 0 || us < this.firstUs)) this.firstUs = us;
    else if (before === this.firstUs && this.#count <= SEARCH_MAX) this.#findFirst();
  }

  /** Runs those whose time has come, without their deadline. Returns how many. */
  run(nowUs: number): number {
    let ready = 0;
    for (let i = 0; i < this.#count; i++) if (this.#list[i].dueUs <= nowUs) this.#ready[ready++] = this.#list[i];
    for (let i = 0; i < ready; i++) this.set(this.#ready[i], 0);
    if (this.#count > 0) this.#findFirst();
    // Only now, as those that run set deadlines.
    for (let i = 0; i < ready; i++) this.#ready[i].run();
    return ready;
  }

  #findFirst(): void {
    let first = this.#list[0].dueUs;
    for (let i = 1; i < this.#count; i++) if (this.#list[i].dueUs < first) first = this.#list[i].dueUs;
    this.firstUs = first;
  }
}
