/**
 * What the log tells of the faults of one disk on one core: each, up to ten a second; of those beyond, how many. With the log flag `fault` set
 * there is no such bound. What was left out is told when the second is over, or with the disk's end.
 */
import { LineLimit, log } from '../../log/index.ts';
import { IO_TYPE_NAMES } from '../io-type.ts';
import type { BdevManager, Retry } from '../manager.ts';
import type { Watch } from './watch.ts';

const faultLog = log.register('fault');
const LINES_PER_SECOND = 10;
const SECOND_US = 1_000_000;

export class FaultLog implements Retry {
  readonly #manager: BdevManager;
  readonly #disk: string;
  readonly #limit = new LineLimit(LINES_PER_SECOND);
  #waits = false;

  /** @param disk its name */
  constructor(manager: BdevManager, disk: string) {
    this.#manager = manager;
    this.#disk = disk;
  }

  /** `watch` has struck an I/O of that type (IO_*), or an abort. */
  struck(type: number, byteOffset: number, bytes: number, { id, rule }: Watch): void {
    if (faultLog.enabled || this.#limit.allows(this.#manager.reactor.clock.nowUs)) {
      const what = `${IO_TYPE_NAMES[type]} of ${bytes} bytes at ${byteOffset}`;
      faultLog.notice(`bdev "${this.#disk}": fault ${id} (${rule.action}) on a ${what}${this.#limit.note}`);
    } else if (!this.#waits) {
      this.#waits = true;
      this.#manager.retryAfter(SECOND_US, this);
    }
  }

  retry(): void {
    this.#waits = false;
    this.tellRest();
  }

  /** How many were left out, if any were. */
  tellRest(): void {
    const count = this.#limit.takeKeptBack();
    if (count > 0) faultLog.notice(`bdev "${this.#disk}": ${count} more faults were not logged`);
  }
}
