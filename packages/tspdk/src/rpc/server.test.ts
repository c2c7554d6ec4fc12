import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { Log } from '../log/index.ts';
import { RpcClient } from './client.ts';
import { RPC_RUNTIME, RPC_STARTUP, RpcRegistry } from './registry.ts';
import { RpcError } from './rpc-error.ts';
import { RpcServer } from './server.ts';

// SPDK's unit tests, by name: jsonrpc_server test_parse_request, test_parse_request_streaming, test_error_response,
// test_error_response_fmt, test_batch_request; rpc test_spdk_rpc_listen_close, test_rpc_run_multiple_servers; init/rpc
// test_run_multiple_servers_stop_all, test_run_multiple_servers_stop_singles, test_pause_resume_servers,
// test_remove_paused_servers. Not here: test_rpc_set_spdk_log_opts and test_rpc_set_spdk_log_default_opts (SPDK can copy
// its JSON-RPC traffic to a log file; this kit has no such option).

interface Fixture {
  dir: string;
  registry: RpcRegistry;
  lines: string[];
  listen(name?: string): Promise<RpcServer>;
  open(server: RpcServer): Promise<Wire>;
  /** Resolves calls of `wait` with `{ key }`. */
  release(key: number): void;
}

/** A raw connection that collects replies, one a line. */
interface Wire {
  socket: Socket;
  send(text: string | Buffer): void;
  replies(count: number): Promise<Record<string, unknown>[]>;
  ended: Promise<unknown>;
}

async function fixture(t: TestContext): Promise<Fixture> {
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

async function wire(socket: Socket): Promise<Wire> {
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

const request = (id: unknown, method: string, params?: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });
const ok = (id: unknown, result: unknown) => ({ jsonrpc: '2.0', id, result });
const failed = (id: unknown, code: number, message: string, data?: unknown) => ({
  jsonrpc: '2.0',
  id,
  error: data === undefined ? { code, message } : { code, message, data },
});

test('parse_request: what is a request and what is not', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  const expect = async (text: string, reply: Record<string, unknown>): Promise<void> => {
    w.send(text);
    const [got] = await w.replies(1);
    const error = got.error as Record<string, unknown> | undefined;
    if (error !== undefined && !('data' in ((reply.error ?? {}) as object))) delete error.data;
    assert.deepEqual(got, reply, text);
  };
  await expect('{"jsonrpc":"2.0","method":"ping","id":1}', ok(1, 'pong'));
  await expect('{"jsonrpc":"2.0","method":"ping","id":1,"params":{}}', ok(1, 'pong'));
  await expect('{"jsonrpc":"2.0","method":"ping","id":1,"params":null}', ok(1, 'pong'));
  await expect('{"method":"ping","id":"abc"}', ok('abc', 'pong'));
  await expect('{"method":"ping","id":1.5}', ok(1.5, 'pong'));
  await expect('{"method":"nothing","id":""}', ok('', true));
  await expect('{"method":"unknown","id":2}', failed(2, -32601, 'Method not found'));
  await expect(
    '{"method":"late","id":2}',
    failed(2, -1, 'Method may only be called after framework is initialized using framework_start_init RPC.'),
  );
  await expect('{"method":"ping","id":3,"params":[]}', failed(3, -32602, 'Invalid parameters'));
  await expect('{"method":"ping","id":3,"params":{"a":1}}', failed(3, -32602, 'Invalid parameters'));
  for (const bad of [
    '{}',
    '{"jsonrpc":"1.0","method":"ping","id":1}',
    '{"jsonrpc":2.0,"method":"ping","id":1}',
    '{"jsonrpc":"2.0","id":1}',
    '{"method":123,"id":1}',
    '{"method":null,"id":1}',
    '{"method":"ping","id":true}',
    '{"method":"ping","id":{}}',
    '{"method":"ping","id":[1]}',
    '{"method":"ping","id":1,"params":7}',
    '{"method":"ping","id":1,"params":"x"}',
    '{"method":"ping","id":1,"extra":1}',
    '"a string"',
    '12 ',
    'true ',
    'null\n',
    '[]',
  ]) {
    await expect(bad, failed(null, -32600, 'Invalid request'));
  }
});

test('an id past 2^53 comes back with all its digits', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  w.socket.setEncoding('utf8');
  const got = once(w.socket, 'data');
  w.send('{"method":"ping","id":12345678901234567890}');
  assert.equal((await got)[0], '{"jsonrpc":"2.0","id":12345678901234567890,"result":"pong"}\n');
});

test('notifications: success is not answered, failure is', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  w.send('{"method":"ping"}{"method":"ping","id":null}{"method":"unknown"}{"method":"ping","id":9}');
  const got = await w.replies(2);
  assert.equal(got[0].id, null);
  assert.equal((got[0].error as { code: number }).code, -32601);
  assert.deepEqual(got[1], ok(9, 'pong'));
});

test('parse_request_streaming: several in one piece, one in many pieces', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  const text = `${request(1, 'ping')}${request(2, 'echo', { value: 'a}"\\{é' })}\r\n\t ${request(3, 'ping')}`;
  w.send(text);
  assert.deepEqual(await w.replies(3), [ok(1, 'pong'), ok(2, 'a}"\\{é'), ok(3, 'pong')]);
  w.socket.setNoDelay(true);
  for (const byte of Buffer.from(text)) {
    w.send(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await w.replies(3), [ok(1, 'pong'), ok(2, 'a}"\\{é'), ok(3, 'pong')]);
});

test('error_response, error_response_fmt: what handlers throw', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  for (const [index, how] of ['rpc', 'spdk', 'bug', 'later'].entries()) {
    w.send(request(index, 'fail', { how }));
  }
  const got = await w.replies(4);
  got.sort((a, b) => Number(a.id) - Number(b.id));
  assert.deepEqual(got, [
    failed(0, -42, 'own text', { a: 1 }),
    failed(1, -19, 'No such device', "bdev 'x' does not exist"),
    failed(2, -32603, 'Internal error', 'a bug'),
    failed(3, -16, 'Device or resource busy', 'claimed'),
  ]);
  assert.equal(f.lines.filter((line) => line.includes('failed unexpectedly')).length, 1);
});

test('batch_request: answered together, notifications left out', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  w.send(`[${request(1, 'ping')},${request(2, 'wait', { key: 5 })},{"method":"ping"},3,${request(4, 'unknown')}]`);
  w.send(request('after', 'ping'));
  assert.deepEqual(await w.replies(1), [ok('after', 'pong')]);
  f.release(5);
  const [batch] = (await w.replies(1)) as unknown as Record<string, unknown>[][];
  assert.deepEqual(
    batch.map((reply) => [reply.id, reply.result ?? (reply.error as { code: number }).code]),
    [
      [1, 'pong'],
      [null, -32600],
      [4, -32601],
      [2, 5],
    ],
  );
  w.send('[{"method":"ping"},{"method":"nothing"}]');
  w.send(
    `[${Array(limits.rpc_batch_calls + 1)
      .fill('1')
      .join()}]`,
  );
  const [tooLong] = await w.replies(1);
  assert.equal((tooLong.error as { code: number }).code, -32600);
});

test('replies go out as calls finish', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  w.send(request(1, 'wait', { key: 1 }) + request(2, 'wait', { key: 2 }) + request(3, 'ping'));
  assert.deepEqual(await w.replies(1), [ok(3, 'pong')]);
  f.release(2);
  assert.deepEqual(await w.replies(1), [ok(2, 2)]);
  f.release(1);
  assert.deepEqual(await w.replies(1), [ok(1, 1)]);
});

test('a client that stops sending still gets its replies, and then the end', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  w.socket.allowHalfOpen = true;
  w.socket.end(request(1, 'wait', { key: 1 }) + request(2, 'ping'));
  assert.deepEqual(await w.replies(1), [ok(2, 'pong')]);
  f.release(1);
  assert.deepEqual(await w.replies(1), [ok(1, 1)]);
  await w.ended;
});

test('what is not JSON costs the connection, one reply and one line; others do not notice', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  const other = await f.open(server);
  const deep = limits.json_nesting_max + 1;
  const bad = [
    '}',
    'hello',
    '{"a" 1}',
    '[1,]',
    '{"a":01}',
    '{"a":"\u0001"}',
    '{]',
    '['.repeat(deep),
    '{"a":tru}',
    '[1 2]',
    '/* c */ {}',
  ];
  for (const text of [...bad, Buffer.from([0x22, 0xc3, 0x28, 0x22]), Buffer.from([0xff, 0xfe])]) {
    f.lines.length = 0;
    const w = await f.open(server);
    w.send(text);
    w.send(request(1, 'ping'));
    const [reply] = await w.replies(1);
    assert.equal(reply.id, null, String(text));
    assert.equal((reply.error as { code: number }).code, -32700, String(text));
    assert.equal((reply.error as { message: string }).message, 'Parse error');
    await w.ended;
    assert.equal(f.lines.length, 1, f.lines.join());
  }
  other.send(request(1, 'ping'));
  assert.deepEqual(await other.replies(1), [ok(1, 'pong')]);
});

test('garbage after calls that are still under way: they are answered, then the connection ends', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  w.send(`${request(1, 'wait', { key: 1 })}}`);
  assert.equal((await w.replies(1))[0].id, null);
  f.release(1);
  assert.deepEqual(await w.replies(1), [ok(1, 1)]);
  await w.ended;
});

test('a request past the limit costs the connection', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  const w = await f.open(server);
  w.send(request(1, 'echo', { value: 'x'.repeat(limits.rpc_request_bytes_max - 100) }));
  assert.equal((await w.replies(1))[0].id, 1);
  w.send(`{"id":1,"method":"echo","params":{"value":"${'x'.repeat(limits.rpc_request_bytes_max)}`);
  const [reply] = await w.replies(1);
  assert.deepEqual([reply.id, (reply.error as { code: number }).code], [null, -32600]);
  await w.ended;
});

test('a reply past the limit becomes Internal error', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  w.send(request(1, 'blob', { bytes: limits.rpc_reply_bytes_max + 1 }));
  const [reply] = await w.replies(1);
  assert.equal((reply.error as { code: number }).code, -32603);
});

test('a client that never reads is not read from', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  let calls = 0;
  f.registry.register({
    name: 'count',
    states: RPC_STARTUP,
    params: [],
    summary: '',
    handler: () => {
      calls++;
      return 'x'.repeat(100_000);
    },
  });
  const greedy = connect(server.address);
  t.after(() => greedy.destroy());
  await once(greedy, 'connect');
  greedy.pause();
  greedy.write(request(1, 'count').repeat(10_000));
  const w = await f.open(server);
  for (let round = 0; round < 50; round++) {
    w.send(request(round, 'ping'));
    await w.replies(1);
  }
  const taken = calls;
  assert.ok(taken < 200, `${taken} calls were taken`);
  // And once it reads, everything comes.
  let bytes = 0;
  greedy.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > 50_000_000) greedy.destroy();
  });
  greedy.resume();
  await once(greedy, 'close');
  assert.ok(calls > taken);
});

test('calls under way are bounded; the rest waits and is answered', async (t) => {
  const f = await fixture(t);
  const w = await f.open(await f.listen());
  const many = limits.rpc_outstanding_calls;
  let text = '';
  for (let key = 0; key < many; key++) text += request(key, 'wait', { key });
  w.send(text + request('last', 'ping'));
  const other = await f.open(await f.listen('other.sock'));
  other.send(request(1, 'ping'));
  await other.replies(1);
  f.release(7);
  const got = await w.replies(2);
  assert.deepEqual(
    got.map((reply) => reply.id),
    [7, 'last'],
  );
});

test('a client that goes away: its calls finish, their results are dropped', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  const w = await f.open(server);
  const other = await f.open(server);
  w.send(request(1, 'wait', { key: 1 }) + request(2, 'ping'));
  await w.replies(1);
  w.socket.destroy();
  await w.ended;
  f.release(1);
  while (server.connections > 1) {
    other.send(request(1, 'ping'));
    await other.replies(1);
  }
  other.send(request(1, 'ping'));
  assert.deepEqual(await other.replies(1), [ok(1, 'pong')]);
  assert.deepEqual(f.lines, []);
});

test('afterReply runs when the reply is out', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  f.registry.register({
    name: 'stop',
    states: RPC_STARTUP,
    params: [],
    summary: '',
    handler: (_params, context) => {
      context.afterReply(() => void server.close());
      return true;
    },
  });
  const w = await f.open(server);
  w.send(request(1, 'stop'));
  assert.deepEqual(await w.replies(1), [ok(1, true)]);
  await w.ended;
});

test('64 connections; a further one is refused and told', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  const wires: Wire[] = [];
  for (let i = 0; i < limits.rpc_connections; i++) {
    const w = await f.open(server);
    w.send(request(i, 'ping'));
    await w.replies(1);
    wires.push(w);
  }
  const extra = await f.open(server);
  await extra.ended;
  assert.match(f.lines.join(), /64 are open/);
  wires[5].socket.destroy();
  await wires[5].ended;
  while (server.connections === limits.rpc_connections) await new Promise((resolve) => setImmediate(resolve));
  const next = await f.open(server);
  next.send(request(1, 'ping'));
  assert.deepEqual(await next.replies(1), [ok(1, 'pong')]);
});

test('spdk_rpc_listen_close: mode 0600, lock file, both gone afterwards', async (t) => {
  const f = await fixture(t);
  const mask = process.umask();
  const server = await f.listen();
  assert.equal(process.umask(), mask);
  const path = server.address;
  assert.ok(lstatSync(path).isSocket());
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(`${path}.lock`).mode & 0o777, 0o600);
  assert.match(readFileSync(`${path}.lock`, 'latin1'), new RegExp(`^${process.pid} `));
  const w = await f.open(server);
  await server.close();
  await server.close();
  await w.ended;
  assert.equal(existsSync(path), false);
  assert.equal(existsSync(`${path}.lock`), false);
  const again = await f.listen();
  assert.equal(again.address, path);
});

test('a second server on the same path says who has it', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  await assert.rejects(f.listen(), (error) => {
    assert.ok(error instanceof SpdkError);
    assert.equal(error.code, 'EADDRINUSE');
    assert.match(error.message, new RegExp(`rpc\\.sock is in use: process ${process.pid} serves it`));
    return true;
  });
  const w = await f.open(server);
  w.send(request(1, 'ping'));
  assert.deepEqual(await w.replies(1), [ok(1, 'pong')]);
});

test('a stale lock and socket are taken over: owner dead, number used again, nonsense', async (t) => {
  const f = await fixture(t);
  const path = join(f.dir, 'rpc.sock');
  const stale = ['999999999 123\n', `${process.pid} 1\n`, '', 'what is this'];
  for (const content of process.platform === 'linux' ? stale : stale.filter((text) => !text.endsWith(' 1\n'))) {
    writeFileSync(`${path}.lock`, content);
    // A socket file without a listener, as kill -9 leaves it.
    const abandoned = createServer();
    abandoned.listen(join(f.dir, 'abandoned.sock'));
    await once(abandoned, 'listening');
    const { renameSync } = await import('node:fs');
    renameSync(join(f.dir, 'abandoned.sock'), path);
    await new Promise((resolve) => abandoned.close(resolve));
    assert.ok(existsSync(path));
    const server = await f.listen();
    const w = await f.open(server);
    w.send(request(1, 'ping'));
    assert.deepEqual(await w.replies(1), [ok(1, 'pong')], content);
    await server.close();
  }
  const { readdirSync } = await import('node:fs');
  assert.deepEqual(readdirSync(f.dir), []);
});

test('a stale lock is not enough when somebody answers', async (t) => {
  const f = await fixture(t);
  const path = join(f.dir, 'rpc.sock');
  const foreign = createServer((socket) => socket.on('error', () => {}));
  foreign.listen(path);
  await once(foreign, 'listening');
  t.after(() => foreign.close());
  const inUse = (error: unknown) => error instanceof SpdkError && error.code === 'EADDRINUSE';
  await assert.rejects(f.listen(), inUse);
  assert.equal(existsSync(`${path}.lock`), false);
  writeFileSync(`${path}.lock`, '');
  await assert.rejects(f.listen(), inUse);
});

test('a file that is no socket is left alone', async (t) => {
  const f = await fixture(t);
  const path = join(f.dir, 'rpc.sock');
  writeFileSync(path, 'precious');
  await assert.rejects(f.listen(), (error) => error instanceof SpdkError && /not a socket/.test(error.message));
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  assert.equal(existsSync(`${path}.lock`), false);
});

test('addresses that cannot be served', async (t) => {
  const f = await fixture(t);
  const rejects = (address: string, code: string) =>
    assert.rejects(RpcServer.listen(f.registry, { address }), (error) => {
      assert.ok(error instanceof SpdkError && error.code === code, `${address}: ${error}`);
      return true;
    });
  await rejects('0.0.0.0:0', 'EPERM');
  await rejects('192.0.2.1:5260', 'EPERM');
  await rejects(`/${'x'.repeat(107)}`, 'ENAMETOOLONG');
  await rejects('', 'EINVAL');
  await rejects('127.0.0.1:99999', 'EINVAL');
  await rejects(join(f.dir, 'no/such/dir/rpc.sock'), 'ENOENT');
  if (process.getuid?.() !== 0) {
    chmodSync(f.dir, 0o500);
    await rejects(join(f.dir, 'x.sock'), 'EACCES');
    chmodSync(f.dir, 0o700);
  }
});

test('TCP on loopback', async (t) => {
  const f = await fixture(t);
  const server = await RpcServer.listen(f.registry, { address: '127.0.0.1:0' });
  t.after(() => server.close());
  assert.match(server.address, /^127\.0\.0\.1:[1-9]\d*$/);
  const w = await f.open(server);
  w.send(request(1, 'ping'));
  assert.deepEqual(await w.replies(1), [ok(1, 'pong')]);
  const client = await RpcClient.connect(server.address);
  assert.equal(await client.call('ping'), 'pong');
  await client.close();
});

test('run_multiple_servers, stop singles, stop all', async (t) => {
  const f = await fixture(t);
  const servers = await Promise.all([f.listen('a.sock'), f.listen('b.sock'), f.listen('c.sock')]);
  const wires = await Promise.all(servers.map((server) => f.open(server)));
  for (const w of wires) {
    w.send(request(1, 'ping'));
    assert.deepEqual(await w.replies(1), [ok(1, 'pong')]);
  }
  await servers[1].close();
  await wires[1].ended;
  assert.equal(existsSync(servers[1].address), false);
  for (const w of [wires[0], wires[2]]) {
    w.send(request(2, 'ping'));
    assert.deepEqual(await w.replies(1), [ok(2, 'pong')]);
  }
  await Promise.all(servers.map((server) => server.close()));
  await Promise.all(wires.map((w) => w.ended));
});

test('pause_resume_servers: nothing is answered meanwhile, everything afterwards', async (t) => {
  const f = await fixture(t);
  const paused = await f.listen('a.sock');
  const running = await f.listen('b.sock');
  const old = await f.open(paused);
  old.send(request(1, 'ping'));
  await old.replies(1);
  paused.pause();
  assert.equal(paused.paused, true);
  let answered = 0;
  f.registry.register({ name: 'touch', states: RPC_STARTUP, params: [], summary: '', handler: () => ++answered });
  const young = await f.open(paused);
  old.send(request(2, 'touch'));
  young.send(request(3, 'touch'));
  const other = await f.open(running);
  for (let round = 0; round < 20; round++) {
    other.send(request(round, 'ping'));
    await other.replies(1);
  }
  assert.equal(answered, 0);
  paused.resume();
  assert.equal((await old.replies(1))[0].id, 2);
  assert.equal((await young.replies(1))[0].id, 3);
  assert.equal(answered, 2);
});

test('remove_paused_servers: a paused server closes like any other', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  const w = await f.open(server);
  server.pause();
  w.send(request(1, 'ping'));
  await server.close();
  await w.ended;
  assert.equal(existsSync(server.address), false);
});

test('numbers past 2^53 in results keep their digits', async (t) => {
  const f = await fixture(t);
  const server = await f.listen();
  const client = await RpcClient.connect(server.address);
  assert.equal(await client.call('big'), 18446744073709551615n);
  await client.close();
});
