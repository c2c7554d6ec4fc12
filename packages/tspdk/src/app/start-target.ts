/**
 * A target inside a test suite: disks over NBD in a process of their own, in one call, with faults on demand.
 *
 *     const t = await startTarget({ disks: { disk0: '64M' } });
 *     await t.faults.add('disk0', 'op=write,action=error,errno=ENOSPC,count=1');
 *     ... a client at t.uri('disk0') ...
 *     await t.stop();
 *
 * Nothing is fixed that could be in somebody's way: sockets lie in a folder of the target's own and TCP ports are what the system gives, so any number may run
 * at once. A target of its own process cannot take the tests with it, and its end is checked: `stop` throws when it leaked or failed. It ends with the process that
 * started it, should that be killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { FaultInput } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import { RpcClient } from '../rpc/index.ts';
import { parseDiskArgument } from './disk-argument.ts';
import { diskRecipe } from './disk-recipe.ts';

const CLI = fileURLToPath(new URL('./cli.js', import.meta.url));
const CONNECT_RETRY_MS = 5;
const LOG_BYTES_MAX = 1024 * 1024;

/** What a target serves, and how. */
export interface StartTargetOptions {
  /** What is served, by name: a size ("64M"), a file, a module with a disk, "null:64M", "nbd://HOST/EXPORT" or "rbd:POOL/IMAGE"; also with faults behind it ("64M?fault=op=read,action=error"). */
  readonly disks: Readonly<Record<string, string>>;
  /** Cores, as `--cpumask` takes them. Default: one. */
  readonly cpumask?: string;
  /** Serve on TCP, on a free port of the loopback address. Default: a unix socket. */
  readonly tcp?: boolean;
  /** More flags of `tspdk tgt`. */
  readonly flags?: readonly string[];
  /** What the target is given to start and to stop, ms. Default 30,000. */
  readonly timeoutMs?: number;
}

/** A rule that was added, and what it has done. */
export interface TargetFault {
  readonly id: number;
  readonly name: string;
  /** As text, with the seed that was drawn. */
  readonly rule: string;
  readonly seen: number;
  readonly struck: number;
}

/** Faults of a target's disks. What a rule may say is in docs/faults.md. */
export class TargetFaults {
  readonly #rpc: RpcClient;

  constructor(rpc: RpcClient) {
    this.#rpc = rpc;
  }

  /** Adds a rule to the disk `name`. @returns its number. @throws {RpcError} naming what is wrong with it */
  async add(name: string, rule: FaultInput | string): Promise<number> {
    const text = typeof rule === 'string' ? rule : asText(rule);
    // An object that says nothing is a rule of defaults; a text that says nothing is none.
    const said = text === '' && typeof rule !== 'string' ? {} : { rule: text };
    return (await this.#rpc.call('fault_add', { name, ...said })) as number;
  }

  /** Takes a rule away. */
  async remove(id: number): Promise<void> {
    await this.#rpc.call('fault_remove', { id });
  }

  /** The rules of one disk, or of all. */
  async list(name?: string): Promise<TargetFault[]> {
    return (await this.#rpc.call('fault_list', name === undefined ? {} : { name })) as TargetFault[];
  }

  /** Has what is stuck in a disk carried out. @returns how many I/Os that were */
  async resume(name: string): Promise<number> {
    return (await this.#rpc.call('fault_resume', { name })) as number;
  }

  /** Sets the state that the rules of a disk look at. */
  async setState(name: string, state: number): Promise<void> {
    await this.#rpc.call('fault_set_state', { name, state });
  }
}

/** As text any value may be said, also a fraction. */
function asText(rule: FaultInput): string {
  const said = Object.entries(rule).filter(([, value]) => value !== undefined);
  return said.map(([key, value]) => `${key}=${value}`).join(',');
}

/** A target in a process of its own, see `startTarget`. */
export class Target {
  readonly faults: TargetFaults;
  readonly #child: ChildProcess;
  readonly #rpc: RpcClient;
  readonly #dir: string;
  readonly #base: string;
  readonly #log: string[];
  readonly #timeoutMs: number;
  #stopped: Promise<void> | null = null;

  /** Made by `startTarget`. */
  constructor(parts: {
    child: ChildProcess;
    rpc: RpcClient;
    dir: string;
    base: string;
    log: string[];
    timeoutMs: number;
  }) {
    this.#child = parts.child;
    this.#rpc = parts.rpc;
    this.#dir = parts.dir;
    this.#base = parts.base;
    this.#log = parts.log;
    this.#timeoutMs = parts.timeoutMs;
    this.faults = new TargetFaults(parts.rpc);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Where clients find the disk `name`: an NBD URI. */
  uri(name: string): string {
    return this.#base.replace('%', encodeURIComponent(name));
  }

  /** Calls an RPC method of the target. @throws {RpcError} */
  rpc(method: string, params?: Record<string, unknown>): Promise<unknown> {
    return this.#rpc.call(method, params);
  }

  /** What the target has said on stderr, up to 1 MiB of it. */
  get log(): string {
    return this.#log.join('');
  }

  /** Stops it in order. Twice is once. @throws {Error} when it did not end with 0: it leaked, failed, or took too long and was killed; its log is in the message */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const child = this.#child;
    try {
      child.kill('SIGTERM');
      const code = await endOf(child, this.#timeoutMs);
      if (code !== 0) throw new Error(`the target ended with ${code}:\n${this.log}`);
    } finally {
      await this.#rpc.close();
      rmSync(this.#dir, { recursive: true, force: true });
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** The exit code, or what ended it; kills it past `timeoutMs`. */
async function endOf(child: ChildProcess, timeoutMs: number): Promise<number | string> {
  if (child.exitCode === null && child.signalCode === null) {
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    await once(child, 'exit');
    clearTimeout(timer);
  }
  return child.exitCode ?? (child.signalCode as string);
}

function configOf(options: StartTargetOptions, nbdSocket: string): unknown {
  const disks = Object.entries(options.disks).map(([name, disk]) => ({ name, disk: parseDiskArgument(disk) }));
  const bdevs = disks.map(({ name, disk }) => {
    const { module, params } = diskRecipe(name, disk);
    return { method: `bdev_${module}_create`, params };
  });
  const faults = disks.flatMap(({ name, disk }) =>
    (disk.faults ?? []).map((rule) => ({ method: 'fault_add', params: { name, rule } })),
  );
  const server = options.tcp === true ? { address: '127.0.0.1', port: 0 } : { address: `unix:${nbdSocket}` };
  const nbd = [
    { method: 'nbd_server_start', params: server },
    ...Object.keys(options.disks).map((name) => ({ method: 'nbd_export_add', params: { name, bdev_name: name } })),
  ];
  return {
    subsystems: [
      // What looks at new disks is not what the rules are for.
      { subsystem: 'bdev', config: [...bdevs, { method: 'bdev_wait_for_examine', params: {} }, ...faults] },
      { subsystem: 'nbd', config: nbd },
    ],
  };
}

/** Connects as soon as the target listens. */
async function connect(path: string, child: ChildProcess, untilMs: number): Promise<RpcClient> {
  for (;;) {
    try {
      return await RpcClient.connect({ path });
    } catch (error) {
      const ended = child.exitCode !== null || child.signalCode !== null;
      if (ended || performance.now() > untilMs) throw error;
      await pause(CONNECT_RETRY_MS);
    }
  }
}

/**
 * Starts a target with some disks; resolves when clients can connect.
 * @throws {SpdkError} EINVAL, ENOENT for a disk that cannot be; EIO when the target does not start, with what it said
 */
export async function startTarget(options: StartTargetOptions): Promise<Target> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-target-'));
  const rpcSocket = join(dir, 'rpc.sock');
  const nbdSocket = join(dir, 'nbd.sock');
  const log: string[] = [];
  let child: ChildProcess | null = null;
  try {
    const config = join(dir, 'config.json');
    writeFileSync(config, JSON.stringify(configOf(options, nbdSocket)));
    const cores = options.cpumask === undefined ? [] : ['--cpumask', options.cpumask];
    const flags = ['--rpc-socket', rpcSocket, '--json', config, ...cores, ...(options.flags ?? [])];
    // By the channel the target knows that this process is there.
    child = spawn(process.execPath, [CLI, 'tgt', ...flags], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    child.channel?.unref();
    let bytes = 0;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      bytes += text.length;
      if (bytes <= LOG_BYTES_MAX) log.push(text);
    });
    const rpc = await connect(rpcSocket, child, performance.now() + timeoutMs);
    await rpc.call('framework_wait_init');
    const servers = (await rpc.call('nbd_get_servers')) as { address: string }[];
    const base = options.tcp === true ? `nbd://${servers[0].address}/%` : `nbd+unix:///%?socket=${nbdSocket}`;
    return new Target({ child, rpc, dir, base, log, timeoutMs });
  } catch (error) {
    if (child !== null) {
      child.kill('SIGKILL');
      await endOf(child, timeoutMs);
    }
    rmSync(dir, { recursive: true, force: true });
    if (error instanceof SpdkError && child === null) throw error;
    throw new SpdkError('EIO', `the target did not start: ${(error as Error).message}\n${log.join('')}`, {
      cause: error,
    });
  }
}
