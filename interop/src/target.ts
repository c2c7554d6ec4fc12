// tspdk itself as a child process: started with a JSON config of SPDK's form, ready when it says so, stopped by a signal, and its exit code checked (a
// target that leaks says so and exits with another code than 0).

import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describe, type Running, start } from './client.ts';
import { type Address, nbdUri, type Server, type ServerOptions } from './nbd-server.ts';
import { rpcCall } from './rpc.ts';
import { scratch } from './scratch.ts';

const cli = fileURLToPath(new URL('../../packages/tspdk/dist/app/cli.js', import.meta.url));
const exportName = 'disk';

/** Whether this checkout has a target to start. */
export function hasTarget(): boolean {
  return existsSync(cli);
}

/** `TSPDK_INTEROP_TSAN=1`: every tspdk that a check starts runs under the thread sanitizer, and what that reports fails the check. */
const sanitizer = new URL('../../packages/tsan/dist/register.js', import.meta.url).href;
const nodeArgs = process.env.TSPDK_INTEROP_TSAN === '1' ? ['--import', sanitizer] : [];

/** Starts `tspdk ARGS`. */
export function startCli(t: TestContext, args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const running = start(t, process.execPath, [...nodeArgs, cli, ...args], { env });
  // One that is killed has no exit code to say it with.
  t.after(() => assert.doesNotMatch(running.output(), /WARNING: ThreadSanitizer/));
  return running;
}

/** A tspdk server, with what only it has. */
export interface Target extends Server {
  readonly rpcPath: string;
}

export function isTarget(server: Server): server is Target {
  return server.kind === 'tspdk';
}

/** Starts `tspdk tgt` with one disk, exported over NBD. */
export async function startTarget(t: TestContext, options: ServerOptions): Promise<Target> {
  const dir = scratch(t);
  const { transport = 'unix', reactors = 1, poll = false } = options;
  const socketPath = join(dir, 'nbd.sock');
  const rpcPath = join(dir, 'rpc.sock');
  const configPath = join(dir, 'config.json');
  const listen = transport === 'unix' ? { address: `unix:${socketPath}` } : { address: '127.0.0.1', port: 0 };
  writeFileSync(configPath, JSON.stringify(config(options, listen)));
  const args = [
    'tgt',
    '-c',
    configPath,
    '-r',
    rpcPath,
    '-m',
    reactors === 2 ? '0x3' : '0x1',
    ...(poll ? ['--poll'] : []),
  ];
  const running = startCli(t, args, options.env);
  // Said when the configuration has been carried out.
  await running.printed(/reactors on cores/);
  const servers = await rpcCall<readonly { readonly port: number }[]>(rpcPath, 'nbd_get_servers');
  const address: Address = transport === 'unix' ? { path: socketPath } : { port: servers[0]!.port };
  return {
    kind: 'tspdk',
    pid: running.pid,
    address,
    exportName,
    uri: nbdUri(address, exportName),
    rpcPath,
    stop: async () => {
      running.child.kill('SIGTERM');
      const finished = await running.finished;
      if (finished.code !== 0) throw new Error(describe(finished));
    },
    kill: async () => {
      running.child.kill('SIGKILL');
      await running.finished;
    },
  };
}

function config({ sizeBytes, file, bdevs }: ServerOptions, listen: object): object {
  const bdev =
    file === undefined
      ? { method: 'bdev_malloc_create', params: { name: exportName, num_blocks: sizeBytes / 512, block_size: 512 } }
      : { method: 'bdev_uring_create', params: { name: exportName, filename: file, block_size: 512, direct: false } };
  const nbd = [
    { method: 'nbd_server_start', params: listen },
    { method: 'nbd_export_add', params: { name: exportName, bdev_name: exportName } },
  ];
  return {
    subsystems: [
      { subsystem: 'bdev', config: bdevs ?? [bdev] },
      { subsystem: 'nbd', config: nbd },
    ],
  };
}
