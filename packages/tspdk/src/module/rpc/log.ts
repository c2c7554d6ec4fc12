/** RPC methods of the log (SPDK: lib/log/log_rpc.c). */
import { type Log, log as processLog } from '../../log/index.ts';
import { RPC_RUNTIME, RPC_STARTUP, type RpcRegistry } from '../../rpc/index.ts';

const LEVELS = ['DISABLED', 'ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'] as const;
const states = RPC_STARTUP | RPC_RUNTIME;
const levelParams = [
  { name: 'level', type: 'enum', class: 'log_level', values: LEVELS, required: true, description: 'Threshold' },
] as const;
const flagParams = [
  { name: 'flag', type: 'string', required: true, description: 'A component, a pattern with * and ?, or all' },
] as const;

/** log_{set,clear}_flag, log_get_flags, log_{set,get}_level, log_{set,get}_print_level, log_enable_timestamps. */
export function registerLogRpc(registry: RpcRegistry, deps: { log?: Log } = {}): void {
  const log = deps.log ?? processLog;
  registry.register({
    name: 'log_set_flag',
    states,
    params: flagParams,
    summary: 'Opens the INFO and DEBUG lines of a component.',
    handler: ({ flag }) => log.setFlag(flag),
  });
  registry.register({
    name: 'log_clear_flag',
    states,
    params: flagParams,
    summary: 'Closes what log_set_flag opens.',
    handler: ({ flag }) => log.clearFlag(flag),
  });
  registry.register({
    name: 'log_get_flags',
    states,
    params: [],
    summary: 'Lists all components and whether their flag is set.',
    handler: () => log.getFlags(),
  });
  registry.register({
    name: 'log_set_level',
    states,
    params: levelParams,
    summary: 'Sets the threshold of the stored log.',
    handler: ({ level }) => log.setLevel(level),
  });
  registry.register({
    name: 'log_get_level',
    states,
    params: [],
    summary: 'Tells the threshold of the stored log.',
    handler: () => log.level,
  });
  registry.register({
    name: 'log_set_print_level',
    states,
    params: levelParams,
    summary: 'Sets the threshold of what is printed to stderr.',
    handler: ({ level }) => log.setPrintLevel(level),
  });
  registry.register({
    name: 'log_get_print_level',
    states,
    params: [],
    summary: 'Tells the threshold of what is printed to stderr.',
    handler: () => log.printLevel,
  });
  registry.register({
    name: 'log_enable_timestamps',
    states,
    params: [{ name: 'enabled', type: 'boolean', required: true, description: 'Whether lines start with the time' }],
    summary: 'Turns the time at the start of printed lines on or off.',
    handler: ({ enabled }) => log.enableTimestamps(enabled),
  });
}
