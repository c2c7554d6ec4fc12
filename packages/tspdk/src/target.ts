/**
 * 'tspdk/target': what an application with disks is made of. The block layer with every kind of disk (`bdevSubsystem`) is enough for a program that uses disks itself; `targetSubsystems`
 * is all that `tspdk tgt` has.
 */
export { targetSubsystems } from './app/target.ts';
export { configService } from './event/config-service.ts';
export { type RpcServiceOptions, rpcService } from './event/rpc-service.ts';
export { bdevSubsystem } from './module/bdev/index.ts';
export { type RaidRegistry, raidRegistry } from './module/bdev/raid/raid-registry.ts';
export { iobufSubsystem } from './module/rpc/iobuf.ts';
export { schedulerSubsystem } from './module/scheduler/index.ts';
export {
  type ConnectionInfo,
  type ExportConfig,
  type ExportOptions,
  formatNbdUri,
  type NbdAddress,
  type NbdTarget,
  nbdSubsystem,
  nbdTarget,
  parseNbdAddress,
  type ServerInfo,
} from './nbd/index.ts';
