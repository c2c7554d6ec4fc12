// Putting a function of ours in the place of a built-in so that the program does not see it: the same name, length, attributes and text.

const { defineProperty, getOwnPropertyDescriptor, getOwnPropertyNames } = Object;
const { apply } = Reflect;

// biome-ignore lint/complexity/noBannedTypes: any function at all
type Callable = Function;

/** Ours -> the one it stands for. */
const originals = new WeakMap<object, Callable>();

export function disguise<T extends Callable>(own: T, original: Callable): T {
  for (const name of ['name', 'length']) {
    const descriptor = getOwnPropertyDescriptor(original, name);
    if (descriptor !== undefined) defineProperty(own, name, descriptor);
  }
  originals.set(own, original);
  return own;
}

/** Replaces a method; `make` gets the original. Nothing happens where there is none. */
export function patchMethod<T extends Callable>(holder: object, name: PropertyKey, make: (original: T) => T): void {
  const descriptor = getOwnPropertyDescriptor(holder, name);
  if (descriptor === undefined || typeof descriptor.value !== 'function') return;
  const own = disguise(make(descriptor.value as T), descriptor.value as T);
  defineProperty(holder, name, { ...descriptor, value: own });
}

export function patchGetter(holder: object, name: PropertyKey, make: (original: () => unknown) => () => unknown): void {
  const descriptor = getOwnPropertyDescriptor(holder, name);
  if (descriptor?.get === undefined) return;
  const get = disguise(make(descriptor.get), descriptor.get);
  defineProperty(holder, name, { ...descriptor, get });
}

/** Makes `own`, a function that may be called with `new`, look like the class it stands for, and instances of both be instances of either. */
export function patchClass<T extends Callable>(own: T, original: T): T {
  Object.setPrototypeOf(own, Object.getPrototypeOf(original));
  for (const name of [...getOwnPropertyNames(original), ...Object.getOwnPropertySymbols(original)]) {
    if (name === 'name' || name === 'length') continue;
    const descriptor = getOwnPropertyDescriptor(original, name)!;
    const had = getOwnPropertyDescriptor(own, name);
    if (had !== undefined && !had.configurable) {
      if (had.writable) defineProperty(own, name, { value: descriptor.value, writable: descriptor.writable ?? false });
      continue;
    }
    defineProperty(own, name, descriptor);
  }
  disguise(own, original);
  const prototype = original.prototype as object;
  const back = getOwnPropertyDescriptor(prototype, 'constructor')!;
  defineProperty(prototype, 'constructor', { ...back, value: own });
  return own;
}

/** Functions of ours show the text of what they stand for. */
export function patchFunctionText(): void {
  patchMethod(
    Function.prototype,
    'toString',
    (original: () => string) =>
      ({
        toString(this: unknown): string {
          const known = typeof this === 'function' ? originals.get(this) : undefined;
          return apply(original, known ?? this, []);
        },
      }).toString,
  );
}
