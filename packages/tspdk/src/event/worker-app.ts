/**
 * The application as a worker's reactor sees it: everything goes to the app core.
 */
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import type { AppHandle } from './app-handle.ts';
import type { Control, ControlLink } from './control.ts';
import { currentReactor, type Reactor } from './reactor.ts';

/** Stands for the application on every core but the app core. */
export class WorkerApp implements AppHandle {
  readonly mainCore: number;
  #reactor: Reactor | null = null;
  #link: ControlLink | null = null;

  constructor(mainCore: number) {
    this.mainCore = mainCore;
  }

  /** Set once, when reactor and port exist. */
  attach(reactor: Reactor, link: ControlLink): void {
    this.#reactor = reactor;
    this.#link = link;
  }

  stop(rc: number): void {
    const reactor = this.#reactor as Reactor;
    try {
      reactor.send(this.mainCore, stopEvent, rc, 0, 0);
    } catch (error) {
      // The app core leaves last: then the application has stopped already.
      if (!(error instanceof SpdkError && error.code === 'ESHUTDOWN')) throw error;
    }
  }

  async call<P, R>(core: number, control: Control<P, R>, payload: P): Promise<R> {
    if (core !== this.mainCore) {
      throw new SpdkError(
        'EINVAL',
        `control call "${control.name}" from a worker to core ${core}: only to the app core`,
      );
    }
    return (await (this.#link as ControlLink).call(control.name, payload)) as R;
  }
}

/** Stop asked for on another core arrives at the app core. */
export const stopEvent = defineEvent('event.app.stop', (rc) => currentReactor().app.stop(rc));
