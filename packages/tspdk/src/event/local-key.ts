/**
 * Keys of per-reactor state: what `reactor.local` is asked with.
 */
import type { Reactor } from './reactor.ts';

/** A key of per-reactor state: one value per reactor, made on first use. */
export interface LocalKey<T> {
  readonly name: string;
  readonly make: (reactor: Reactor) => T;
}

/** A key for `reactor.local`. Make it at module load. */
export function localKey<T>(name: string, make: (reactor: Reactor) => T): LocalKey<T> {
  return { name, make };
}
