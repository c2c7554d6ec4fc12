// biome-ignore-all assist/source/organizeImports: grouped by what a reader looks for.
/**
 * The public interface of tspdk: what a program imports from 'tspdk'. What is not here may change without a word in CHANGELOG.md.
 */

// The application: reactors on cores, a start function, an orderly stop.
export {
  App,
  type AppHandle,
  type AppOptions,
  type AppService,
  type ConfigCall,
  type StartFn,
  type Subsystem,
} from './event/index.ts';

// Events: functions that any core may call by name, and the work that visits every core.
export { defineEvent, type EventFn, type EventHandler, eventFnName } from './env/event-fn.ts';
export {
  currentReactor,
  type ForEachDone,
  forEachReactor,
  forEachReactorAsync,
  type LocalKey,
  localKey,
  onReactorLeave,
  type Pollable,
  Reactor,
} from './event/index.ts';

// Control calls: asynchronous, with any payload that can be cloned; not for the data path.
export { type Control, defineControl } from './event/index.ts';

// Lightweight threads, their messages and pollers.
export {
  currentThread,
  exitThread,
  getThreadById,
  getThreadByName,
  localThreads,
  type Poller,
  type PollerFn,
  type PollerOptions,
  sendCriticalMsg,
  sendMsg,
  Thread,
  type ThreadOptions,
  type ThreadRef,
  type ThreadStats,
} from './thread/index.ts';

// Shared memory: who allocates, frees.
export { AllocSite } from './env/alloc-site.ts';
export { Heap, type HeldBlocks, type Ptr } from './env/heap.ts';
export { copyBytes, fillBytes, type Segment } from './env/segment.ts';
export { type Field, type FieldType, type Memory, type Struct, struct } from './env/struct.ts';

// The machine: cores and time.
export { allowedCores, pinThread } from './env/affinity.ts';
export type { Clock } from './env/clock.ts';
export { Cpuset } from './env/cpuset.ts';

// A disk of one's own.
export { type Disk, type DiskDefinition, type DiskRequest, defineDisk } from './module/bdev/disk/define-disk.ts';
export type { DiskOptions } from './module/bdev/disk/load-disk.ts';

// A kind of disk of one's own, with all that the block layer has: channels, pieces of memory, zero copy, disks on disks.
export {
  type BdevModuleDefinition,
  defineBdevModule,
  forwardIo,
  forwardReset,
  type IoTypeName,
  type MemoryPieces,
  type ModuleBackend,
  type ModuleBdevSpec,
  type ModuleChannel,
  type ModuleIo,
  type NewModuleBdev,
  type ResetDone,
} from './module/bdev/disk/define-bdev-module.ts';
export { type IoStatus, ioStatus } from './module/bdev/disk/io-status.ts';
export {
  BaseBdev,
  type BaseRef,
  BdevChannel,
  BdevDesc,
  type BdevLimits,
  type BdevSpec,
  dropSegment,
  EXTENT_HOLE,
  EXTENT_ZERO,
  Extents,
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_FLAG_FUA,
  IO_FLAG_NO_HOLE,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  openBase,
  shareSegment,
} from './bdev/index.ts';
export { IoVecs } from './env/iovecs.ts';

// A target in a process of its own, for tests: disks over NBD, faults on demand.
export { startTarget, type StartTargetOptions, Target, type TargetFault, TargetFaults } from './app/start-target.ts';
export type { FaultInput, FaultRule } from './bdev/index.ts';

// What goes wrong, what is bounded, and what is said about it.
export { SpdkError } from './env/errors.ts';
export { limits } from './env/limits.ts';
export { log } from './log/index.ts';
