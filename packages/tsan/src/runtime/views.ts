// Views get their tags where they are made. The constructors of typed arrays, DataView and SharedArrayBuffer are replaced by functions that make the same
// objects; what a view is made from, if that is shared memory too, is read.

import type { BufferShadow, View } from './buffer-shadow.ts';
import { shadowOf, tag } from './buffers.ts';
import { replaceGlobal } from './messages.ts';
import { patchClass, patchGetter, patchMethod } from './patch.ts';
import type { Runtime } from './runtime.ts';
import { acquire, findVariable, Key, lockField, lockVariable, releaseMerging, unlock } from './sync.ts';

type ViewConstructor = new (...args: unknown[]) => View;
const { construct, apply } = Reflect;
const { isView } = ArrayBuffer;

export const viewNames = [
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float16Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
  'DataView',
] as const;

/** Ours by name, for those that exist here. */
export function patchViews(runtime: Runtime): void {
  const globals = globalThis as unknown as Record<string, ViewConstructor>;
  const { Uint8Array: bytes } = globalThis;
  for (const name of viewNames) {
    const original = globals[name];
    if (original === undefined) continue;
    const own = viewConstructor(runtime, original);
    patchClass(own as never, original as never);
    replaceGlobal(name, original, own);
  }
  // Buffer extends the Uint8Array that it found.
  if (Object.getPrototypeOf(Buffer) === bytes) Object.setPrototypeOf(Buffer, Uint8Array);
  patchShared(runtime);
  patchGrow(runtime);
  hideTag();
}

function viewConstructor(runtime: Runtime, original: ViewConstructor): ViewConstructor {
  const { buffers, check, site } = runtime;

  function track(view: View, source: object): View {
    const from = isView(source) ? shadowOf(source) : undefined;
    if (from === undefined) {
      buffers.tagView(view);
      return view;
    }
    const { byteLength } = source as View;
    check.range(from.buffer, from.base, byteLength, 0, site[0]!);
    return view;
  }

  const own = function (this: unknown, a: unknown, b: unknown, c: unknown): unknown {
    if (new.target === undefined) return apply(original as never, this, [a, b, c]);
    const isOwn = new.target === (own as unknown);
    // biome-ignore lint/complexity/noArguments: without a rest array this is as fast as the original
    const view = isOwn ? new original(a, b, c) : (construct(original, arguments, new.target) as View);
    return typeof a === 'object' && a !== null ? track(view, a) : view;
  } as unknown as ViewConstructor;
  return own;
}

/** Growing orders who grows with who sees the new length. */
function patchGrow(runtime: Runtime): void {
  const { buffers, clock, control } = runtime;
  const pass = (buffer: object, edge: typeof acquire) => passed(buffers.known(buffer), edge);
  const passed = (shadow: BufferShadow | undefined, edge: typeof acquire) => {
    if (shadow?.memory === undefined) return;
    const variable = findVariable(control, shadow.heads, shadow.heads.length - 1, Key.length);
    if (variable === 0) return;
    lockVariable(clock, variable);
    try {
      edge(clock, variable);
    } finally {
      unlock(clock.control.syncInts, variable + lockField, clock.holder, 0);
    }
  };
  const prototype = SharedArrayBuffer.prototype as { grow?: (this: object, size: unknown) => unknown };
  patchMethod(
    prototype,
    'grow',
    (original: (this: object, size: unknown) => unknown) =>
      ({
        grow(this: object, size: unknown): unknown {
          const bytes = Number(size);
          pass(this, acquire);
          pass(this, releaseMerging);
          const result = apply(original, this, [bytes]);
          if (buffers.known(this) !== undefined) clock.tick();
          return result;
        },
      }).grow,
  );
  const growable = Object.getOwnPropertyDescriptor(prototype, 'growable')?.get;
  if (growable === undefined) return;
  patchGetter(
    prototype,
    'byteLength',
    (original) =>
      Object.getOwnPropertyDescriptor(
        {
          get byteLength(): unknown {
            const bytes = apply(original, this, []);
            if (apply(growable, this, []) === true) pass(this, acquire);
            return bytes;
          },
        },
        'byteLength',
      )!.get!,
  );
  runtime.lengthSeen = (buffer) => passed(buffer, acquire);
}

/** A buffer is known from its beginning, so that a report can say where that was. */
function patchShared(runtime: Runtime): void {
  const original = SharedArrayBuffer;
  const own = function Shared(this: unknown, ...args: unknown[]): unknown {
    if (new.target === undefined) return apply(original as never, this, args);
    const buffer = construct(original, args, new.target === (own as unknown) ? original : new.target);
    runtime.buffers.of(buffer);
    return buffer;
  } as unknown as SharedArrayBufferConstructor;
  patchClass(own as never, original as never);
  replaceGlobal('SharedArrayBuffer', original, own);
}

function isHidden(key: PropertyKey): boolean {
  return key === tag || key === Symbol.iterator;
}

/** The tag is not among a view's own keys. */
function hideTag(): void {
  const without = (keys: PropertyKey[]) => (keys.includes(tag) ? keys.filter((key) => !isHidden(key)) : keys);
  type Keys = (object: object) => PropertyKey[];
  patchMethod(
    Reflect,
    'ownKeys',
    (original: Keys) =>
      ({
        ownKeys(object: object) {
          const keys = original(object);
          return isView(object) ? without(keys) : keys;
        },
      }).ownKeys,
  );
  patchMethod(
    Object,
    'getOwnPropertySymbols',
    (original: Keys) =>
      ({
        getOwnPropertySymbols(object: object) {
          const keys = original(object);
          return isView(object) ? without(keys) : keys;
        },
      }).getOwnPropertySymbols,
  );
  patchMethod(
    Object,
    'getOwnPropertyDescriptors',
    (original: (object: object) => Record<PropertyKey, unknown>) =>
      ({
        getOwnPropertyDescriptors(object: object) {
          const all = original(object);
          if (isView(object)) delete all[tag];
          return all;
        },
      }).getOwnPropertyDescriptors,
  );
}
