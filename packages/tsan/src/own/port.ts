// The port: what annotations, and packages that know of the sanitizer without depending on it, find at run time. It exists only where the sanitizer runs:
//
//   const sanitizer = globalThis[Symbol.for('tspdk.sanitizer')];   // SanitizerPort or undefined
//
// Its methods never throw on account of what they are given: memory that is not shared, or not checked, is none of its business.

import type { Runtime } from '../runtime/runtime.ts';
import { Blocks, type RegionKind } from './blocks.ts';
import { Locks } from './locks.ts';
import { Order, type Token } from './order.ts';
import type { Target } from './record.ts';

export const portKey = Symbol.for('tspdk.sanitizer');

export interface SanitizerPort {
  readonly version: 1;
  acquire(token: Token, index?: number): void;
  release(token: Token, index?: number): void;
  /** Bytes [from, to) of a view or buffer, read or written by somebody else (a system call, a device) in this thread's name. */
  foreignRead(target: Target, from: number, to: number): void;
  foreignWrite(target: Target, from: number, to: number): void;
  benign(target: Target, from: number, to: number, why: string): void;
  ignoreBegin(): void;
  ignoreEnd(): void;
  alloc(kind: RegionKind, name: string, target: Target, offset: number, size: number): void;
  /** `refused`: the allocator has found out by itself, and the block is still there. */
  free(target: Target, offset: number, refused?: boolean): void;
  handoff(target: Target, offset: number, toThreadId?: number): void;
  lockCreated(target: Target, index: number, name?: string): void;
  lockAcquiring(target: Target, index: number): void;
  lockAcquired(target: Target, index: number): void;
  lockReleasing(target: Target, index: number): void;
  lockDestroyed(target: Target, index: number): void;
  /** Code that must not keep a lock has returned. */
  returned(): void;
}

export function createPort(runtime: Runtime): SanitizerPort {
  const blocks = new Blocks(runtime);
  const locks = new Locks(runtime);
  const order = new Order(runtime);
  runtime.heldLocks = () => locks.held();
  return Object.freeze<SanitizerPort>({
    version: 1,
    acquire: (token, index) => order.acquire(token, index),
    release: (token, index) => order.release(token, index),
    foreignRead: (target, from, to) => order.foreign(target, from, to, false),
    foreignWrite: (target, from, to) => order.foreign(target, from, to, true),
    benign: (target, from, to) => order.benign(target, from, to),
    ignoreBegin: () => runtime.ignore(1),
    ignoreEnd: () => runtime.ignore(-1),
    alloc: (kind, name, target, offset, size) => blocks.alloc(kind, name, target, offset, size),
    free: (target, offset, refused = false) => blocks.free(target, offset, refused),
    handoff: (target, offset, to) => blocks.handoff(target, offset, to),
    lockCreated: (target, index, name = '') => locks.created(target, index, name),
    lockAcquiring: (target, index) => locks.acquiring(target, index),
    lockAcquired: (target, index) => locks.acquired(target, index),
    lockReleasing: (target, index) => locks.released(target, index),
    lockDestroyed: (target, index) => locks.destroyed(target, index),
    returned: () => locks.returned(),
  });
}

export function installPort(runtime: Runtime): void {
  Object.defineProperty(globalThis, portKey, { value: createPort(runtime) });
}
