/**
 * `tspdk rpc`: the client of rpc/cli.ts, with help also when no application runs.
 *
 * The methods are then asked of an application that is started here for that: no server, no pinning, one reactor, gone at once.
 */
import { allowedCores } from '../env/affinity.ts';
import { App } from '../event/index.ts';
import { frameworkService } from '../module/rpc/framework.ts';
import { rpcMain } from '../rpc/index.ts';
import type { RpcMethodInfo } from '../rpc/registry.ts';
import { targetSubsystems } from './target.ts';
import { VERSION } from './version.ts';

/** Runs the command. Resolves with the exit code. */
export function rpc(argv: readonly string[]): Promise<number> {
  return rpcMain(argv, { methods: knownMethods });
}

/** What this kit's target answers to. */
async function knownMethods(): Promise<readonly RpcMethodInfo[]> {
  let methods: readonly RpcMethodInfo[] = [];
  const options = {
    cores: allowedCores().slice(0, 1),
    pin: false,
    signals: false,
    subsystems: targetSubsystems,
    services: [frameworkService(VERSION)],
  };
  await App.start(options, (app) => {
    methods = app.rpc.describe();
    app.stop(0);
  });
  return methods;
}
