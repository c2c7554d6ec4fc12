// The server on real sockets: SPDK's error numbers and texts, batches, streams cut anywhere, and peers that misbehave.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { limits } from '../env/limits.ts';
import { RPC_STARTUP } from './registry.ts';
import { failed, fixture, ok, request, type Wire } from './server-fixture.sim.ts';

// SPDK's unit tests, by name: jsonrpc_server test_parse_request, test_parse_request_streaming, test_error_response,
// test_error_response_fmt, test_batch_request; rpc test_spdk_rpc_listen_close, test_rpc_run_multiple_servers; init/rpc
// test_run_multiple_servers_stop_all, test_run_multiple_servers_stop_singles, test_pause_resume_servers,
// test_remove_paused_servers. Not here: test_rpc_set_spdk_log_opts and test_rpc_set_spdk_log_default_opts (SPDK can copy
// its JSON-RPC traffic to a log file; this kit has no such option).

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
