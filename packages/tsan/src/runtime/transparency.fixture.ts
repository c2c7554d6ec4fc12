// Runs random calls of built-ins twice, on a view of shared memory and on a copy of it on memory of one thread, and says where results, exceptions or contents
// differ. Patched both times, but only the shared view takes the slow way. The first argument is the seed.

import fc from 'fast-check';
import { install } from './install.ts';

const originals = new Map<string, string>();
for (const name of Object.getOwnPropertyNames(Atomics)) originals.set(name, describe(Atomics, name));
install();

function describe(holder: object, name: string): string {
  const { value, ...rest } = Object.getOwnPropertyDescriptor(holder, name)!;
  return JSON.stringify([rest, value?.name, value?.length, String(value), typeof value?.prototype]);
}
for (const [name, before] of originals) {
  const after = describe(Atomics, name);
  if (after !== before) throw new Error(`Atomics.${name}: ${before} became ${after}`);
}

const types = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
];
type View = InstanceType<(typeof types)[number]>;

const argument = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -10, max: 20 }) as fc.Arbitrary<unknown> },
  { weight: 2, arbitrary: fc.bigInt({ min: -5n, max: 5n }) },
  fc.constantFrom<unknown>(
    undefined,
    null,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -0,
    1.5,
    '2',
    'x',
    true,
    Symbol.iterator,
    [1, 2],
    2 ** 40,
  ),
  fc.constantFrom<unknown>((value: unknown, index: unknown) => Number(value) + Number(index) > 4),
  fc.integer({ min: 0, max: 9 }).map((value) => ({ valueOf: () => value })),
);
const typed = Object.getPrototypeOf(Uint8Array).prototype as object;
const names = (holder: object) =>
  Object.getOwnPropertyNames(holder).filter((name) => {
    const { value } = Object.getOwnPropertyDescriptor(holder, name)!;
    return typeof value === 'function' && name !== 'constructor';
  });
const leftOut = new Set([
  'wait',
  'waitAsync',
  'notify',
  'pause',
  'inspect',
  'toLocaleString',
  'parent',
  'offset',
  'asciiWriteStatic',
  'latin1WriteStatic',
  'utf8WriteStatic',
]);
/** Node 24 on aborts on odd arguments of these, with the sanitizer or without. */
const aborting = new Set(['indexOf', 'lastIndexOf', 'includes']);
const kinds = ['typed', 'atomics', 'data', 'buffer'] as const;
const methods = {
  typed: names(typed),
  atomics: names(Atomics),
  data: names(DataView.prototype),
  buffer: names(Buffer.prototype).filter((name) => !aborting.has(name)),
};

function outcome(act: () => unknown): string {
  try {
    return show(act());
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

function show(value: unknown): string {
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return `${value.constructor.name} ${Buffer.from(bytes).toString('hex')}`;
  }
  if (typeof value === 'object' && value !== null && Symbol.iterator in value)
    return show([...(value as Iterable<unknown>)].map(show).join());
  return typeof value === 'object' ? JSON.stringify(value) : `${typeof value} ${String(value)}`;
}

function call(kind: (typeof kinds)[number], name: string, view: View, args: readonly unknown[]): unknown {
  const given = args.map((each) =>
    typeof each === 'object' && each !== null && 'valueOf' in each && !Array.isArray(each)
      ? { valueOf: each.valueOf }
      : each,
  );
  if (kind === 'atomics') return Reflect.apply((Atomics as never)[name], Atomics, [view, ...given]);
  if (kind === 'typed') return Reflect.apply((typed as never)[name], view, given);
  if (kind === 'data') {
    return Reflect.apply(
      (DataView.prototype as never)[name],
      new DataView(view.buffer, view.byteOffset, view.byteLength),
      given,
    );
  }
  return Reflect.apply(
    (Buffer.prototype as never)[name],
    Buffer.from(view.buffer, view.byteOffset, view.byteLength),
    given,
  );
}

const bytes = 64;
function same(
  kind: (typeof kinds)[number],
  name: string,
  type: (typeof types)[number],
  args: readonly unknown[],
): void {
  const shared = new type(new SharedArrayBuffer(bytes) as never) as View;
  const plain = new type(new ArrayBuffer(bytes) as never) as View;
  for (const view of [shared, plain]) {
    const raw = new Uint8Array(view.buffer);
    for (let at = 0; at < bytes; at++) raw[at] = (at * 7) % 11;
  }
  structuredClone(shared);
  const one = outcome(() => call(kind, name, shared, args));
  const two = outcome(() => call(kind, name, plain, args));
  if (one !== two) throw new Error(`shared: ${one}\nnot:    ${two}`);
  const contents = [show(shared), show(plain)];
  if (contents[0] !== contents[1]) throw new Error(`contents: ${contents.join('\nnot:      ')}`);
}

const steps = fc
  .constantFrom(...kinds)
  .chain((kind) =>
    fc.tuple(
      fc.constant(kind),
      fc.constantFrom(...methods[kind].filter((name) => !leftOut.has(name))),
      fc.constantFrom(...types),
      fc.array(argument, { maxLength: 4 }),
    ),
  );
fc.assert(
  fc.property(steps, (step) => same(...step)),
  {
    numRuns: Number(process.argv[3] ?? 4000),
    seed: Number(process.argv[2] ?? 1),
    examples: [[['typed', 'fill', Int8Array, [1, undefined, 2]]]],
  },
);
console.log('the same');
