/** What a check of the conformance suite is, and what came of it. */
import type { DiskUnderTest } from './disk-under-test.ts';

/** One thing that every disk must do. */
export interface Check {
  /** For people and for `--only`: words with dashes. */
  readonly name: string;
  /** What holds when it passes. */
  readonly summary: string;
  /** @throws {ConformError} what does not hold; {NotForThisDisk} */
  run(disk: DiskUnderTest): Promise<void>;
}

/** What came of one check. */
export interface CheckResult {
  readonly name: string;
  readonly summary: string;
  readonly status: 'ok' | 'failed' | 'skipped';
  /** What was expected and what came, or why it was skipped. */
  readonly message?: string;
  readonly ms: number;
}
