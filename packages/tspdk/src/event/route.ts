/**
 * What a reactor keeps for each other core: its mailbox there, and how to wake it.
 */
import type { DoorbellTarget } from '../env/doorbell.ts';
import type { Outbox } from '../env/mailbox.ts';

/** The way to another core. */
export interface Route {
  readonly outbox: Outbox;
  readonly core: number;
  /** First word of that core's line in the fabric. */
  readonly line: number;
  /** It is among the routes to publish. */
  dirty: boolean;
  doorbell: DoorbellTarget | null;
}
