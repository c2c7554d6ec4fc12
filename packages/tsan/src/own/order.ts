// Annotated order: acquire and release on what is no Atomics operation, benign ranges, and memory that somebody else than JavaScript reads and writes (a
// system call, io_uring, a device) in this thread's name.

import { Cell } from '../runtime/clock.ts';
import { maxNamed } from '../runtime/control.ts';
import type { Runtime } from '../runtime/runtime.ts';
import {
  acquire,
  findVariable,
  Key,
  lockField,
  lockVariable,
  releaseMerging,
  unlock,
  type Variable,
} from '../runtime/sync.ts';
import { placeOf, sharedPlaceOf, type Target } from './record.ts';

/** What order is made on: a place of shared memory, or a name or number that all threads know. */
export type Token = Target | string | number;

export class Order {
  readonly #runtime: Runtime;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  acquire(token: Token, index = 0): void {
    this.#under(token, index, (variable) => acquire(this.#runtime.clock, variable));
  }

  release(token: Token, index = 0): void {
    this.#under(token, index, (variable) => releaseMerging(this.#runtime.clock, variable));
    this.#runtime.clock.tick();
  }

  #under(token: Token, index: number, act: (variable: Variable) => void): void {
    const { clock } = this.#runtime;
    const variable = this.#variable(token, index);
    if (variable === 0) return;
    lockVariable(clock, variable);
    try {
      act(variable);
    } finally {
      unlock(clock.control.syncInts, variable + lockField, clock.holder, 0);
    }
  }

  #variable(token: Token, index: number): Variable {
    const { control } = this.#runtime;
    if (typeof token === 'string' || typeof token === 'number') {
      const hash = hashOf(`${typeof token} ${token}`);
      return findVariable(control, control.named, (hash >>> 0) % maxNamed, hash | 1);
    }
    const place = sharedPlaceOf(this.#runtime, token, index);
    if (place === undefined) return 0;
    const key = Key.annotation | ((place.offset & 3) << 8);
    return findVariable(control, place.buffer.heads, Math.floor(place.offset / 4), key);
  }

  foreign(target: Target, from: number, to: number, writes: boolean): void {
    const place = placeOf(this.#runtime, target);
    if (place === undefined) return;
    const { check, site } = this.#runtime;
    check.range(place.buffer, place.offset + from, to - from, (writes ? Cell.write : 0) | Cell.tear, site[0]!);
  }

  benign(target: Target, from: number, to: number): void {
    const place = placeOf(this.#runtime, target);
    if (place === undefined) return;
    this.#runtime.races.benign(place.buffer.id, place.offset + from, place.offset + to);
  }
}

/** FNV-1a. Two names with one hash make order where there is none: a race may be missed, none made up. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}
