/** What a reactor is made with, by the application or by a test. */
import type { Clock } from '../env/clock.ts';
import type { AppHandle } from './app-handle.ts';
import type { Fabric } from './fabric.ts';
import type { StallKind } from './stall-detector.ts';

/** What the reactor needs from whoever made it. */
export interface ReactorOptions {
  readonly fabric: Fabric;
  readonly core: number;
  readonly clock: Clock;
  readonly app: AppHandle;
  /** A fault in an event or poller: the reactor goes on, the application decides. */
  readonly onFault: (error: unknown, what: string) => void;
  /** Something held this core longer than `limits.stall_ms`; see stall-detector.ts. */
  readonly onStall?: (text: string, kind: StallKind) => void;
}
