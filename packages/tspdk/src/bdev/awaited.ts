/** Disks that somebody waits for by name, until they come or the time is over (SPDK: spdk_bdev_open_async). App core only. */
import { SpdkError } from '../env/errors.ts';
import type { Bdev } from './bdev.ts';

/** The longest that Node's timers take. */
const TIMER_MAX_MS = 0x7fffffff;

export class Awaited {
  readonly #looks = new Set<(bdev: Bdev) => void>();

  /** The disk of that name, or alias, when it comes. @throws {SpdkError} ENODEV when it has not within `timeoutMs`, or at once for 0 */
  wait(name: string, timeoutMs: number): Promise<Bdev> {
    const missing = new SpdkError('ENODEV', `no bdev named "${name}"`);
    if (timeoutMs === 0) return Promise.reject(missing);
    return new Promise((resolve, reject) => {
      const look = (bdev: Bdev): void => {
        if (!bdev.isCalled(name)) return;
        this.#looks.delete(look);
        clearTimeout(timer);
        resolve(bdev);
      };
      const over = (): void => {
        this.#looks.delete(look);
        reject(missing);
      };
      const timer = setTimeout(over, Math.min(timeoutMs, TIMER_MAX_MS));
      timer.unref();
      this.#looks.add(look);
    });
  }

  /** A disk has come. */
  came(bdev: Bdev): void {
    for (const look of [...this.#looks]) look(bdev);
  }
}
