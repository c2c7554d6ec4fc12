/**
 * The rule that a thread never leaves its core with a spin lock held (SPDK: SPIN_ERR_HOLD_DURING_SWITCH).
 *
 * Threads of one core take turns. One that kept a lock across its turn would let the next one spin for ever on a
 * lock whose holder cannot run. So after every message and every poller the count must be zero; the check is one
 * compare, this file is what happens when it fails.
 */
import { SpdkError } from '../env/errors.ts';

/** The part of a thread that the rule is about. */
export interface LockHolder {
  readonly name: string;
  /** Spin locks held now. */
  readonly lockCount: number;
}

/** @throws {SpdkError} ESPIN, always. */
export function lockStillHeld(thread: LockHolder, what: string): never {
  throw new SpdkError(
    'ESPIN',
    `thread "${thread.name}" still held ${thread.lockCount} spin lock(s) when ${what} returned: unlock before returning`,
  );
}
