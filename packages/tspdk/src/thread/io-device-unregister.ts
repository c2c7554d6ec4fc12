/**
 * Unregistering a device on every reactor at once: SPDK's one call for a device that is one for all cores.
 *
 * The caller's block counts the cores that have not answered. Each core unregisters its replica, waits for its last channel, and
 * answers; the count is only touched at home, so it needs no atomics, and the block is freed where it was allocated.
 */
import { AllocSite } from '../env/alloc-site.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import type { Ptr } from '../env/heap.ts';
import { struct } from '../env/struct.ts';
import { currentHost, localKey, sendIfUp, type ThreadHost } from './host.ts';
import { IoDevice } from './io-device.ts';
import { currentThread, type Thread } from './thread.ts';

const Unregister = struct('unregister_everywhere', { device: 'i32', home: 'i32', left: 'i32' });
const site = new AllocSite('unregister_everywhere');

interface Pending {
  readonly thread: Thread;
  readonly done: () => void;
}
const pendingOf = localKey('unregister_everywhere', () => new Map<Ptr, Pending>());

/**
 * Takes the device out of every reactor; `done` runs on the calling thread, which cannot exit before, when the last channel on any core is gone.
 * A replica that is being unregistered already, or was never made, is not waited for.
 * @throws {SpdkError} EINVAL outside of any thread; ENOMEM when the shared heap is exhausted.
 */
export function unregisterEverywhere(deviceId: number, done: () => void): void {
  const thread = currentThread();
  if (thread === null) throw new SpdkError('EINVAL', `unregisterEverywhere(${deviceId}): no thread is running`);
  const { host } = thread;
  const { heap } = host;
  const block = Unregister.allocIn(heap, site);
  Unregister.device.set(heap, block, deviceId);
  Unregister.home.set(heap, block, host.core);
  host.local(pendingOf).set(block, { thread, done });
  thread.unregisterCount++;
  // One for ourselves: the count cannot reach 0 before every core has been asked.
  let left = 1;
  for (const core of host.cores) if (core !== host.core && sendIfUp(host, core, begin, block, 0)) left++;
  Unregister.left.set(heap, block, left);
  unregisterHere(host, block);
}

const begin = defineEvent('thread.io_device.unregister', (word) => unregisterHere(currentHost(), (word >>> 0) as Ptr));

function unregisterHere(host: ThreadHost, block: Ptr): void {
  const home = Unregister.home.get(host.heap, block);
  const device = IoDevice.find(host, Unregister.device.get(host.heap, block));
  const answer = () => {
    if (home === host.core) arrive(host, block);
    else host.send(home, answered, block, 0, 0);
  };
  if (device === undefined || device.pendingUnregister) answer();
  else device.unregister(answer);
}

const answered = defineEvent('thread.io_device.unregistered', (word) => arrive(currentHost(), (word >>> 0) as Ptr));

function arrive(host: ThreadHost, block: Ptr): void {
  const left = Unregister.left.get(host.heap, block) - 1;
  Unregister.left.set(host.heap, block, left);
  if (left > 0) return;
  const pending = host.local(pendingOf);
  const { thread, done } = pending.get(block) as Pending;
  pending.delete(block);
  host.heap.free(block);
  thread.sendInternal(() => {
    thread.unregisterCount--;
    done();
  }, null);
}
