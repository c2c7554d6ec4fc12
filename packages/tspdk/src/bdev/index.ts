// The block layer, as others may use it: the devices, who has them open, and the contract of the modules that make
// them.

export { BaseBdev, type BaseBdevOptions, type BaseRef, openBase, openChannels } from './base-bdev.ts';
export { Bdev } from './bdev.ts';
export type { BdevIo, BdevIoDone, IoWaitEntry } from './bdev-io.ts';
export type { BdevOptions } from './bdev-options.ts';
export type { BdevStat } from './bdev-stat.ts';
export { BdevChannel } from './channel.ts';
export { type BdevClaimOptions, BdevDesc, type BdevEvent, type BdevOpenOptions } from './desc.ts';
export type { ExamineHook } from './examiner.ts';
export { EXTENT_HOLE, EXTENT_ZERO, Extents } from './extents.ts';
export { type FaultInfo, FaultRegistry, faultRegistry, type MadeFault } from './faults/registry.ts';
export { registerFaultRpc } from './faults/rpc.ts';
export { type FaultInput, faultRule, faultText } from './faults/rule.ts';
export {
  FAULT_ACTIONS,
  FAULT_DISTRIBUTIONS,
  FAULT_OPS,
  FAULT_STAGES,
  type FaultRule,
} from './faults/vocabulary.ts';
export {
  type IoCounts,
  IoStat,
  type IoStatKind,
  RESET_STAT_MODES,
  type ResetStatMode,
  TICKS_PER_SECOND,
} from './io-stat.ts';
export type { OnOverdue, OverdueIo } from './io-timeout.ts';
export * from './io-type.ts';
export type { LatencyOptions } from './latency.ts';
export type { MetadataFormat } from './metadata.ts';
export {
  type BackendChannel,
  type BdevBackend,
  type BdevConfigCall,
  type BdevLimits,
  type BdevModule,
  type BdevModuleName,
  type BdevModuleParams,
  type BdevParams,
  type BdevSpec,
  bdevModule,
  type NewBdev,
  type Onward,
  registerBdevModule,
  WAIT_FOR_EXAMINE,
} from './module.ts';
export { enableHistogram, readHistogram, setSamplingPeriod } from './observe.ts';
export type { QosLimits } from './qos.ts';
export { type BdevRange, Quiesced } from './quiesce.ts';
export { BdevRegistry, bdevRegistry } from './registry.ts';
export { describeBdev, registerBdevRpc } from './rpc.ts';
export { dropSegment, shareSegment } from './segments.ts';
export {
  type BdevClaim,
  CLAIM_EXCL_WRITE,
  CLAIM_NAMES,
  CLAIM_NONE,
  CLAIM_READ_MANY_WRITE_NONE,
  CLAIM_READ_MANY_WRITE_ONE,
  CLAIM_READ_MANY_WRITE_SHARED,
} from './shared-state.ts';
