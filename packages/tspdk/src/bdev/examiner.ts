/**
 * Looks at disks as they come: makes what has waited for them, then asks the hooks, one after the other, until one has claimed the disk (SPDK: bdev_examine). Which disks are
 * examined where not all are is a list of names, which need not be there yet. App core only.
 */
import { explain, SpdkError } from '../env/errors.ts';
import { log } from '../log/index.ts';
import type { Bdev } from './bdev.ts';
import { CLAIM_NONE } from './shared-state.ts';

const examineLog = log.register('bdev');

/** Looks at a disk that has just been made and that nobody has claimed, and may make others on top of it (SPDK: examine_disk). What it throws is logged, and the next one is asked. */
export type ExamineHook = (bdev: Bdev) => Promise<void> | void;

export class Examiner {
  readonly hooks: ExamineHook[] = [];
  /** Disks that are examined though others are not, by name or alias. */
  readonly names = new Set<string>();
  readonly #createWaiting: (bdev: Bdev) => void;
  readonly #under = new Set<Promise<void>>();
  /** The disks that hooks have been shown, and when the last one is through with it. */
  readonly #shown = new WeakMap<Bdev, Promise<void>>();

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

  /** A hook more. Those of `bdevs` that others have been shown already it is shown after them: each disk once, as if it had been there before. */
  add(hook: ExamineHook, bdevs: readonly Bdev[]): void {
    this.hooks.push(hook);
    for (const bdev of bdevs) {
      const others = this.#shown.get(bdev);
      if (others !== undefined) this.#show(bdev, others.then(this.#ask.bind(this, hook, bdev)));
    }
  }

  /** It is asked no more. */
  remove(hook: ExamineHook): void {
    const at = this.hooks.indexOf(hook);
    if (at >= 0) this.hooks.splice(at, 1);
  }

  examine(bdev: Bdev): Promise<void> {
    return this.#show(bdev, this.#examine(bdev));
  }

  #show(bdev: Bdev, work: Promise<void>): Promise<void> {
    this.#shown.set(bdev, work);
    return this.track(work);
  }

  async #examine(bdev: Bdev): Promise<void> {
    this.#createWaiting(bdev);
    // Those that come meanwhile follow (`add`).
    for (const hook of [...this.hooks]) await this.#ask(hook, bdev);
  }

  async #ask(hook: ExamineHook, bdev: Bdev): Promise<void> {
    if (!bdev.ready || bdev.shared.claim !== CLAIM_NONE || !this.hooks.includes(hook)) return;
    try {
      await hook(bdev);
    } catch (error) {
      examineLog.error(`examine of bdev "${bdev.name}": ${explain(error)}`);
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
