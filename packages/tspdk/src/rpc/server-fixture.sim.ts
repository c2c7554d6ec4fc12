// A server on a socket of its own, with methods to call, and raw connections to it: what the tests of the server share.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { Log } from '../log/index.ts';
import { RPC_RUNTIME, RPC_STARTUP, RpcRegistry } from './registry.ts';
import { RpcError } from './rpc-error.ts';
import { RpcServer } from './server.ts';

export interface Fixture {
  dir: string;
  registry: RpcRegistry;
  lines: string[];
  listen(name?: string): Promise<RpcServer>;
  open(server: RpcServer): Promise<Wire>;
  /** Resolves calls of `wait` with `{ key }`. */
  release(key: number): void;
}

/** A raw connection that collects replies, one a line. */
export interface Wire {
  socket: Socket;
  send(text: string | Buffer): void;
  replies(count: number): Promise<Record<string, unknown>[]>;
  ended: Promise<unknown>;
}

export async function fixture(t: TestContext): Promise<Fixture> {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-rpc-'));
  const lines: string[] = [];
  const component = new Log({ print: (line) => lines.push(line) }).register('rpc');
  const registry = new RpcRegistry({ log: component });
  const waiting = new Map<number, () => void>();
  const servers: RpcServer[] = [];
  const sockets: Socket[] = [];
  const states = RPC_STARTUP | RPC_RUNTIME;
  registry.register({ name: 'ping', states, params: [], summary: '', handler: () => 'pong' });
  registry.register({ name: 'nothing', states, params: [], summary: '', handler: () => undefined });
  registry.register({ name: 'late', states: RPC_RUNTIME, params: [], summary: '', handler: () => 1 });
  registry.register({
    name: 'echo',
    states,
    params: [{ name: 'value', type: 'string', required: true }],
    summary: '',
    handler: ({ value }) => value,
  });
  registry.register({ name: 'big', states, params: [], summary: '', handler: () => 2n ** 64n - 1n });
  registry.register({
    name: 'blob',
    states,
    params: [{ name: 'bytes', type: 'uint32', required: true }],
    summary: '',
    handler: ({ bytes }) => 'x'.repeat(bytes),
  });
  registry.register({
    name: 'fail',
    states,
    params: [{ name: 'how', type: 'string', required: true }],
    summary: '',
    handler: ({ how }) => {
      if (how === 'rpc') throw new RpcError(-42, 'own text', { a: 1 });
      if (how === 'spdk') throw new SpdkError('ENODEV', "bdev 'x' does not exist");
      if (how === 'later') return Promise.reject(new SpdkError('EBUSY', 'claimed'));
      throw new TypeError('a bug');
    },
  });
  registry.register({
    name: 'wait',
    states,
    params: [{ name: 'key', type: 'uint32', required: true }],
    summary: '',
    handler: ({ key }) => new Promise((resolve) => waiting.set(key, () => resolve(key))),
  });
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await Promise.all(servers.map((server) => server.close()));
    rmSync(dir, { recursive: true, force: true });
  });
  return {
    dir,
    registry,
    lines,
    listen: async (name = 'rpc.sock') => {
      const server = await RpcServer.listen(registry, { address: join(dir, name), log: component });
      servers.push(server);
      return server;
    },
    open: async (server) => {
      const colon = server.address.includes('/') ? -1 : server.address.lastIndexOf(':');
      const socket =
        colon < 0 ? connect(server.address) : connect(Number(server.address.slice(colon + 1)), '127.0.0.1');
      sockets.push(socket);
      return wire(socket);
    },
    release: (key) => waiting.get(key)!(),
  };
}

export async function wire(socket: Socket): Promise<Wire> {
  await once(socket, 'connect');
  let text = '';
  let wake = (): void => {};
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    text += chunk;
    wake();
  });
  socket.on('error', () => {});
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.on('close', () => wake());
  return {
    socket,
    ended,
    send: (data) => socket.write(data),
    replies: async (count) => {
      for (;;) {
        const lines = text.split('\n');
        if (lines.length > count) {
          text = lines.slice(count).join('\n');
          return lines.slice(0, count).map((line) => JSON.parse(line) as Record<string, unknown>);
        }
        if (socket.closed) throw new Error(`closed with ${lines.length - 1} of ${count} replies: ${text}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

export const request = (id: unknown, method: string, params?: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });
export const ok = (id: unknown, result: unknown) => ({ jsonrpc: '2.0', id, result });
export const failed = (id: unknown, code: number, message: string, data?: unknown) => ({
  jsonrpc: '2.0',
  id,
  error: data === undefined ? { code, message } : { code, message, data },
});
