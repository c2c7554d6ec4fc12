/** The reset of a RAID disk: one of each member, after the disk's own I/O has drained (bdev/reset.ts). A member that is going needs none. */
import type { BdevIoDone, IoWaitEntry } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import { ENODEV, ENOMEM } from '../../../bdev/status.ts';

export class RaidReset implements IoWaitEntry {
  readonly #members: readonly (BdevChannel | null)[];
  readonly #cb: BdevIoDone;
  readonly #ctx: unknown;
  #next = 0;
  #pending = 0;
  #status = 0;

  constructor(members: readonly (BdevChannel | null)[], cb: BdevIoDone, ctx: unknown) {
    // Of now: one that comes later has nothing under way.
    this.#members = members.filter((member) => member !== null);
    this.#cb = cb;
    this.#ctx = ctx;
  }

  onReady(): void {
    while (this.#next < this.#members.length) {
      const member = this.#members[this.#next] as BdevChannel;
      const rc = member.reset(memberIsReset, this);
      if (rc === ENOMEM) {
        member.queueIoWait(this);
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
    if (this.#pending === 0 && this.#next === this.#members.length) this.#cb(this.#ctx, this.#status);
  }
}

function memberIsReset(reset: unknown, status: number): void {
  (reset as RaidReset).done(status);
}
