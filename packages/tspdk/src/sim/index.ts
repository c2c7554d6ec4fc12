/** The simulator: every reactor of an application in one isolate, under a seeded scheduler and a virtual clock. For tests. */
export { forEachSeed } from './for-each-seed.ts';
export type { LaunchFaults } from './sim-platform.ts';
export { type SchedulerOptions, SimHang } from './sim-scheduler.ts';
export { type Sim, type SimOptions, simulate } from './simulate.ts';
