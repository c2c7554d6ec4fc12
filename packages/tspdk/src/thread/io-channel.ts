/**
 * IoChannel: a thread's own way to a device, counted. Control path; what a module puts in `ctx` is its data path.
 *
 * One channel a thread and device, however often it is got. A put of the last reference does not destroy it there and then: a
 * message does, later, as in SPDK. So code that is still on the stack, or that gets the channel again before the message runs, finds it alive.
 */
import { codeOfErrno, SpdkError } from '../env/errors.ts';
import { IoDevice } from './io-device.ts';
import { currentThread, type Thread } from './thread.ts';
import { checkThread } from './wrong-thread.ts';

export class IoChannel<C = unknown> {
  readonly device: IoDevice<C>;
  readonly thread: Thread;
  /** What the device's `create` put here. */
  ctx: C;
  /** References held. */
  ref = 1;
  /** @internal destroy messages under way */
  destroyRef = 0;

  /** @internal use getIoChannel */
  constructor(device: IoDevice<C>, thread: Thread) {
    this.device = device;
    this.thread = thread;
    this.ctx = undefined as C;
  }
}

/**
 * The running thread's channel to a device, made on first use (spdk_get_io_channel).
 * @param device this reactor's replica, or the device's id.
 * @throws {SpdkError} ENODEV when it is not registered here; EINVAL outside of any thread; EIO when the thread has exited; what `create` returned.
 */
export function getIoChannel<C>(device: IoDevice<C> | number): IoChannel<C> {
  const thread = currentThread();
  if (thread === null) throw new SpdkError('EINVAL', `getIoChannel(${nameOf(device)}): no thread is running`);
  const replica = replicaFor(thread, device);
  if (thread.isExited) throw new SpdkError('EIO', `getIoChannel(${replica.name}): thread ${thread.name} has exited`);
  const known = thread.channels.get(replica as IoDevice) as IoChannel<C> | undefined;
  if (known !== undefined) {
    known.ref++;
    return known;
  }
  const channel = new IoChannel(replica, thread);
  thread.channels.set(replica as IoDevice, channel as IoChannel);
  replica.channelCount++;
  let rc = -5;
  try {
    rc = replica.create(channel);
  } finally {
    if (rc !== 0) forget(channel);
  }
  if (rc === 0) return channel;
  throw new SpdkError(
    codeOfErrno(-rc),
    `could not create a channel of io_device "${replica.name}" on thread ${thread.name}: rc ${rc}`,
  );
}

/**
 * Gives a reference back (spdk_put_io_channel). The last one has the channel destroyed by a message.
 * @throws {SpdkError} EWRONGTHREAD; EINVAL when no reference is held.
 */
export function putIoChannel(channel: IoChannel<unknown>): void {
  const { thread, device } = channel;
  checkThread(thread, 'putIoChannel', device.name);
  if (channel.ref === 0) {
    throw new SpdkError('EINVAL', `putIoChannel(${device.name}) on thread ${thread.name}: no reference is held`);
  }
  channel.ref--;
  if (channel.ref > 0) return;
  channel.destroyRef++;
  if (thread.isExited) destroy(channel);
  else thread.sendInternal(destroy, channel);
}

function destroy(channel: IoChannel<unknown>): void {
  channel.destroyRef--;
  // Got again since the put, or put again: then this message is not the last word.
  if (channel.ref > 0 || channel.destroyRef > 0) return;
  channel.thread.channels.delete(channel.device);
  try {
    channel.device.destroy(channel);
  } finally {
    channel.device.channelCount--;
    channel.device.settle();
  }
}

function forget(channel: IoChannel<unknown>): void {
  const device = channel.device as IoDevice;
  channel.thread.channels.delete(device);
  device.channelCount--;
  device.settle();
}

function replicaFor<C>(thread: Thread, device: IoDevice<C> | number): IoDevice<C> {
  const id = typeof device === 'number' ? device : device.id;
  const replica = IoDevice.find(thread.host, id);
  const wanted = typeof device === 'number' || device.host !== thread.host ? replica : device;
  if (replica !== undefined && replica === wanted) return replica as IoDevice<C>;
  throw new SpdkError('ENODEV', `io_device ${nameOf(device)} is not registered on core ${thread.host.core}`);
}

function nameOf(device: IoDevice<unknown> | number): string {
  return typeof device === 'number' ? String(device) : `"${device.name}"`;
}
