/**
 * What code on any reactor may ask of its application: stop, and control calls between cores.
 *
 * The app core holds the application itself (app.ts), workers a stand-in that sends (worker-app.ts). Control path: async, structured clone.
 */
import type { Control } from './control.ts';

/** The application as seen from one core. */
export interface AppHandle {
  /** Core of the app thread. */
  readonly mainCore: number;
  /** Begins the stop; the first return code wins. Any core, any number of times. */
  stop(rc: number): void;
  /**
   * Runs a control function on `core`. From the app core to any; from any core to the app core.
   * @throws {SpdkError} what the function threw there, with its code; ESHUTDOWN when that core has left.
   */
  call<P, R>(core: number, control: Control<P, R>, payload: P): Promise<R>;
}
