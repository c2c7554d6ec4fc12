// biome-ignore-all assist/source/organizeImports: grouped by what a reader looks for.
/**
 * The public interface of tspdk: what a program imports from 'tspdk'; the parts of a storage target are 'tspdk/target', tests of disks 'tspdk/perf' and 'tspdk/conform', each loaded
 * by who needs it. What is in none of them may change without a word in CHANGELOG.md.
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

// Disks: made and removed by the registry, opened by descriptors, used through channels. docs/block-layer.md.
export {
  type Bdev,
  type BdevChannel,
  type BdevClaim,
  type BdevClaimOptions,
  BdevDesc,
  type BdevEvent,
  type BdevIoDone,
  type BdevLimits,
  type BdevModuleName,
  type BdevModuleParams,
  type BdevOpenOptions,
  type BdevOptions,
  type BdevParams,
  type BdevRange,
  type BdevRegistry,
  type BdevSpec,
  type BdevStat,
  bdevRegistry,
  CLAIM_EXCL_WRITE,
  CLAIM_NONE,
  CLAIM_READ_MANY_WRITE_NONE,
  CLAIM_READ_MANY_WRITE_ONE,
  CLAIM_READ_MANY_WRITE_SHARED,
  type ExamineHook,
  EXTENT_HOLE,
  EXTENT_ZERO,
  Extents,
  enableHistogram,
  IO_ABORT,
  IO_COMPARE,
  IO_COMPARE_AND_WRITE,
  IO_COPY,
  IO_FLAG_FUA,
  IO_FLAG_NO_HOLE,
  IO_FLUSH,
  IO_READ,
  IO_RESET,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  IO_ZCOPY,
  type IoCounts,
  IoStat,
  type IoStatKind,
  type IoWaitEntry,
  type LatencyOptions,
  type MetadataFormat,
  type OnOverdue,
  type OverdueIo,
  type QosLimits,
  type Quiesced,
  type ResetStatMode,
  readHistogram,
  setSamplingPeriod,
} from './bdev/index.ts';
export { Histogram } from './env/histogram.ts';
export { reloadDisk } from './module/bdev/disk/reload.ts';

// Memory for I/O: buffers from the pool of all cores, and segments of any size that every core knows.
export type { IoBuf, IoBufChannel, IoBufOptions, IoBufWaiter } from './env/iobuf.ts';
export { IoVecs } from './env/iovecs.ts';
export { dropSegment, shareSegment } from './bdev/index.ts';

// What is to go wrong with a disk: docs/faults.md.
export {
  type FaultInfo,
  type FaultInput,
  type FaultRegistry,
  type FaultRule,
  faultRegistry,
  faultRule,
} from './bdev/index.ts';

// A disk of one's own.
export {
  type Disk,
  type DiskDefinition,
  type DiskExtent,
  type DiskRequest,
  defineDisk,
} from './module/bdev/disk/define-disk.ts';
export type { DiskOptions } from './module/bdev/disk/load-disk.ts';

// A kind of disk of one's own, with all that the block layer has: channels, pieces of memory, zero copy, disks on disks.
export {
  type BdevModuleDefinition,
  type CarriedIoTypeName,
  defineBdevModule,
  type ExaminedDisk,
  type FoundDisk,
  forwardIo,
  forwardReset,
  type IoTypeName,
  type MemoryPieces,
  type ModuleBackend,
  type ModuleBdevSpec,
  type ModuleChannel,
  type ModuleDisk,
  type ModuleIo,
  type ModuleMetadata,
  type NewModuleBdev,
  type ResetDone,
} from './module/bdev/disk/define-bdev-module.ts';
export { loadBdevModule, unloadBdevModule } from './module/bdev/disk/examining-modules.ts';
export { type IoStatus, ioStatus } from './module/bdev/disk/io-status.ts';
export { BaseBdev, type BaseBdevOptions, type BaseRef, openBase } from './bdev/index.ts';
export { sharedBase } from './module/bdev/part/shared-base.ts';

// A target in a process of its own, for tests: disks over NBD, faults on demand.
export { startTarget, type StartTargetOptions, Target, type TargetFault, TargetFaults } from './app/start-target.ts';

// A client of targets' RPC.
export { RpcClient, RpcError } from './rpc/index.ts';

// What goes wrong, what is bounded, and what is said about it.
export { codeOfErrno, type ErrorCode, errnoOf, SpdkError } from './env/errors.ts';
export { limits } from './env/limits.ts';
export { log } from './log/index.ts';
