/**
 * A feature that will go away, and how often it is still used (SPDK: struct spdk_deprecation).
 *
 * `hit()` warns, at most once in `rateLimitSeconds`; what was held back is counted and told with the next warning.
 * Made by `Log.registerDeprecation`; called on the thread that owns the log.
 */
export interface DeprecationOptions {
  /** What is deprecated. */
  description: string;
  /** The release that removes it. */
  removeRelease: string;
  /** At most one warning in this time; 0 warns each time. */
  rateLimitSeconds?: number;
}

export class Deprecation {
  readonly tag: string;
  readonly description: string;
  readonly removeRelease: string;
  /** How often the feature was used. */
  hits = 0;
  readonly #intervalMs: number;
  readonly #warn: (text: string) => void;
  readonly #nowMs: () => number;
  #lastMs = Number.NEGATIVE_INFINITY;
  #suppressed = 0;

  constructor(tag: string, options: DeprecationOptions, warn: (text: string) => void, nowMs: () => number) {
    this.tag = tag;
    this.description = options.description;
    this.removeRelease = options.removeRelease;
    this.#intervalMs = (options.rateLimitSeconds ?? 0) * 1000;
    this.#warn = warn;
    this.#nowMs = nowMs;
  }

  /** The feature was used (spdk_log_deprecated). */
  hit(): void {
    this.hits++;
    const now = this.#nowMs();
    if (now < this.#lastMs + this.#intervalMs) {
      this.#suppressed++;
      return;
    }
    this.#lastMs = now;
    this.#warn(`${this.tag}: ${this.description} is deprecated and will be removed in ${this.removeRelease}`);
    if (this.#suppressed === 0) return;
    this.#warn(`${this.tag}: ${this.#suppressed} such messages were not shown`);
    this.#suppressed = 0;
  }
}
