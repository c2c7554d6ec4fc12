// Text that every thread can read: names, captured stacks and the rewriter's tables, appended to the control memory and never taken back.
// A text is its length and its bytes at an offset; offset 0 is no text.

import { type Control, Header } from './control.ts';

const { load } = Atomics;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Where it lies, or 0 where there is no room left: what it would have told is then unknown. */
export function appendText(control: Control, text: string): number {
  const bytes = encoder.encode(text);
  const size = (bytes.length + 4 + 7) & ~7;
  const room = control.text.length;
  if (load(control.header, Header.textTop) + size > room) return 0;
  const at = control.take(Header.textTop, size);
  if (at + size > room) return 0;
  const length = new Int32Array(control.text.buffer, control.text.byteOffset + at, 1);
  length[0] = bytes.length;
  control.text.set(bytes, at + 4);
  return at;
}

export function readText(control: Control, at: number): string {
  if (at <= 0 || at >= control.text.length) return '';
  const length = new Int32Array(control.text.buffer, control.text.byteOffset + at, 1)[0]!;
  // A copy: TextDecoder does not take shared memory everywhere.
  return decoder.decode(Uint8Array.from(control.text.subarray(at + 4, at + 4 + length)));
}
