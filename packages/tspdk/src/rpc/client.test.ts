// The client of the built-in `tspdk rpc`. Names such as parse_response_error are those of SPDK's unit tests.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { RpcClient } from './client.ts';
import { RpcError } from './rpc-error.ts';

// SPDK's jsonrpc_client unit tests: test_begin_end_request, test_parse_response_success, test_parse_response_error,
// test_parse_response_incomplete, test_parse_response_invalid_json, test_parse_response_wrong_version,
// test_parse_response_not_object. Not here: test_request_no_id and test_request_no_method (`call` always sends both),
// test_begin_end_batch, test_batch_single_request, test_batch_multiple_requests, test_parse_batch_response_success and
// test_parse_batch_response_with_error (this client overlaps calls and sends no batches).

/** A server that answers every connection's first bytes with what the test says. */
async function script(t: TestContext, answer: (request: string, socket: Socket) => void): Promise<RpcClient> {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-rpc-'));
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => answer(chunk.toString(), socket));
  });
  server.listen(join(dir, 's'));
  await once(server, 'listening');
  const client = await RpcClient.connect(join(dir, 's'));
  t.after(async () => {
    await client.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true, force: true });
  });
  return client;
}
const code = (expected: string) => (error: unknown) => error instanceof SpdkError && error.code === expected;

test('begin_end_request, parse_response_success: what is sent, what comes back', async (t) => {
  const seen: unknown[] = [];
  const client = await script(t, (request, socket) => {
    seen.push(JSON.parse(request));
    socket.write('{"jsonrpc":"2.0","id":1,"result":{"a":[1,2]}}');
  });
  assert.deepEqual(await client.call('get', { x: 1 }), { a: [1, 2] });
  assert.deepEqual(seen, [{ jsonrpc: '2.0', id: 1, method: 'get', params: { x: 1 } }]);
});

test('bigints travel as integers', async (t) => {
  let seen = '';
  const client = await script(t, (request, socket) => {
    seen = request;
    socket.write('{"jsonrpc":"2.0","id":1,"result":true}');
  });
  await client.call('set', { n: 2n ** 64n - 1n });
  assert.match(seen, /"n":18446744073709551615}/);
});

test('parse_response_error', async (t) => {
  const client = await script(t, (_request, socket) =>
    socket.write('{"jsonrpc":"2.0","id":1,"error":{"code":-17,"message":"File exists","data":"Malloc0"}}'),
  );
  await assert.rejects(client.call('x'), (error) => {
    assert.ok(error instanceof RpcError);
    assert.deepEqual([error.code, error.text, error.data], [-17, 'File exists', 'Malloc0']);
    assert.equal(error.message, 'File exists: Malloc0');
    return true;
  });
});

test('parse_response_incomplete: a reply in pieces; the end before the end', async (t) => {
  const client = await script(t, (_request, socket) => {
    socket.write('{"jsonrpc":"2.0",');
    setImmediate(() => socket.write('"id":1,"result":"ok"}\n{"jsonrpc":'));
    setImmediate(() => socket.end());
  });
  assert.equal(await client.call('x'), 'ok');
  await assert.rejects(client.call('y'), code('ECONNRESET'));
  await assert.rejects(client.call('z'), code('ECONNRESET'));
});

for (const [name, reply] of [
  ['parse_response_invalid_json', '}'],
  ['parse_response_invalid_json, late', '{"id":1,"result":01}'],
  ['parse_response_wrong_version', '{"jsonrpc":"1.0","id":1,"result":true}'],
  ['parse_response_not_object', '[]'],
  ['parse_response_not_object, word', 'true '],
  ['a reply to no call', '{"jsonrpc":"2.0","id":2,"result":true}'],
  ['an error without id', '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}'],
]) {
  test(name, async (t) => {
    const client = await script(t, (_request, socket) => socket.write(reply));
    await assert.rejects(client.call('x'), code('EPROTO'));
    await assert.rejects(client.call('y'), code('EPROTO'));
  });
}

test('a malformed error object', async (t) => {
  const client = await script(t, (_request, socket) => socket.write('{"jsonrpc":"2.0","id":1,"error":"bad"}'));
  await assert.rejects(client.call('x'), code('EPROTO'));
});

test('overlapping calls are matched by id', async (t) => {
  const client = await script(t, (request, socket) => {
    if (request.includes('"id":3')) socket.write('{"id":3,"result":"c"}{"id":1,"result":"a"}{"id":2,"result":"b"}');
  });
  assert.deepEqual(await Promise.all([client.call('1'), client.call('2'), client.call('3')]), ['a', 'b', 'c']);
});

test('nobody listens', async () => {
  await assert.rejects(RpcClient.connect('/nonexistent/rpc.sock'), code('ENOENT'));
});
