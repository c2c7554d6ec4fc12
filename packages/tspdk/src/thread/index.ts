// Lightweight threads, as others may use them.

export {
  type ChannelIter,
  forEachChannel,
  forEachChannelAsync,
  forEachChannelContinue,
  iterChannel,
} from './for-each-channel.ts';
export { forEachThread, forEachThreadAsync } from './for-each-thread.ts';
export { currentHost, type LocalKey, localKey, type Pollable, type ThreadHost } from './host.ts';
export { getIoChannel, type IoChannel, putIoChannel } from './io-channel.ts';
export { IoDevice, type IoDeviceOptions } from './io-device.ts';
export { unregisterEverywhere } from './io-device-unregister.ts';
export type { Poller, PollerFn, PollerOptions, PollerStateName } from './poller.ts';
export { SharedThreadTable, type ThreadFacts } from './shared-thread-table.ts';
export { SpinLock, type SpinLockOptions } from './spin-lock.ts';
export { currentThread, Thread } from './thread.ts';
export {
  exitThread,
  getCount,
  getThreadById,
  getThreadByName,
  localThreads,
  type ThreadStats,
} from './thread-control.ts';
export type { ThreadOptions, ThreadRef } from './thread-create.ts';
export { sendCriticalMsg, sendMsg, trySendMsg } from './thread-msg.ts';
