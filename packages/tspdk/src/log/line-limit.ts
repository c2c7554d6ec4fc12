/**
 * How many lines of one kind may be logged: what others cause (a peer that breaks the protocol, a thousand of them) must not fill a disk or hold a core.
 * What was kept back is counted, and the next line that is let through says so.
 */
const WINDOW_US = 1_000_000;

export class LineLimit {
  readonly #perSecond: number;
  #windowUs = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #keptBack = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Whether a line may be logged at `nowUs`. */
  allows(nowUs: number): boolean {
    if (nowUs - this.#windowUs >= WINDOW_US) {
      this.#windowUs = nowUs;
      this.#lines = 0;
    }
    if (this.#lines < this.#perSecond) {
      this.#lines++;
      return true;
    }
    this.#keptBack++;
    return false;
  }

  /** How many were kept back since the last line, or since this was asked. */
  takeKeptBack(): number {
    const count = this.#keptBack;
    this.#keptBack = 0;
    return count;
  }

  /** To put behind the line that was allowed: empty, or how many like it were kept back since the last one. */
  get note(): string {
    const count = this.takeKeptBack();
    return count === 0 ? '' : ` (${count} more like this were not logged)`;
  }
}
