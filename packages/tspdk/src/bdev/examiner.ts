/**
 * Looks at disks as they come: makes what has waited for them, then asks the hooks, one after the other, until one has claimed the disk (SPDK: bdev_examine). Which disks are
 * examined where not all are is a list of names, which need not be there yet. App core only.
 */
import { SpdkError } from '../env/errors.ts';
import type { Bdev } from './bdev.ts';
import { CLAIM_NONE } from './shared-state.ts';

/** Looks at a disk that has just been made and that nobody has claimed, and may make others on top of it (SPDK: examine_disk). */
export type ExamineHook = (bdev: Bdev) => Promise<void> | void;

export class Examiner {
  readonly hooks: ExamineHook[] = [];
  /** Disks that are examined though others are not, by name or alias. */
  readonly names = new Set<string>();
  readonly #createWaiting: (bdev: Bdev) => void;
  readonly #under = new Set<Promise<void>>();

  /** @param createWaiting makes what has waited for a disk */
  constructor(createWaiting: (bdev: Bdev) => void) {
    this.#createWaiting = createWaiting;
  }

  /** @throws {SpdkError} EEXIST when it is on the list */
  allow(name: string): void {
    if (this.names.has(name)) throw new SpdkError('EEXIST', `bdev "${name}" is to be examined already`);
    this.names.add(name);
  }

  /** Whether it is on the list. */
  allows(bdev: Bdev): boolean {
    return [...this.names].some((name) => bdev.isCalled(name));
  }

  clear(): void {
    this.names.clear();
  }

  examine(bdev: Bdev): Promise<void> {
    return this.track(this.#examine(bdev));
  }

  async #examine(bdev: Bdev): Promise<void> {
    this.#createWaiting(bdev);
    for (const hook of this.hooks) {
      if (!bdev.ready || bdev.shared.claim !== CLAIM_NONE) return;
      await hook(bdev);
    }
  }

  /** What `wait` waits for. */
  track(work: Promise<void>): Promise<void> {
    const tracked = work.finally(() => this.#under.delete(tracked));
    this.#under.add(tracked);
    return tracked;
  }

  /** Resolves when nothing is being examined. */
  async wait(): Promise<void> {
    while (this.#under.size > 0) await Promise.allSettled([...this.#under]);
  }
}
