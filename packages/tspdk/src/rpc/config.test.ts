// SPDK's JSON configuration: read as SPDK reads it, applied in order, and what is wrong named before anything happens.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { Log } from '../log/index.ts';
import { type ConfigCall, type JsonConfig, parseConfig, replayConfig } from './config.ts';
import { RPC_RUNTIME, RPC_STARTUP, RpcRegistry } from './registry.ts';

function appLike(): { registry: RpcRegistry; calls: string[]; lines: string[]; log: Log } {
  const calls: string[] = [];
  const lines: string[] = [];
  const log = new Log({ print: (line) => lines.push(line) });
  const registry = new RpcRegistry({ log: log.register('rpc') });
  const params = [{ name: 'name', type: 'string' }] as const;
  const add = (name: string, states: number): void =>
    registry.register({
      name,
      states,
      params,
      summary: '',
      handler: async (given) => {
        await null;
        if (given.name === 'bad') throw new SpdkError('EEXIST', 'bad exists');
        calls.push(`${name} ${given.name ?? '-'}`);
      },
    });
  add('iobuf_set_options', RPC_STARTUP);
  add('log_set_flag', RPC_STARTUP | RPC_RUNTIME);
  add('bdev_malloc_create', RPC_RUNTIME);
  return { registry, calls, lines, log };
}
const config = (...entries: [string, ...ConfigCall[]][]): JsonConfig => ({
  subsystems: entries.map(([subsystem, ...calls]) => ({ subsystem, config: calls })),
});
const spdkError = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof SpdkError && error.code === code && message.test(error.message);

test('SPDK’s format is read: comments, null, groups, other root members', () => {
  const text = `// saved
    { "subsystems": [
      { "subsystem": "iobuf", "config": null },
      { "subsystem": "bdev", /* disks */ "config": [
        { "method": "bdev_malloc_create", "params": { "name": "Malloc0", "num_blocks": 18446744073709551615 } },
        [ { "method": "a" }, { "method": "b" } ],
        { "method": "bdev_wait_for_examine" } ] } ],
      "comment": "ignored" }`;
  assert.deepEqual(parseConfig(text), {
    subsystems: [
      { subsystem: 'iobuf', config: [] },
      {
        subsystem: 'bdev',
        config: [
          { method: 'bdev_malloc_create', params: { name: 'Malloc0', num_blocks: 18446744073709551615n } },
          { method: 'a' },
          { method: 'b' },
          { method: 'bdev_wait_for_examine' },
        ],
      },
    ],
  });
  assert.deepEqual(parseConfig('{}'), { subsystems: [] });
});

test('what is malformed is named', () => {
  for (const [text, message] of [
    ['', /line 1, column 1/],
    ['[]', /not an object/],
    ['{"subsystems":{}}', /not an array/],
    ['{"subsystems":[{}]}', /subsystems\[0\] has no 'subsystem' name/],
    ['{"subsystems":[{"subsystem":"x","config":{}}]}', /'config' of subsystem 'x'/],
    ['{"subsystems":[{"subsystem":"x","configs":[]}]}', /unknown member 'configs'/],
    ['{"subsystems":[{"subsystem":"x","config":[{"method":"m"},{}]}]}', /subsystem 'x', call 1 has no 'method'/],
    ['{"subsystems":[{"subsystem":"x","config":[{"method":"m","params":[]}]}]}', /'params' of m/],
    ['{"subsystems":[{"subsystem":"x","config":[{"method":"m","parms":{}}]}]}', /unknown member 'parms'/],
  ] as const) {
    assert.throws(() => parseConfig(text), spdkError('EINVAL', message), text);
  }
});

test('two passes, each call once, in the order of the file', async () => {
  const { registry, calls } = appLike();
  const saved = config(
    [
      'bdev',
      { method: 'bdev_malloc_create', params: { name: 'a' } },
      { method: 'log_set_flag', params: { name: 'f' } },
    ],
    ['iobuf', { method: 'iobuf_set_options' }, { method: 'bdev_malloc_create', params: { name: 'b' } }],
  );
  await replayConfig(saved, registry);
  assert.deepEqual(calls, ['log_set_flag f', 'iobuf_set_options -']);
  calls.length = 0;
  registry.state = RPC_RUNTIME;
  await replayConfig(saved, registry);
  assert.deepEqual(calls, ['bdev_malloc_create a', 'bdev_malloc_create b']);
});

test('an unknown method fails before anything is called, also when errors are ignored', async () => {
  const { registry, calls } = appLike();
  const saved = config(
    ['iobuf', { method: 'iobuf_set_options' }],
    ['bdev', { method: 'iobuf_set_options' }, { method: 'nothing' }],
  );
  for (const ignoreErrors of [false, true]) {
    await assert.rejects(
      replayConfig(saved, registry, { ignoreErrors }),
      spdkError('ENOENT', /subsystem 'bdev', call 1: method 'nothing'/),
    );
  }
  assert.deepEqual(calls, []);
});

test('a failing call stops, or is logged and passed over', async () => {
  const { registry, calls, lines, log } = appLike();
  registry.state = RPC_RUNTIME;
  const call = (name: string): ConfigCall => ({ method: 'bdev_malloc_create', params: { name } });
  const saved = config(['bdev', call('a'), call('bad'), call('c')]);
  await assert.rejects(
    replayConfig(saved, registry),
    spdkError('EEXIST', /subsystem 'bdev', call 1: bdev_malloc_create failed: File exists: bad exists/),
  );
  assert.deepEqual(calls, ['bdev_malloc_create a']);
  const wrong = config(['bdev', { method: 'bdev_malloc_create', params: { size: 1 } }]);
  await assert.rejects(
    replayConfig(wrong, registry),
    spdkError('EINVAL', /Invalid parameters: unknown parameter 'size'/),
  );
  calls.length = 0;
  await replayConfig(saved, registry, { ignoreErrors: true, log: log.register('app_config') });
  assert.deepEqual(calls, ['bdev_malloc_create a', 'bdev_malloc_create c']);
  assert.equal(lines.length, 1);
  assert.match(lines[0], /app_config: \*ERROR\*: .*bad exists/);
});
