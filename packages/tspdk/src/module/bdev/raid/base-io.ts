/**
 * I/O of the control path on one disk: superblocks, rebuilding, repairs. Promises of statuses; any reactor, outside of lightweight threads.
 *
 * A member's reset aborts these too; they are then asked for again for a while (`raid_reset_wait_ms`), as nobody else knows of them.
 */
import { RESET_RETRY_US } from '../../../bdev/base-reset.ts';
import type { BdevIoDone } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import { type BdevDesc, IO_FLUSH } from '../../../bdev/index.ts';
import { ECANCELED, ENODEV, ENOMEM } from '../../../bdev/status.ts';
import { current } from '../../../env/current.ts';
import { limits } from '../../../env/limits.ts';
import type { Segment } from '../../../env/segment.ts';

export class BaseIo {
  readonly #channel: BdevChannel;

  /** @throws {SpdkError} ENODEV when the disk is going. */
  constructor(desc: BdevDesc) {
    const { thread } = current;
    current.thread = null;
    try {
      this.#channel = desc.getIoChannel();
    } finally {
      current.thread = thread;
    }
  }

  read(segment: Segment, offset: number, byteOffset: number, bytes: number): Promise<number> {
    return this.#ask((cb) => this.#channel.read(segment, offset, byteOffset, bytes, cb, null));
  }

  write(segment: Segment, offset: number, byteOffset: number, bytes: number, flags = 0): Promise<number> {
    return this.#ask((cb) => this.#channel.write(segment, offset, byteOffset, bytes, cb, null, flags));
  }

  /** What was written is on stable storage; at once where there is no cache to flush. */
  flush(byteOffset: number, bytes: number): Promise<number> {
    if ((this.#channel.bdev.takenTypes & (1 << IO_FLUSH)) === 0) return Promise.resolve(0);
    return this.#ask((cb) => this.#channel.flush(byteOffset, bytes, cb, null));
  }

  async #ask(submit: (cb: BdevIoDone) => number): Promise<number> {
    const { clock } = this.#channel.shared.manager.reactor;
    for (let until = 0; ; ) {
      const status = await this.#once(submit);
      if (status !== ECANCELED) return status;
      if (until === 0) until = clock.nowUs + limits.raid_reset_wait_ms * 1000;
      if (clock.nowUs >= until) return status;
      await this.#pause();
    }
  }

  #once(submit: (cb: BdevIoDone) => number): Promise<number> {
    const channel = this.#channel;
    const { reactor } = channel.shared.manager;
    return new Promise((resolve) => {
      const onReady = (): void => {
        const rc = submit((_, status) => resolve(status));
        if (rc === ENOMEM) channel.queueIoWait({ onReady });
        else if (rc !== 0) resolve(rc);
        reactor.kick();
      };
      onReady();
    });
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#channel.shared.manager.retryAfter(RESET_RETRY_US, { retry: resolve }));
  }

  close(): void {
    this.#channel.close();
  }
}

/** The worse of two statuses: a disk that is gone stays gone. */
export function worseStatus(a: number, b: number): number {
  return a === 0 || b === ENODEV ? b : a;
}
