/**
 * The static scheduler: a thread stays on the core it was created on (SPDK: lib/event/scheduler_static.c).
 */
import type { Scheduler } from '../../event/scheduler.ts';

/** Never moves a thread. */
export const staticScheduler: Scheduler = {
  name: 'static',
  balance: () => [],
};
