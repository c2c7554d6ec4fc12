// The table of methods: states, old names, permitted methods, and what becomes of an error.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { Log } from '../log/index.ts';
import { RPC_RUNTIME, RPC_STARTUP, RpcRegistry } from './registry.ts';
import { RpcError, toRpcError } from './rpc-error.ts';

// SPDK's rpc unit tests on the method table: test_jsonrpc_handler, test_spdk_rpc_is_method_allowed. (test_rpc_get_methods
// and test_rpc_spdk_get_version are in methods.test.ts, the listening ones in server.test.ts.)

function registryWithLog(): { registry: RpcRegistry; lines: string[] } {
  const lines: string[] = [];
  const log = new Log({ print: (line) => lines.push(line) });
  return { registry: new RpcRegistry({ log: log.register('rpc') }), lines };
}
const method = (name: string, states: number, handler: () => unknown = () => name) =>
  ({ name, states, params: [], summary: '', handler }) as const;
const rpcError = (code: number, text: string) => (error: unknown) =>
  error instanceof RpcError && error.code === code && error.text === text;

test('jsonrpc_handler: method not found; states; alias warns once', () => {
  const { registry, lines } = registryWithLog();
  registry.register(method('early', RPC_STARTUP));
  registry.register(method('late', RPC_RUNTIME));
  registry.register(method('both', RPC_STARTUP | RPC_RUNTIME));
  registry.registerAlias('old_both', 'both');

  assert.throws(() => registry.call('nothing'), rpcError(-32601, 'Method not found'));
  assert.equal(registry.call('early'), 'early');
  assert.equal(registry.call('both'), 'both');
  assert.throws(
    () => registry.call('late'),
    rpcError(-1, 'Method may only be called after framework is initialized using framework_start_init RPC.'),
  );
  registry.state = RPC_RUNTIME;
  assert.equal(registry.call('late'), 'late');
  assert.throws(
    () => registry.call('early'),
    rpcError(
      -1,
      'Method may only be called before framework is initialized. Use --wait-for-rpc command line parameter and then issue this RPC before the framework_start_init RPC.',
    ),
  );
  assert.equal(lines.length, 0);
  assert.equal(registry.call('old_both'), 'both');
  assert.equal(registry.call('old_both'), 'both');
  assert.equal(lines.length, 1);
  assert.match(lines[0], /old_both is deprecated, use both/);
});

test('spdk_rpc_is_method_allowed', () => {
  const { registry } = registryWithLog();
  registry.register(method('early', RPC_STARTUP));
  registry.register(method('both', RPC_STARTUP | RPC_RUNTIME));
  registry.registerAlias('other', 'both');
  assert.equal(registry.isAllowed('early', RPC_STARTUP), 'allowed');
  assert.equal(registry.isAllowed('early', RPC_RUNTIME), 'EPERM');
  assert.equal(registry.isAllowed('both', RPC_RUNTIME), 'allowed');
  assert.equal(registry.isAllowed('other', RPC_RUNTIME), 'allowed');
  assert.equal(registry.isAllowed('nothing', RPC_RUNTIME), 'ENOENT');
});

test('names: order, state, aliases', () => {
  const { registry } = registryWithLog();
  registry.register(method('z', RPC_RUNTIME));
  registry.register(method('a', RPC_STARTUP));
  registry.registerAlias('z2', 'z');
  assert.deepEqual(registry.names(), ['z', 'a']);
  assert.deepEqual(registry.names({ current: true }), ['a']);
  assert.deepEqual(registry.names({ includeAliases: true }), ['z', 'a', 'z2']);
  registry.state = RPC_RUNTIME;
  assert.deepEqual(registry.names({ includeAliases: true, current: true }), ['z', 'z2']);
  assert.deepEqual(
    registry.methods().map((entry) => entry.name),
    ['z', 'a'],
  );
});

test('a table that contradicts itself is refused', () => {
  const { registry } = registryWithLog();
  const code = (expected: string) => (error: unknown) => error instanceof SpdkError && error.code === expected;
  registry.register(method('a', RPC_RUNTIME));
  registry.registerAlias('b', 'a');
  assert.throws(() => registry.register(method('a', RPC_RUNTIME)), code('EEXIST'));
  assert.throws(() => registry.register(method('b', RPC_RUNTIME)), code('EEXIST'));
  assert.throws(() => registry.registerAlias('a', 'a'), code('EEXIST'));
  assert.throws(() => registry.registerAlias('c', 'b'), code('EINVAL'));
  assert.throws(() => registry.registerAlias('c', 'nothing'), code('ENOENT'));
  assert.throws(() => registry.register(method('c', 0)), code('EINVAL'));
  const twice = [
    { name: 'x', type: 'string' },
    { name: 'x', type: 'string' },
  ] as const;
  assert.throws(
    () => registry.register({ name: 'd', states: RPC_RUNTIME, params: twice, summary: '', handler: () => 1 }),
    code('EINVAL'),
  );
});

test('a handler gets its parameters checked and typed', () => {
  const { registry, lines } = registryWithLog();
  registry.state = RPC_RUNTIME;
  registry.register({
    name: 'add',
    states: RPC_RUNTIME,
    params: [
      { name: 'a', type: 'uint32', required: true },
      { name: 'b', type: 'uint32', default: 10, deprecated: 'add twice' },
    ],
    summary: 'Adds.',
    handler: ({ a, b }, context) => `${context.method} ${a + b} ${context.peer}`,
  });
  assert.equal(registry.call('add', { a: 1 }), 'add 11 null');
  assert.equal(lines.length, 0);
  assert.equal(registry.call('add', { a: 1, b: 2 }), 'add 3 null');
  assert.match(lines[0], /parameter b is deprecated: add twice/);
  assert.throws(() => registry.call('add', { a: -1 }), rpcError(-32602, 'Invalid parameters'));
  assert.throws(() => registry.call('add'), rpcError(-32602, 'Invalid parameters'));
});

test('what was thrown becomes number, text and detail', () => {
  assert.deepEqual(toRpcError(new SpdkError('EEXIST', "bdev 'Malloc0' exists")).toObject(), {
    code: -17,
    message: 'File exists',
    data: "bdev 'Malloc0' exists",
  });
  assert.deepEqual(toRpcError(new SpdkError('EOWNER', 'x')).toObject(), {
    code: -1,
    message: 'Operation not permitted',
    data: 'x',
  });
  assert.deepEqual(toRpcError(new TypeError('boom')).toObject(), {
    code: -32603,
    message: 'Internal error',
    data: 'boom',
  });
  assert.deepEqual(toRpcError('boom').toObject(), { code: -32603, message: 'Internal error', data: 'boom' });
  const own = new RpcError(-5, 'own text');
  assert.equal(toRpcError(own), own);
  assert.deepEqual(own.toObject(), { code: -5, message: 'own text' });
  assert.equal(new RpcError(-1234).text, 'Error');
  assert.equal(RpcError.fromErrno(9999).text, 'Unknown error 9999');
});

test('every errno that SpdkError can carry has a text', async () => {
  const { errorCodes } = await import('../env/errors.ts');
  const { strerror } = await import('./strerror.ts');
  for (const { code, errno } of errorCodes()) assert.doesNotMatch(strerror(errno), /Unknown/, code);
});
