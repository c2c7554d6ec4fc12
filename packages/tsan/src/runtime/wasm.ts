// WebAssembly memories: what compiled code does in them cannot be seen, so accesses to them are not checked, and that is said once in a process. Atomics of
// JavaScript on them order threads as everywhere.

import { writeSync } from 'node:fs';
import { sharedSize } from './buffers.ts';
import { Header } from './control.ts';
import { patchGetter } from './patch.ts';
import type { Runtime } from './runtime.ts';

const { exchange } = Atomics;

/** Not in the types of the language alone. */
interface Memories {
  readonly Memory?: { readonly prototype: object };
}

export function patchWasm(runtime: Runtime): void {
  const { WebAssembly } = globalThis as { WebAssembly?: Memories };
  if (WebAssembly?.Memory === undefined) return;
  patchGetter(
    WebAssembly.Memory.prototype,
    'buffer',
    (original) =>
      Object.getOwnPropertyDescriptor(
        {
          get buffer(): unknown {
            const buffer = Reflect.apply(original, this, []) as object;
            if (sharedSize(buffer) !== undefined) {
              runtime.buffers.leaveUnchecked(buffer, this);
              say(runtime);
            }
            return buffer;
          },
        },
        'buffer',
      )!.get!,
  );
}

function say({ control }: Runtime): void {
  if (exchange(control.header, Header.wasmSaid, 1) !== 0) return;
  writeSync(2, 'ThreadSanitizer: accesses to the memory of WebAssembly modules are not checked\n');
}
