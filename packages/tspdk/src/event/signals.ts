/**
 * SIGINT and SIGTERM: the first asks for an orderly stop, a second forces the exit once the first has had its time.
 */
import { exitNow } from '../env/exit-now.ts';
import { limits } from '../env/limits.ts';
import { log } from '../log/index.ts';

const appLog = log.register('app');
const NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;
type Name = keyof typeof NUMBERS;

/** What a signal stops. */
export interface Stoppable {
  stop(rc: number): void;
}

/** Listens until closed. App core only. */
export class SignalWatch {
  readonly #app: Stoppable;
  readonly #onSignal = (name: Name) => this.#signal(name);
  #firstAtMs: number | null = null;
  #force: NodeJS.Timeout | null = null;

  constructor(app: Stoppable) {
    this.#app = app;
    for (const name of Object.keys(NUMBERS) as Name[]) process.on(name, this.#onSignal);
  }

  close(): void {
    for (const name of Object.keys(NUMBERS) as Name[]) process.off(name, this.#onSignal);
    if (this.#force !== null) clearTimeout(this.#force);
  }

  #signal(name: Name): void {
    if (this.#firstAtMs === null) {
      this.#firstAtMs = performance.now();
      appLog.notice(`${name}: stopping`);
      this.#app.stop(0);
      return;
    }
    if (this.#force !== null) return;
    const graceMs = Math.max(0, limits.stop_grace_ms - (performance.now() - this.#firstAtMs));
    appLog.warn(`${name} again: the exit is forced in ${Math.ceil(graceMs / 1000)} s if the stop is not done by then`);
    this.#force = setTimeout(() => {
      appLog.error(`the stop did not finish within ${limits.stop_grace_ms} ms: exit forced`);
      exitNow(128 + NUMBERS[name]);
    }, graceMs);
  }
}
