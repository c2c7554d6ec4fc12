/**
 * `tspdk rpc`: calls a method of a running application and prints the result, as SPDK's rpc.py does.
 *
 * Works with this kit's server and with SPDK's. This kit's tells what its methods take (rpc_get_schema), from which come help and typed
 * values; with SPDK's, parameters are sent as they are written. `save_config` and `load_config` are made of several calls, here as in rpc.py.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { SpdkError } from '../env/errors.ts';
import { formatRpcAddress, parseRpcAddress, RPC_DEFAULT_PATH, RPC_DEFAULT_PORT } from './address.ts';
import { methodHelp, parseParams } from './cli-args.ts';
import { RpcClient } from './client.ts';
import { loadConfig, parseConfig, saveConfig } from './config.ts';
import { stringifyJson } from './json.ts';
import type { ParamSchema } from './params.ts';
import type { RpcMethodInfo } from './registry.ts';
import { RPC_METHOD_NOT_FOUND, RpcError } from './rpc-error.ts';

export interface RpcMainOptions {
  /** The methods of this kit, for help when no application runs. */
  methods?: () => readonly RpcMethodInfo[] | Promise<readonly RpcMethodInfo[]>;
  /** Where results and errors go. Default: stdout and stderr. */
  out?: (text: string) => void;
  err?: (text: string) => void;
  /** The text of `load_config` without --json-conf. Default: stdin. */
  stdin?: () => string;
}

interface Options {
  address: string;
  timeoutSeconds: number;
  retries: number;
  dryRun: boolean;
  help: boolean;
  /** Method and its words. */
  rest: string[];
}

/** Made of several calls, here. */
const CLIENT_METHODS = new Set(['save_config', 'load_config']);
const RETRY_MS = 200;
const USAGE = `usage: tspdk rpc [options] METHOD [--PARAMETER VALUE ...]

  -s, --socket ADDRESS   path or loopback address of the application (default ${RPC_DEFAULT_PATH})
  -p, --port PORT        port, when ADDRESS is an IP address (default ${RPC_DEFAULT_PORT})
  -t, --timeout SECONDS  how long to wait for the answer (default 60)
  -r, --retries N        try to connect N more times, every ${RETRY_MS} ms (default 0)
      --dry-run          print the request and stop
  -h, --help             this text; after METHOD: its parameters

  tspdk rpc METHOD --params '{"name": "x"}'             all parameters as JSON
  tspdk rpc save_config [--subsystems A,B] [--indent N]
  tspdk rpc load_config [--json_conf FILE]              otherwise from stdin`;

/**
 * Runs the command.
 * @param argv the words after `tspdk rpc`
 * @returns the exit code: 0, or 1 after an error text
 */
export async function rpcMain(argv: readonly string[], options: RpcMainOptions = {}): Promise<number> {
  const out = options.out ?? ((text: string) => void process.stdout.write(`${text}\n`));
  const err = options.err ?? ((text: string) => void process.stderr.write(`${text}\n`));
  let name = '';
  try {
    const parsed = parseOptions(argv);
    name = parsed.rest[0] ?? '';
    if (name === '' && !parsed.help) {
      err(USAGE);
      return 1;
    }
    if (parsed.help) out(await help(name, parsed, options));
    else await run(name, parsed, out, options.stdin ?? (() => readFileSync(0, 'utf8')));
    return 0;
  } catch (error) {
    err(errorText(name, error));
    return 1;
  }
}

/** Help on the options and all methods, or on one method: asks the application, or else what is known here. */
async function help(name: string, parsed: Options, options: RpcMainOptions): Promise<string> {
  const methods = (await askSchemas(parsed)) ?? (await options.methods?.()) ?? [];
  if (name === '') return usage(methods);
  const method = methods.find((candidate) => candidate.name === name);
  if (method === undefined) throw new SpdkError('ENOENT', 'its parameters are not known');
  return methodHelp(method);
}

async function askSchemas(parsed: Options): Promise<readonly RpcMethodInfo[] | null> {
  try {
    const client = await RpcClient.connect(parsed.address);
    const methods = (await withTimeout(client.call('rpc_get_schema'), parsed.timeoutSeconds)) as RpcMethodInfo[];
    await client.close();
    return methods;
  } catch {
    return null;
  }
}

/** What one method takes; null when the application does not tell. */
async function askSchema(client: RpcClient, method: string): Promise<ParamSchema | null> {
  try {
    const [info] = (await client.call('rpc_get_schema', { method })) as RpcMethodInfo[];
    return info?.params ?? null;
  } catch (error) {
    if (error instanceof RpcError && error.code === RPC_METHOD_NOT_FOUND) return null;
    throw error;
  }
}

async function run(name: string, parsed: Options, out: (text: string) => void, stdin: () => string): Promise<void> {
  const client = await connectRetrying(parsed);
  try {
    const text = await withTimeout(perform(client, name, parsed, stdin), parsed.timeoutSeconds);
    if (text !== '') out(text);
  } finally {
    await client.close();
  }
}

/** The call, and what to print. */
async function perform(client: RpcClient, name: string, parsed: Options, stdin: () => string): Promise<string> {
  const schema = CLIENT_METHODS.has(name) ? null : await askSchema(client, name);
  const params = parseParams(parsed.rest.slice(1), schema);
  if (parsed.dryRun) return stringifyJson({ method: name, params }, 2);
  if (name === 'save_config') {
    const { subsystems, indent } = params;
    const only = typeof subsystems === 'string' ? subsystems.split(',') : undefined;
    return stringifyJson(await saveConfig(client, only), typeof indent === 'number' ? Math.max(0, indent) : 2);
  }
  if (name === 'load_config') {
    const file = params.json_conf;
    const text = typeof file === 'string' ? readFileSync(file, 'utf8') : stdin();
    const skipped = await loadConfig(client, parseConfig(text));
    if (skipped.length === 0) return '';
    return `not called, the state they need is past: ${skipped.map((call) => call.method).join(' ')}`;
  }
  try {
    const result = await client.call(name, Object.keys(params).length === 0 ? undefined : params);
    return typeof result === 'string' ? result : stringifyJson(result, 2);
  } catch (error) {
    // Whoever is told to die need not answer.
    if (name === 'spdk_kill_instance' && error instanceof SpdkError && error.code === 'ECONNRESET') return '';
    throw error;
  }
}

async function connectRetrying(options: Options): Promise<RpcClient> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await RpcClient.connect(options.address);
    } catch (error) {
      if (attempt >= options.retries) {
        throw new SpdkError('ECONNREFUSED', `${(error as Error).message}; is the application running?`);
      }
      await delay(RETRY_MS);
    }
  }
}

async function withTimeout<T>(promise: Promise<T>, seconds: number): Promise<T> {
  const abort = new AbortController();
  const timeout = delay(seconds * 1000, undefined, { signal: abort.signal }).then(() => {
    throw new SpdkError('ETIMEDOUT', `no answer within ${seconds} s`);
  });
  timeout.catch(() => {});
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    abort.abort();
    promise.catch(() => {});
  }
}

/** Options stand before the method; only help may follow it. */
function parseOptions(argv: readonly string[]): Options {
  const rest = [...argv];
  let socket: string = RPC_DEFAULT_PATH;
  let port: string | null = null;
  const options = { timeoutSeconds: 60, retries: 0, dryRun: false, help: false };
  while (rest[0]?.startsWith('-')) {
    const word = rest.shift()!;
    const [, flag, attached] = /^(--[^=]+|-.)(?:=?(.+))?$/s.exec(word) ?? [];
    const value = (): string => {
      const text = attached ?? rest.shift();
      if (text === undefined) throw new SpdkError('EINVAL', `${word} needs a value`);
      return text;
    };
    if (flag === '-s' || flag === '--socket') socket = value();
    else if (flag === '-p' || flag === '--port') port = value();
    else if (flag === '-t' || flag === '--timeout') options.timeoutSeconds = positive(word, value());
    else if (flag === '-r' || flag === '--retries') options.retries = positive(word, value());
    else if (flag === '--dry-run') options.dryRun = true;
    else if (flag === '-h' || flag === '--help') options.help = true;
    else throw new SpdkError('EINVAL', `unknown option ${word}; see tspdk rpc --help`);
  }
  const help = rest.slice(1).findIndex((word) => word === '-h' || word === '--help');
  if (help >= 0) options.help = true;
  const address = port === null ? socket : formatRpcAddress({ host: socket, port: positive('--port', port) });
  parseRpcAddress(address);
  return { ...options, address, rest };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new SpdkError('EINVAL', `${name}: '${text}' is not a number from 0`);
  }
  return value;
}

function usage(methods: readonly RpcMethodInfo[]): string {
  if (methods.length === 0) return USAGE;
  const width = Math.max(...methods.map((method) => method.name.length));
  const sorted = [...methods].sort((a, b) => (a.name < b.name ? -1 : 1));
  return `${USAGE}\n\nmethods:\n${sorted.map((method) => `  ${method.name.padEnd(width)}  ${method.summary}`).join('\n')}`;
}

function errorText(name: string, error: unknown): string {
  const where = name === '' ? 'tspdk rpc' : name;
  if (error instanceof RpcError) return `${where}: ${error.message} (code ${error.code})`;
  return `${where}: ${error instanceof Error ? error.message : String(error)}`;
}
