/**
 * What every storage target of the kit is made of: the subsystems, the services, and options from a command line.
 */
import { SpdkError } from '../env/errors.ts';
import type { AppArgs } from '../event/app-args.ts';
import type { AppOptions, AppService } from '../event/app-options.ts';
import { configService } from '../event/config-service.ts';
import type { Subsystem } from '../event/index.ts';
import { rpcService } from '../event/rpc-service.ts';
import { log } from '../log/index.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { frameworkService } from '../module/rpc/framework.ts';
import { iobufSubsystem } from '../module/rpc/iobuf.ts';
import { schedulerSubsystem } from '../module/scheduler/index.ts';
import { nbdSubsystem } from '../nbd/index.ts';
import type { JsonConfig } from '../rpc/index.ts';
import { VERSION } from './version.ts';

/** Subsystems of a target, in order. */
export const targetSubsystems: readonly Subsystem[] = [schedulerSubsystem, iobufSubsystem, bdevSubsystem, nbdSubsystem];

/** Application options from flags. `config` is loaded when no file is named. Sets the log's levels. */
export function targetOptions(args: AppArgs, config?: JsonConfig): AppOptions {
  for (const note of args.notes) log.register('app').notice(note);
  if (args.silenceNotice) log.setPrintLevel('WARNING');
  for (const flag of args.logFlags) {
    log.setFlag(flag);
    log.setPrintLevel('DEBUG');
  }
  if (args.rest.length > 0) throw new SpdkError('EINVAL', `unexpected argument "${args.rest[0]}"`);
  const services: AppService[] = [
    frameworkService(VERSION),
    rpcService({
      ...(args.rpcAddress === undefined ? {} : { addresses: args.rpcAddress === null ? [] : [args.rpcAddress] }),
      waitForRpc: args.waitForRpc,
      ...(args.rpcsAllowed === undefined ? {} : { allowed: args.rpcsAllowed }),
    }),
  ];
  const source = args.configFile ?? config;
  if (source !== undefined) services.push(configService(source, { ignoreErrors: args.ignoreInitErrors }));
  return {
    name: 'tspdk_tgt',
    ...(args.cores === undefined ? {} : { cores: args.cores }),
    ...(args.mainCore === undefined ? {} : { mainCore: args.mainCore }),
    ...(args.idlePollUs === undefined ? {} : { idlePollUs: args.idlePollUs }),
    mode: args.mode,
    pin: args.pin,
    subsystems: targetSubsystems,
    services,
    throwOnStartFailure: false,
  };
}
