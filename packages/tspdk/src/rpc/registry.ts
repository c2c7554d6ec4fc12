/**
 * The methods of one application: what they are called, when they may be called, what they take, who answers.
 *
 * An instance, not a global: several applications can live in one process (tests do). Modules register at start; the
 * server, the JSON config and the command line all call through `call`. App thread only.
 */
import { SpdkError } from '../env/errors.ts';
import { type LogComponent, log } from '../log/index.ts';
import { decodeParams, type ParamSchema, type ParamsOf } from './params.ts';
import { RPC_INVALID_STATE, RPC_METHOD_NOT_FOUND, RpcError } from './rpc-error.ts';

/** Before the subsystems are initialised (SPDK_RPC_STARTUP). */
export const RPC_STARTUP = 1;
/** After that (SPDK_RPC_RUNTIME). */
export const RPC_RUNTIME = 2;

/** Where a call comes from, and what a handler may ask of that place. */
export interface RpcContext {
  /** The name it was called by: an alias shows as such. */
  readonly method: string;
  /** The caller, for log lines; null when the call comes from the config file or from inside. */
  readonly peer: string | null;
  /** Runs `fn` after the reply was handed to the operating system: for methods that end the process. */
  afterReply(fn: () => void): void;
}

/** A method as it is registered. */
export interface RpcMethod<S extends ParamSchema = ParamSchema> {
  readonly name: string;
  /** RPC_STARTUP, RPC_RUNTIME or both (`|`). */
  readonly states: number;
  readonly params: S;
  /** One line for help and reference. */
  readonly summary: string;
  /** What is returned (or resolved) is the result; undefined counts as true, as most of SPDK's methods answer. */
  handler(params: ParamsOf<S>, context: RpcContext): unknown;
}

/** A method without its handler: what it takes, as data. */
export type RpcMethodInfo = Omit<RpcMethod, 'handler'>;

interface Entry {
  readonly name: string;
  readonly method: RpcMethod;
  readonly alias: boolean;
  readonly deprecated: boolean;
  warned: boolean;
}

/** The context of a call that no connection made. */
function localContext(method: string): RpcContext {
  return { method, peer: null, afterReply: (fn) => setImmediate(fn) };
}

export class RpcRegistry {
  readonly #entries = new Map<string, Entry>();
  readonly #log: LogComponent;
  #only: ReadonlySet<string> | null = null;
  /** RPC_STARTUP or RPC_RUNTIME; the application sets it (spdk_rpc_set_state). */
  state: number = RPC_STARTUP;

  constructor(options: { log?: LogComponent } = {}) {
    this.#log = options.log ?? log.register('rpc');
  }

  /** Adds a method. @throws {SpdkError} EEXIST when the name is taken, EINVAL when the declaration contradicts itself. */
  register<const S extends ParamSchema>(method: RpcMethod<S>): void {
    this.#claim(method.name);
    if ((method.states & (RPC_STARTUP | RPC_RUNTIME)) === 0) {
      throw new SpdkError('EINVAL', `RPC method '${method.name}' can be called in no state`);
    }
    const names = new Set<string>();
    for (const param of method.params) {
      if (names.has(param.name)) {
        throw new SpdkError('EINVAL', `RPC method '${method.name}' declares parameter '${param.name}' twice`);
      }
      names.add(param.name);
    }
    // The handler takes exactly what decodeParams makes of the same schema.
    const erased = method as unknown as RpcMethod;
    this.#entries.set(method.name, {
      name: method.name,
      method: erased,
      alias: false,
      deprecated: false,
      warned: false,
    });
  }

  /** Another, older name of a method; calling it warns once. @throws {SpdkError} EEXIST, ENOENT, EINVAL for an alias of an alias. */
  registerAlias(alias: string, target: string, options: { deprecated?: boolean } = {}): void {
    const base = this.#entries.get(target);
    if (base === undefined) throw new SpdkError('ENOENT', `RPC alias '${alias}': method '${target}' does not exist`);
    if (base.alias) throw new SpdkError('EINVAL', `RPC alias '${alias}': '${target}' is an alias itself`);
    this.#claim(alias);
    const deprecated = options.deprecated ?? true;
    this.#entries.set(alias, { name: alias, method: base.method, alias: true, deprecated, warned: false });
  }

  /** The method behind a name or alias. */
  get(name: string): RpcMethod | undefined {
    return this.#entries.get(name)?.method;
  }

  /** From now on only these methods exist for callers (SPDK: --rpcs-allowed), rpc_get_methods and spdk_get_version always. */
  restrictTo(names: readonly string[]): void {
    this.#only = new Set([...names, 'rpc_get_methods', 'spdk_get_version']);
  }

  /** Names in order of registration (rpc_get_methods). `current`: only what may be called in the present state. */
  names(options: { current?: boolean; includeAliases?: boolean } = {}): string[] {
    const names: string[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.alias && options.includeAliases !== true) continue;
      if (!this.#isOpen(entry.name)) continue;
      if (options.current === true && (entry.method.states & this.state) !== this.state) continue;
      names.push(entry.name);
    }
    return names;
  }

  /** The methods themselves, aliases left out. */
  methods(): RpcMethod[] {
    return [...this.#entries.values()].filter((entry) => !entry.alias).map((entry) => entry.method);
  }

  /** The methods as data, aliases left out; or one, by name or alias. @throws {RpcError} -32601 when it does not exist */
  describe(name?: string): RpcMethodInfo[] {
    const wanted = name === undefined ? this.methods() : [this.#entry(name).method];
    return wanted
      .filter((method) => this.#isOpen(method.name))
      .map(({ name: called, states, params, summary }) => ({ name: called, states, params, summary }));
  }

  /** 'allowed', or why not (spdk_rpc_is_method_allowed): EPERM in these states, ENOENT when there is no such method. */
  isAllowed(name: string, states: number): 'allowed' | 'EPERM' | 'ENOENT' {
    const method = this.get(name);
    if (method === undefined) return 'ENOENT';
    return (method.states & states) === states ? 'allowed' : 'EPERM';
  }

  /**
   * Calls a method: what the handler returned, or its promise.
   * @throws {RpcError} when there is no such method, not now, or not with these parameters; and whatever the handler throws
   */
  call(name: string, params?: unknown, context?: RpcContext): unknown {
    const entry = this.#entry(name);
    const method = entry.method;
    if (entry.deprecated && !entry.warned) {
      entry.warned = true;
      this.#log.warn(`RPC method ${name} is deprecated, use ${method.name}`);
    }
    if ((method.states & this.state) !== this.state) throw this.#wrongState();
    const decoded = decodeParams(method.params, params, (param) =>
      this.#log.warn(`RPC method ${name}: parameter ${param.name} is deprecated: ${param.deprecated}`),
    );
    return method.handler(decoded, context ?? localContext(name));
  }

  #isOpen(name: string): boolean {
    return this.#only === null || this.#only.has(name);
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined && this.#isOpen(name)) return entry;
    throw new RpcError(RPC_METHOD_NOT_FOUND, undefined, name.slice(0, 128));
  }

  #claim(name: string): void {
    if (this.#entries.has(name)) throw new SpdkError('EEXIST', `RPC method '${name}' is already registered`);
  }

  /** SPDK's texts, word for word: clients recognise "already initialised" by them. */
  #wrongState(): RpcError {
    return new RpcError(
      RPC_INVALID_STATE,
      this.state === RPC_STARTUP
        ? 'Method may only be called after framework is initialized using framework_start_init RPC.'
        : 'Method may only be called before framework is initialized. Use --wait-for-rpc command line parameter and then issue this RPC before the framework_start_init RPC.',
    );
  }
}
