export { currentHost, type LocalKey, localKey, type Pollable, type ThreadHost } from './host.ts';
export type { Poller, PollerFn, PollerOptions, PollerStateName } from './poller.ts';
export { SharedThreadTable, type ThreadFacts } from './shared-thread-table.ts';
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
