// A program that passes shared memory and order from thread to thread in every way that Node has, and uses what it passed; nothing in it is a race. It is
// rewritten by hand: put() and get() are what the rewriter makes of an element.

import assert from 'node:assert/strict';
import { randomFill } from 'node:crypto';
import { once } from 'node:events';
import { open, openSync, read, readSync } from 'node:fs';
import { open as openLater } from 'node:fs/promises';
import { promisify } from 'node:util';
import {
  BroadcastChannel,
  getEnvironmentData,
  isMainThread,
  MessageChannel,
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  setEnvironmentData,
  Worker,
  workerData,
} from 'node:worker_threads';
import type { Jstsan } from './inert.ts';
import { install } from './install.ts';

install();
const __jstsan = (globalThis as unknown as { __jstsan: Jstsan }).__jstsan;
type Tags = { readonly [key: symbol]: never };

function put(view: Int32Array, index: number, value: number): void {
  const info = (view as unknown as Tags)[__jstsan.S];
  assert(info !== undefined, 'a view on shared memory has its tag');
  __jstsan.w(info, view, index, 1001);
  view[index] = value;
}

function get(view: Int32Array, index: number): number {
  const info = (view as unknown as Tags)[__jstsan.S];
  assert(info !== undefined, 'a view on shared memory has its tag');
  __jstsan.r(info, view, index, 1002);
  return view[index]!;
}

/** One element for each way; the other side adds one to it. */
const ways = ['worker', 'port', 'listener', 'channel', 'broadcast', 'polled', 'inside'] as const;

interface Given {
  readonly view: Int32Array;
  readonly nested: Map<string, { readonly views: readonly Int32Array[] }>;
}

if (isMainThread) await main();
else await work(workerData as Given);

async function main(): Promise<void> {
  const buffer = new SharedArrayBuffer(256);
  const view = new Int32Array(buffer);
  const environment = new Int32Array(new SharedArrayBuffer(16));
  put(environment, 0, 7);
  setEnvironmentData('shared', environment);
  put(view, 40, 1);
  const given: Given = { view, nested: new Map([['views', { views: [new Int32Array(buffer, 160, 2)] }]]) };
  const worker = new Worker(new URL(import.meta.url), { workerData: given });
  const { port1, port2 } = new MessageChannel();
  const inner = new MessageChannel();
  const broadcast = new BroadcastChannel('ways');
  assert.deepEqual(await once(worker, 'message'), ['ready']);

  const answers: Record<(typeof ways)[number], () => Promise<unknown>> = {
    worker: () => once(worker, 'message'),
    port: () => once(port1, 'message'),
    listener: () => new Promise((resolve) => port1.addEventListener('message', resolve as never, { once: true })),
    channel: () => new Promise((resolve) => Object.assign(port1, { onmessage: resolve })),
    broadcast: () => new Promise((resolve) => Object.assign(broadcast, { onmessage: resolve })),
    polled: async () => {
      while (receiveMessageOnPort(inner.port1) === undefined) await new Promise(setImmediate);
    },
    inside: () => once(inner.port1, 'message'),
  };
  worker.postMessage({ port: port2, inside: { deep: [inner.port2] } }, [port2, inner.port2]);
  for (const [at, way] of ways.entries()) {
    put(view, at, at);
    const answer = answers[way]();
    worker.postMessage(way);
    await answer;
    assert.equal(get(view, at), at + 1, way);
    put(view, at, 0);
  }
  await files(buffer);
  worker.postMessage('end');
  await once(worker, 'exit');
  assert.equal(get(view, 50), 5, 'written by its last breath');
  port1.close();
  inner.port1.close();
  broadcast.close();
  await terminated(view);
  console.log('all ways');
}

/** What the thread pool fills is ordered before the callback; the main thread alone is at work here, on memory that is shared. */
async function files(buffer: SharedArrayBuffer): Promise<void> {
  const bytes = new Uint8Array(buffer, 224, 16);
  const file = openSync(new URL(import.meta.url), 'r');
  readSync(file, bytes, 0, 8, 0);
  await promisify(read)(file, bytes, 0, 8, 0);
  await new Promise((resolve) => open(new URL(import.meta.url), 'r', resolve));
  const handle = await openLater(new URL(import.meta.url));
  assert.equal((await handle.read(bytes, 4, 8, 0)).bytesRead, 8);
  await handle.close();
  await promisify(randomFill)(bytes);
}

async function terminated(view: Int32Array): Promise<void> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { view, nested: new Map() } });
  await once(worker, 'message');
  put(view, 51, 1);
  worker.postMessage('write');
  while (Atomics.load(view, 52) === 0) await new Promise(setImmediate);
  await worker.terminate();
  assert.equal(get(view, 53), 3);
}

async function work({ view, nested }: Given): Promise<void> {
  const deep = nested.get('views')?.views[0];
  if (deep !== undefined) {
    assert.equal(get(deep, 0), 1);
    assert.equal(get(getEnvironmentData('shared') as Int32Array, 0), 7);
  }
  let port: MessagePort;
  let inside: MessagePort;
  parentPort!.on('message', (message: string | { port: MessagePort; inside: { deep: [MessagePort] } }) => {
    if (typeof message === 'object') {
      port = message.port;
      [inside] = message.inside.deep;
      return;
    }
    if (message === 'end') {
      put(view, 50, 5);
      process.exit();
    }
    if (message === 'write') {
      put(view, 53, 3);
      Atomics.store(view, 52, 1);
      return;
    }
    const at = ways.indexOf(message as (typeof ways)[number]);
    put(view, at, get(view, at) + 1);
    if (message === 'worker') parentPort!.postMessage('done');
    else if (message === 'broadcast') new BroadcastChannel('ways').postMessage('done');
    else if (message === 'polled' || message === 'inside') inside.postMessage('done');
    else port.postMessage('done');
  });
  parentPort!.postMessage('ready');
}
