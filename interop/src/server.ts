// The NBD server that a check runs against: tspdk, or somebody else's.
//
// The checks say nothing about who serves, so each can be proved on nbdkit or qemu-nbd first (TSPDK_INTEROP_SERVER=nbdkit): a check that passes there
// and fails on tspdk has found something.

import { once } from 'node:events';
import { closeSync, existsSync, ftruncateSync, openSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { describe, type Running, start } from './client.ts';
import {
  type Address,
  connectOptions,
  nbdUri,
  type Server,
  type ServerKind,
  type ServerOptions,
} from './nbd-server.ts';
import { findProgram, type Program, requires } from './requires.ts';
import { scratch } from './scratch.ts';
import { hasTarget, startTarget } from './target.ts';

/** Who serves in this run. */
export const serverKind: ServerKind = (() => {
  const asked = process.env.TSPDK_INTEROP_SERVER;
  if (asked === undefined) return hasTarget() ? 'tspdk' : 'nbdkit';
  if (asked === 'tspdk' || asked === 'nbdkit' || asked === 'qemu-nbd') return asked;
  throw new Error(`TSPDK_INTEROP_SERVER is '${asked}': tspdk, nbdkit or qemu-nbd`);
})();

/** As `requires`, and the program that serves as well. */
export function requiresServer(t: TestContext, ...programs: readonly Program[]): boolean {
  return requires(t, ...programs, ...(serverKind === 'tspdk' ? [] : [serverKind]));
}

/** Starts the server under test; it accepts connections when this resolves, and is gone when the test ends. */
export async function startServer(t: TestContext, options: ServerOptions, kind = serverKind): Promise<Server> {
  if (kind === 'tspdk') return await startTarget(t, options);
  const dir = scratch(t);
  const address: Address = options.transport === 'tcp' ? { port: await freePort() } : { path: join(dir, 'nbd.sock') };
  const command = kind === 'nbdkit' ? nbdkit(options, address) : qemuNbd(options, address, dir);
  const running = start(t, findProgram(kind)!, command, options.env === undefined ? {} : { env: options.env });
  await reachable(address, running);
  return {
    kind,
    pid: running.pid,
    address,
    exportName: '',
    uri: nbdUri(address, ''),
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

function nbdkit({ sizeBytes, file }: ServerOptions, address: Address): string[] {
  const where = 'path' in address ? ['-U', address.path] : ['-i', '127.0.0.1', '-p', String(address.port)];
  const disk = file === undefined ? ['memory', `size=${sizeBytes}`] : ['file', file];
  return ['--foreground', '--newstyle', ...where, ...disk];
}

function qemuNbd({ sizeBytes, file }: ServerOptions, address: Address, dir: string): string[] {
  const disk = file ?? join(dir, 'disk');
  if (!existsSync(disk)) {
    const fd = openSync(disk, 'w');
    ftruncateSync(fd, sizeBytes);
    closeSync(fd);
  }
  const where = 'path' in address ? ['-k', address.path] : ['-b', '127.0.0.1', '-p', String(address.port)];
  return ['--persistent', '--shared=0', '--discard=unmap', '--format=raw', '--export-name=', ...where, disk];
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Resolves when something accepts at `address`. These servers do not say when they are ready, so it is tried until it works. */
async function reachable(address: Address, running: Running): Promise<void> {
  const until = performance.now() + 30_000;
  let ended = false;
  running.finished.finally(() => {
    ended = true;
  });
  while (!ended && performance.now() < until) {
    const socket = connect(connectOptions(address));
    try {
      await once(socket, 'connect');
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    } finally {
      socket.destroy();
    }
  }
  throw new Error(`nothing accepts connections at ${JSON.stringify(address)}:\n${running.output()}`);
}
