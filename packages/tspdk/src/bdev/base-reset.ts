/**
 * What a disk that stands on others does to be reset: each of them is reset, after the disk's own I/O has drained (reset.ts). One that is going needs none. Control path.
 */
import type { BdevIoDone, IoWaitEntry } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { ENODEV, ENOMEM } from './status.ts';

/**
 * A reset by others, who share what a disk stands on, ends an I/O below with -ECANCELED, which says nothing about the disk: what must be done is done again, so often, with so long in
 * between. What goes on answering so is taken at its word.
 */
export const RESET_RETRIES = 10_000;
export const RESET_RETRY_US = 100;

class BaseReset implements IoWaitEntry {
  readonly #bases: readonly BdevChannel[];
  readonly #cb: BdevIoDone;
  readonly #ctx: unknown;
  #next = 0;
  #pending = 0;
  #status = 0;

  constructor(bases: readonly BdevChannel[], cb: BdevIoDone, ctx: unknown) {
    this.#bases = bases;
    this.#cb = cb;
    this.#ctx = ctx;
  }

  onReady(): void {
    while (this.#next < this.#bases.length) {
      const base = this.#bases[this.#next];
      const rc = base.reset(baseIsReset, this);
      if (rc === ENOMEM) {
        base.queueIoWait(this);
        return;
      }
      this.#next++;
      if (rc === 0) this.#pending++;
      else this.#failed(rc);
    }
    if (this.#pending === 0) this.#cb(this.#ctx, this.#status);
  }

  #failed(status: number): void {
    if (status !== ENODEV && this.#status === 0) this.#status = status;
  }

  done(status: number): void {
    this.#pending--;
    if (status !== 0) this.#failed(status);
    if (this.#pending === 0 && this.#next === this.#bases.length) this.#cb(this.#ctx, this.#status);
  }
}

/** Resets `bases`; `cb` is called once, at once or later, with the first status that is not 0. For `BackendChannel.reset`. */
export function resetBases(bases: readonly BdevChannel[], cb: BdevIoDone, ctx: unknown): void {
  new BaseReset(bases, cb, ctx).onReady();
}

function baseIsReset(reset: unknown, status: number): void {
  (reset as BaseReset).done(status);
}
