// JSON-RPC, as others may use it: the registry of methods, the server, the client, the configuration.

export { formatRpcAddress, parseRpcAddress, RPC_DEFAULT_PATH, RPC_DEFAULT_PORT, type RpcAddress } from './address.ts';
export { type RpcMainOptions, rpcMain } from './cli.ts';
export { methodHelp } from './cli-args.ts';
export { RpcClient } from './client.ts';
export {
  type ConfigCall,
  type ConfigSubsystem,
  type JsonConfig,
  loadConfig,
  parseConfig,
  type ReplayOptions,
  replayConfig,
  saveConfig,
} from './config.ts';
export { parseJson, stringifyJson } from './json.ts';
export { decodeParams, type ItemSpec, type ParamSchema, type ParamSpec, type ParamsOf, typeText } from './params.ts';
export {
  RPC_RUNTIME,
  RPC_STARTUP,
  type RpcContext,
  type RpcMethod,
  type RpcMethodInfo,
  RpcRegistry,
} from './registry.ts';
export {
  RPC_INTERNAL_ERROR,
  RPC_INVALID_PARAMS,
  RPC_INVALID_REQUEST,
  RPC_INVALID_STATE,
  RPC_METHOD_NOT_FOUND,
  RPC_PARSE_ERROR,
  RpcError,
  type RpcErrorObject,
  toRpcError,
} from './rpc-error.ts';
export { RpcServer, type RpcServerOptions } from './server.ts';
export { strerror } from './strerror.ts';
