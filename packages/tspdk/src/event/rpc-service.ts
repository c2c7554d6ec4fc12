/**
 * The RPC server and the configuration file as companions of an application's life.
 *
 * As SPDK does it: the server listens before the subsystems are initialised, in STARTUP state; with `--wait-for-rpc` initialisation
 * begins with `framework_start_init`; after it the state is RUNTIME. It is the first thing closed at the stop.
 */
import { SpdkError } from '../env/errors.ts';
import { log } from '../log/index.ts';
import { RPC_DEFAULT_PATH, RPC_RUNTIME, RPC_STARTUP, RpcServer } from '../rpc/index.ts';
import type { App } from './app.ts';
import type { AppService } from './app-options.ts';

const rpcLog = log.register('rpc');

/** Options of `rpcService`. */
export interface RpcServiceOptions {
  /** Where to listen: paths or loopback host:port. Default SPDK's /var/tmp/spdk.sock. Empty: no server. */
  readonly addresses?: readonly string[];
  /** Wait for `framework_start_init` before the subsystems are initialised. */
  readonly waitForRpc?: boolean;
  /** Only these methods (and rpc_get_methods) can be called. */
  readonly allowed?: readonly string[];
}

/** Serves the application's methods. */
export function rpcService(options: RpcServiceOptions = {}): AppService {
  const servers: RpcServer[] = [];
  return {
    name: 'rpc',
    async start(app) {
      if (options.allowed !== undefined) app.rpc.restrictTo(options.allowed);
    },
    async beforeInit(app) {
      registerInitMethods(app, options.waitForRpc ?? false);
      for (const address of options.addresses ?? [RPC_DEFAULT_PATH]) {
        const server = await RpcServer.listen(app.rpc, { address });
        servers.push(server);
        rpcLog.info(`listening on ${server.address}`);
      }
      if (options.waitForRpc === true) {
        rpcLog.notice('waiting for framework_start_init');
        await app.startInitAsked;
      }
    },
    afterInit(app) {
      app.rpc.state = RPC_RUNTIME;
    },
    async stop() {
      for (const server of servers.splice(0)) await server.close();
    },
  };
}

function registerInitMethods(app: App, waiting: boolean): void {
  app.rpc.register({
    name: 'framework_start_init',
    states: RPC_STARTUP,
    params: [],
    summary: 'Initialises the subsystems, when the application was started with --wait-for-rpc',
    async handler() {
      if (!waiting)
        throw new SpdkError('EALREADY', 'initialisation is under way: the application does not wait for RPC');
      app.askStartInit();
      await app.initialised;
      return true;
    },
  });
  app.rpc.register({
    name: 'framework_wait_init',
    states: RPC_STARTUP | RPC_RUNTIME,
    params: [],
    summary: 'Answers once the subsystems are initialised and the configuration is in force',
    async handler() {
      await app.initialised;
      return true;
    },
  });
}
