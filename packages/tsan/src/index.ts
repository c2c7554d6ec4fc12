// What a program that is checked may say to the sanitizer: annotations for what it cannot see. All of them do nothing without it, and cost a look at one global.

import type { RegionKind } from './own/blocks.ts';
import type { Token } from './own/order.ts';
import type { SanitizerPort } from './own/port.ts';
import type { Target } from './own/record.ts';

export type { RegionKind, SanitizerPort, Target, Token };

/** As own/port.ts has it, which is not imported: a program that is not checked does not load the sanitizer. */
const portKey = Symbol.for('tspdk.sanitizer');

declare const core: unique symbol;
/** A value of a block that belongs to a core (or thread): a function that takes an `Owned<T, 'io'>` is not given another core's by mistake. */
export type Owned<T, Core extends string | number | symbol> = T & { readonly [core]: Core };

function port(): SanitizerPort | undefined {
  return (globalThis as { [key: symbol]: SanitizerPort | undefined })[portKey];
}

/** What was released on the same token so far is before what follows. A token is a place (view and index), or a name that all threads use. */
export function acquire(token: Token, index?: number): void {
  port()?.acquire(token, index);
}

/** What this thread did so far is before whatever follows an `acquire` of the same token. */
export function release(token: Token, index?: number): void {
  port()?.release(token, index);
}

/** Races on bytes [from, to) of `target` are meant, for this reason, and are not reported. Without a range: all of it. */
export function benign(target: Target, range: readonly [from: number, to: number] | undefined, why: string): void {
  const [from, to] = range ?? [0, target.byteLength];
  port()?.benign(target, from, to, why);
}

/** What this thread does until `ignoreEnd` is not looked at. May be nested. */
export function ignoreBegin(): void {
  port()?.ignoreBegin();
}

export function ignoreEnd(): void {
  port()?.ignoreEnd();
}

/** Blocks of an allocator of the program's own. Offsets are bytes from the beginning of `target`. */
export interface Region {
  readonly kind: RegionKind;
  readonly name: string;
  /** A block now belongs to this thread. */
  alloc(target: Target, offset: number, size: number): void;
  /** `refused`: the allocator checks by itself and has not taken the block back; what is wrong is reported all the same. */
  free(target: Target, offset: number, refused?: boolean): void;
  /** To a thread by Node's `threadId`; without one, to whoever touches it next. */
  handoff(target: Target, offset: number, toThreadId?: number): void;
}

/**
 * - `affine`: only the owner touches and frees a block
 * - `transferable`: the same, and the owner can hand it off
 * - `pool`: any thread touches and frees it
 * - `shared`: any thread touches it, the owner frees it
 */
export function region(kind: RegionKind, name = ''): Region {
  return {
    kind,
    name,
    alloc: (target, offset, size) => port()?.alloc(kind, name, target, offset, size),
    free: (target, offset, refused) => port()?.free(target, offset, refused),
    handoff: (target, offset, toThreadId) => port()?.handoff(target, offset, toThreadId),
  };
}

/** A lock at a place of shared memory. Each is called by the lock's own code, at the moment that its name says. */
export const lock = {
  created: (target: Target, index = 0, name = ''): void => port()?.lockCreated(target, index, name),
  /** Before the thread waits for it. */
  acquiring: (target: Target, index = 0): void => port()?.lockAcquiring(target, index),
  acquired: (target: Target, index = 0): void => port()?.lockAcquired(target, index),
  /** Before another thread can have it. */
  releasing: (target: Target, index = 0): void => port()?.lockReleasing(target, index),
  destroyed: (target: Target, index = 0): void => port()?.lockDestroyed(target, index),
  /** Code that must not keep a lock (a poller, the handler of a message) has returned. */
  returned: (): void => port()?.returned(),
};
