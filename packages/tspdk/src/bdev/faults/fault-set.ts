/**
 * What is to go wrong with one disk on one reactor: its rules, in their order, and what they hold back. Data path of a disk with rules; a disk without pays a
 * test for null.
 *
 * An I/O passes the rules in their order. Those that apply and only set the disk's state do so, and it goes on to the next; the first other that applies
 * strikes, and those behind it do not see the I/O. All of them see the state that the disk had when the I/O came, as with QEMU's blkdebug.
 */
import type { Bdev } from '../bdev.ts';
import type { BdevIo } from '../bdev-io.ts';
import { IO_ABORT, IO_FLAG_EMULATED, IO_RESET } from '../io-type.ts';
import type { ThreadChannel } from '../thread-channel.ts';
import { FaultIo, type Holder } from './fault-io.ts';
import { FaultLog } from './fault-log.ts';
import { ruleStruck } from './struck.ts';
import type { FaultAction } from './vocabulary.ts';
import { type ActiveFault, TOLD, Watch } from './watch.ts';

export class FaultSet implements Holder {
  readonly #bdev: Bdev;
  #watches: Watch[] = [];
  #state: Int32Array = new Int32Array(1);
  readonly #log: FaultLog;
  /** I/Os that rules hold back here: stuck, or delayed. They outlive their rules. */
  readonly held = new Set<FaultIo>();
  ended = false;

  constructor(bdev: Bdev) {
    this.#bdev = bdev;
    this.#log = new FaultLog(bdev.manager, bdev.name);
  }

  /** Replaces the rules. */
  set(rules: readonly ActiveFault[], state: SharedArrayBuffer): void {
    this.#watches = rules.map((rule) => new Watch(rule, this.#bdev.blockSizeBytes));
    this.#state = new Int32Array(state);
  }

  /** Has `io` go wrong, if a rule says so. True when it is taken care of. */
  strike(channel: ThreadChannel, io: BdevIo): boolean {
    // It ends with the reset under way: one that were held up would hold the reset up.
    if (channel.resetting > 0 && io.type !== IO_RESET) return false;
    const watch = this.#find(channel, io.type, io, io.byteOffset);
    if (watch === null) return false;
    const { action, stage } = watch.rule;
    if (action === 'error' && stage === 'submission') channel.fail(io, watch.status);
    else if (action === 'nomem') channel.refuse(io);
    else {
      const delayUs = action === 'delay' ? watch.delayUs() : 0;
      new FaultIo(watch.rule, watch.status, delayUs, this).begin(channel, io);
      // It is this that is counted.
      io.flags &= ~IO_FLAG_EMULATED;
    }
    return true;
  }

  /** How the abort of `io`, which is at `byteOffset` here, goes wrong: `error`, it is found not to end; `lost`, it is said to end and does not; null: as it should. */
  strikeAbort(channel: ThreadChannel, io: BdevIo, byteOffset: number): FaultAction | null {
    return this.#find(channel, IO_ABORT, io, byteOffset)?.rule.action ?? null;
  }

  /** The rule that strikes. */
  #find(channel: ThreadChannel, type: number, io: BdevIo, byteOffset: number): Watch | null {
    const { nowUs } = channel.manager.reactor.clock;
    const state = Atomics.load(this.#state, 0);
    for (const watch of this.#watches) {
      if (!watch.strikes(type, io, byteOffset, channel.withModule, nowUs, this.#state, state)) continue;
      this.#tell(type, byteOffset, io.bytes, watch);
      if (watch.rule.action !== 'set_state') return watch;
    }
    return null;
  }

  #tell(type: number, byteOffset: number, bytes: number, watch: Watch): void {
    this.#log.struck(type, byteOffset, bytes, watch);
    if (Atomics.exchange(watch.words, TOLD, 1) !== 0) return;
    const { reactor } = this.#bdev.manager;
    reactor.send(reactor.app.mainCore, ruleStruck, this.#bdev.id, watch.id, 0);
  }

  /** The disk or the application goes: ends what is held back with `status`, and lets nothing be held back that is with the disk yet. */
  endHeld(status: number): void {
    this.ended = true;
    for (const io of [...this.held]) io.end(status);
  }

  /** The disk is gone. */
  close(): void {
    this.#log.tellRest();
  }
}
