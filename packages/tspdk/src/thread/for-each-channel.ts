/**
 * forEachChannel: a function on every channel of a device, on the channel's own thread, one after the other, then a callback where it began.
 *
 * The block travels as in for-each-thread.ts and is freed at home. It goes core by core, ascending, and on a core thread by thread in order
 * of creation: one hop a core, since only that core knows its channels. The function may take its time: the iteration waits for
 * `forEachChannelContinue(iter, status)`, and a status other than 0 ends it (spdk_for_each_channel).
 */
import { AllocSite } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent, type EventFn, type EventHandler, handlers } from '../env/event-fn.ts';
import type { Ptr } from '../env/heap.ts';
import { struct } from '../env/struct.ts';
import { log } from '../log/index.ts';
import { currentHost, localKey, sendIfUp, type ThreadHost } from './host.ts';
import type { IoChannel } from './io-channel.ts';
import { IoDevice } from './io-device.ts';
import { currentThread, type Thread } from './thread.ts';
import { threadsOf } from './threads.ts';
import { checkThread } from './wrong-thread.ts';

const component = log.register('thread');

/** An iteration under way, as its function gets it. */
export type ChannelIter = Ptr;

const Iter = struct('io_channel_iter', {
  device: 'i32',
  fn: 'i32',
  arg: 'i32',
  homeCore: 'i32',
  coreIndex: 'i32',
  thread: 'i32',
  status: 'i32',
});
const site = new AllocSite('io_channel_iter');

interface Pending {
  readonly thread: Thread;
  readonly device: IoDevice;
  readonly done: (status: number, arg: number) => void;
}
const pendingOf = localKey('for_each_channel', () => new Map<Ptr, Pending>());

const ENODEV = -19;
const EIO = -5;

/**
 * Runs `fn(iter, arg, deviceId)` on the thread of each channel, all cores, then `done(status, arg)` on the calling thread. `fn` or what it starts
 * must call `forEachChannelContinue(iter, status)` on that thread, which cannot exit before; `done` gets the last status, or -ENODEV (-19) when the device is
 * not registered on this core or is about to be unregistered.
 * @throws {SpdkError} EINVAL outside of any thread; ENOMEM when the shared heap is exhausted.
 */
export function forEachChannel(
  deviceId: number,
  fn: EventFn,
  arg: number,
  done: (status: number, arg: number) => void,
): void {
  const thread = currentThread();
  if (thread === null) throw new SpdkError('EINVAL', `forEachChannel(${fn.name}): no thread is running`);
  const { host } = thread;
  const device = IoDevice.find(host, deviceId);
  if (device === undefined || device.pendingUnregister) {
    thread.forEachCount++;
    thread.sendInternal(() => finish(thread, done, ENODEV, arg), null);
    return;
  }
  const heap = host.heap;
  const iter = Iter.allocIn(heap, site);
  Iter.device.set(heap, iter, deviceId);
  Iter.fn.set(heap, iter, fn.id);
  Iter.arg.set(heap, iter, arg);
  Iter.homeCore.set(heap, iter, host.core);
  Iter.coreIndex.set(heap, iter, -1);
  host.local(pendingOf).set(iter, { thread, device, done });
  thread.forEachCount++;
  device.forEachCount++;
  goOn(host, iter);
}

/** forEachChannel as a promise of the status; `thread` is the caller. Control code of its reactor. */
export function forEachChannelAsync(thread: Thread, deviceId: number, fn: EventFn, arg: number): Promise<number> {
  return new Promise((resolve) => thread.run(() => forEachChannel(deviceId, fn, arg, resolve)));
}

/** The channel that the function was called for; null when it has been destroyed since. Its thread only. */
export function iterChannel<C>(iter: ChannelIter): IoChannel<C> | null {
  const thread = visited(iter, 'iterChannel');
  const device = IoDevice.find(thread.host, Iter.device.get(thread.host.heap, iter));
  return ((device && thread.channels.get(device)) ?? null) as IoChannel<C> | null;
}

/**
 * This channel is done; on to the next, or with a status other than 0 straight home. Once a call of the function, on its thread.
 * @throws {SpdkError} EWRONGTHREAD.
 */
export function forEachChannelContinue(iter: ChannelIter, status: number): void {
  const thread = visited(iter, 'forEachChannelContinue');
  const { host } = thread;
  thread.visitCount--;
  Iter.status.set(host.heap, iter, status);
  if (status !== 0) goHome(host, iter);
  else goOn(host, iter);
}

function visited(iter: ChannelIter, what: string): Thread {
  const host = currentThread()?.host ?? currentHost();
  const id = Iter.thread.get(host.heap, iter);
  const thread = host.local(threadsOf).find(id);
  if (thread === undefined) {
    const here = currentThread();
    throw new SpdkError(
      'EWRONGTHREAD',
      `${what} called from ${here?.name}:${here?.id}; the iteration is at thread ${id}`,
    );
  }
  checkThread(thread, what, `iteration ${iter}`);
  return thread;
}

/** Sends the block to the next channel, or home. */
function goOn(host: ThreadHost, iter: Ptr): void {
  const { heap, cores } = host;
  for (;;) {
    const at = Iter.coreIndex.get(heap, iter);
    if (cores[at] === host.core && visitNext(host, iter)) return;
    if (at + 1 === cores.length) {
      goHome(host, iter);
      return;
    }
    Iter.coreIndex.set(heap, iter, at + 1);
    Iter.thread.set(heap, iter, 0);
    const core = cores[at + 1] as number;
    if (core !== host.core && sendIfUp(host, core, hop, iter, 0)) return;
  }
}

const hop = defineEvent('thread.for_each_channel.hop', (word) => goOn(currentHost(), (word >>> 0) as Ptr));

/** Queues the call on this core's next thread that has a channel. False when there is none left. */
function visitNext(host: ThreadHost, iter: Ptr): boolean {
  const device = IoDevice.find(host, Iter.device.get(host.heap, iter));
  if (device === undefined) return false;
  const last = Iter.thread.get(host.heap, iter);
  let next: Thread | undefined;
  for (const thread of host.local(threadsOf).list) {
    if (thread.id > last && thread.channels.has(device) && (next === undefined || thread.id < next.id)) next = thread;
  }
  if (next === undefined) return false;
  Iter.thread.set(host.heap, iter, next.id);
  next.sendInternal(call, iter);
  return true;
}

/** On the thread: the channel may have gone while the message waited. A function that throws ends the iteration with -EIO. */
function call(iter: Ptr): void {
  const thread = currentThread() as Thread;
  const { host, id } = thread;
  if (iterChannel(iter) === null) {
    goOn(host, iter);
    return;
  }
  const fn = handlers[Iter.fn.get(host.heap, iter)] as EventHandler;
  thread.visitCount++;
  try {
    fn(iter, Iter.arg.get(host.heap, iter), Iter.device.get(host.heap, iter));
  } catch (error) {
    if (Iter.thread.get(host.heap, iter) === id) forEachChannelContinue(iter, EIO);
    throw error;
  }
}

function goHome(host: ThreadHost, iter: Ptr): void {
  const home = Iter.homeCore.get(host.heap, iter);
  // Nobody is visited any more: a further continue is refused.
  Iter.thread.set(host.heap, iter, -1);
  if (home === host.core) arrive(host, iter);
  else host.send(home, homeAgain, iter, 0, 0);
}

const homeAgain = defineEvent('thread.for_each_channel.home', (word) => arrive(currentHost(), (word >>> 0) as Ptr));

/** On the caller's core: what was allocated here is freed here. */
function arrive(host: ThreadHost, iter: Ptr): void {
  const pending = host.local(pendingOf);
  const { thread, device, done } = pending.get(iter) as Pending;
  const arg = Iter.arg.get(host.heap, iter);
  const status = Iter.status.get(host.heap, iter);
  pending.delete(iter);
  host.heap.free(iter);
  if (thread.isExited) {
    component.error(
      `forEachChannel: thread ${thread.name}:${thread.id} was exited by force before its iteration came home`,
    );
  } else thread.sendInternal(() => finish(thread, done, status, arg), null);
  device.forEachCount--;
  device.settle();
}

function finish(thread: Thread, done: Pending['done'], status: number, arg: number): void {
  thread.forEachCount--;
  done(status, arg);
}
