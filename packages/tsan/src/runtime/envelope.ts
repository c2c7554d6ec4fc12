// What goes along with a message: the sender's clock, and for every shared buffer in it its id and shadow. The value travels inside an envelope and comes out
// of it before the program sees it. Buffers, views and ports are listed beside the value: the structured clone keeps identities within one message, so the
// receiver need not search for them.

import { types } from 'node:util';
import type { View } from './buffer-shadow.ts';
import { type BufferParcel, sharedSize } from './buffers.ts';
import type { Runtime } from './runtime.ts';

const mark = 'jstsan envelope';

interface Header {
  readonly mark: typeof mark;
  readonly clock: readonly number[];
  readonly buffers: readonly BufferParcel[];
  readonly views: readonly View[];
  readonly ports: readonly object[];
}
export interface Envelope {
  readonly header: Header;
  readonly value: unknown;
}

const { isView } = ArrayBuffer;
const { getOwnPropertyDescriptor, keys } = Object;

interface Contents {
  readonly buffers: Set<SharedArrayBuffer>;
  readonly views: View[];
  readonly ports: object[];
}

/** What stands for itself in a message, and has nothing inside. */
function isLeaf(value: unknown): boolean {
  return value === null || (typeof value !== 'object' && typeof value !== 'function');
}

/** Everything shared in a value, found as the structured clone would, without calling getters. */
function contentsOf(value: unknown, isPort: (value: object) => boolean): Contents {
  const contents: Contents = { buffers: new Set(), views: [], ports: [] };
  if (isLeaf(value)) return contents;
  const seen = new Set<object>([value as object]);
  const visit = (inner: unknown) => {
    if (!isLeaf(inner)) seen.add(inner as object);
  };
  // A Set is visited in order of insertion, also what is added on the way.
  for (const object of seen) visitObject(object, contents, visit, isPort);
  return contents;
}

function visitObject(
  object: object,
  contents: Contents,
  visit: (inner: unknown) => void,
  isPort: (value: object) => boolean,
): void {
  if (typeof object === 'function' || types.isProxy(object)) return;
  if (isView(object)) {
    visitView(object, contents);
    return;
  }
  if (types.isSharedArrayBuffer(object)) {
    addBuffer(object, contents);
    return;
  }
  if (types.isAnyArrayBuffer(object)) return;
  if (isPort(object)) {
    contents.ports.push(object);
    return;
  }
  if (types.isMap(object)) {
    for (const [key, value] of Map.prototype.entries.call(object) as MapIterator<[unknown, unknown]>) {
      visit(key);
      visit(value);
    }
    return;
  }
  if (types.isSet(object)) {
    for (const value of Set.prototype.values.call(object) as SetIterator<unknown>) visit(value);
    return;
  }
  if (Array.isArray(object)) {
    visitArray(object, visit);
    return;
  }
  for (const key of keys(object)) visit(getOwnPropertyDescriptor(object, key)?.value);
}

function visitArray(array: readonly unknown[], visit: (inner: unknown) => void): void {
  // Elements that are getters cannot be told apart cheaply; arrays have none.
  for (let index = 0; index < array.length; index++) visit(array[index]);
}

function visitView(view: View, contents: Contents): void {
  const buffer = view.buffer as ArrayBufferLike;
  if (sharedSize(buffer) === undefined) return;
  addBuffer(buffer as SharedArrayBuffer, contents);
  contents.views.push(view);
}

function addBuffer(buffer: SharedArrayBuffer, contents: Contents): void {
  contents.buffers.add(buffer);
}

/** Puts a value in an envelope: what this thread has done so far is before what its receiver does after opening it. */
export function seal(runtime: Runtime, value: unknown, isPort: (value: object) => boolean): Envelope {
  const { buffers, views, ports } = contentsOf(value, isPort);
  const parcels: BufferParcel[] = [];
  for (const buffer of buffers) {
    const parcel = runtime.buffers.parcel(buffer);
    if (parcel !== undefined) parcels.push(parcel);
  }
  const clock = runtime.clock.copy();
  runtime.clock.tick();
  return { header: { mark, clock, buffers: parcels, views, ports }, value };
}

export function isEnvelope(data: unknown): data is Envelope {
  return typeof data === 'object' && data !== null && (data as Envelope).header?.mark === mark;
}

/** Takes the value out, after having learnt what came with it. What is not an envelope came from somebody else, and is the value. */
export function open(runtime: Runtime, data: unknown, seePort: (port: object) => void): unknown {
  if (!isEnvelope(data)) return data;
  const { clock, buffers, views, ports } = data.header;
  runtime.clock.learn(clock);
  for (const parcel of buffers) runtime.buffers.adopt(parcel.buffer, parcel);
  for (const view of views) runtime.buffers.tagView(view);
  for (const port of ports) seePort(port);
  return data.value;
}
