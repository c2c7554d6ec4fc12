// `tspdk rpc` from its words to its output and exit code, against a real server: with help and typed values, and without either.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { type RpcMainOptions, rpcMain } from './cli.ts';
import { parseParams } from './cli-args.ts';
import type { ParamSchema } from './params.ts';
import { RPC_RUNTIME, RPC_STARTUP, RpcRegistry } from './registry.ts';
import { RpcServer } from './server.ts';

interface Cli {
  dir: string;
  socket: string;
  registry: RpcRegistry;
  server: RpcServer;
  /** Runs `tspdk rpc -s SOCKET ...words`. */
  run(words: string[], options?: RpcMainOptions): Promise<{ code: number; out: string; err: string }>;
}

async function cli(t: TestContext): Promise<Cli> {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-rpc-'));
  const registry = new RpcRegistry();
  registry.state = RPC_RUNTIME;
  const states = RPC_STARTUP | RPC_RUNTIME;
  registry.register({
    name: 'rpc_get_schema',
    states,
    params: [{ name: 'method', type: 'string' }],
    summary: 'Tells.',
    handler: ({ method }) => registry.describe(method),
  });
  registry.register({
    name: 'bdev_create',
    states,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name of the disk' },
      { name: 'num_blocks', type: 'uint64', required: true },
      { name: 'read_only', type: 'boolean', default: false },
      { name: 'level', type: 'enum', values: ['raid0', 'raid1'] },
      { name: 'names', type: 'array', items: { type: 'string' } },
      { name: 'old', type: 'string', deprecated: 'use name' },
      { name: 'shift', type: 'int64' },
      { name: 'chance', type: 'double' },
    ],
    summary: 'Creates a disk.',
    handler: (params) => (params.name === 'text' ? 'Malloc0' : params),
  });
  registry.register({
    name: 'free',
    states,
    params: [{ name: 'any', type: 'object' }],
    summary: 'Takes all.',
    handler: (params) => params,
  });
  registry.register({
    name: 'fail',
    states,
    params: [],
    summary: 'Fails.',
    handler: () => {
      throw new SpdkError('EEXIST', "bdev 'x' exists");
    },
  });
  registry.register({ name: 'never', states, params: [], summary: 'Hangs.', handler: () => new Promise(() => {}) });
  const server = await RpcServer.listen(registry, { address: join(dir, 's') });
  t.after(async () => {
    await server.close();
    rmSync(dir, { recursive: true });
  });
  return {
    dir,
    socket: server.address,
    registry,
    server,
    run: async (words, options = {}) => {
      const out: string[] = [];
      const err: string[] = [];
      const code = await rpcMain(['-s', server.address, ...words], {
        out: (text) => out.push(text),
        err: (text) => err.push(text),
        ...options,
      });
      return { code, out: out.join('\n'), err: err.join('\n') };
    },
  };
}

test('a call: typed values, positional words, pretty JSON', async (t) => {
  const { run } = await cli(t);
  const words = ['bdev_create', 'a', '--num-blocks', '0x10', '--read_only', '--level=raid1', '--names', 'x,y'];
  const { code, out, err } = await run(words);
  assert.deepEqual([code, err], [0, '']);
  const expected = { name: 'a', num_blocks: 16, read_only: true, level: 'raid1', names: ['x', 'y'] };
  assert.equal(out, JSON.stringify(expected, undefined, 2));
});

test('a string result is printed bare, as rpc.py does', async (t) => {
  const { run } = await cli(t);
  assert.deepEqual(await run(['bdev_create', 'text', '1']), { code: 0, out: 'Malloc0', err: '' });
});

test('errors: exit code 1, text and number', async (t) => {
  const { run, socket } = await cli(t);
  assert.deepEqual(await run(['fail']), { code: 1, out: '', err: "fail: File exists: bdev 'x' exists (code -17)" });
  assert.match((await run(['nothing'])).err, /^nothing: Method not found: nothing \(code -32601\)$/);
  assert.match(
    (await run(['bdev_create', 'a'])).err,
    /Invalid parameters: parameter 'num_blocks' is required \(code -32602\)/,
  );
  assert.match((await run(['bdev_create', 'a', 'b', 'c'])).err, /'b' is not an integer/);
  const signed = await run(['bdev_create', 'a', '1', '--shift', '-8', '--chance', '0.25']);
  const { shift, chance } = JSON.parse(signed.out);
  assert.deepEqual([shift, chance], [-8, 0.25]);
  assert.match((await run(['bdev_create', 'a', '1', '--chance', 'x'])).err, /--chance: 'x' is not a number/);
  assert.match((await run(['-s', `${socket}.other`, 'fail'])).err, /cannot connect to .*is the application running\?/);
  assert.match((await run(['-t', '0.05', 'never'])).err, /no answer within 0.05 s/);
  assert.match((await run(['--what'])).err, /unknown option --what/);
  assert.match((await run(['-t'])).err, /-t needs a value/);
  assert.match((await run(['-t', 'x', 'fail'])).err, /not a number/);
  assert.equal((await run([])).code, 1);
});

test('a server that does not tell what its methods take: parameters are sent as they are written', async (t) => {
  const { registry, run } = await cli(t);
  registry.restrictTo(['free']);
  const { out } = await run(['free', '--any', '{"n": 18446744073709551615, "s": "x"}']);
  assert.match(out, /"n": 18446744073709551615/);
  assert.match((await run(['free', '--count', '3'])).err, /unknown parameter 'count'/);
});

test('--params, --dry-run', async (t) => {
  const { run } = await cli(t);
  const { out } = await run(['--dry-run', 'bdev_create', '--params', '{"name":"a"}', '--num_blocks', '5']);
  assert.deepEqual(JSON.parse(out), { method: 'bdev_create', params: { name: 'a', num_blocks: 5 } });
  assert.match((await run(['free', '--params', '[1]'])).err, /not a JSON object/);
  assert.match((await run(['free', '--params', '{'])).err, /JSON: /);
});

test('help: the options and methods; the parameters of one', async (t) => {
  const { run } = await cli(t);
  const all = await run(['--help']);
  assert.equal(all.code, 0);
  assert.match(all.out, /--socket[\s\S]*bdev_create +Creates a disk\.\n {2}fail/);
  const one = await run(['bdev_create', '--help']);
  assert.equal(one.code, 0);
  assert.match(one.out, /^tspdk rpc bdev_create --name NAME --num_blocks NUM_BLOCKS \[--read_only\] \[--level LEVEL\]/);
  assert.match(one.out, /--name +Name of the disk \(string, required\)/);
  assert.match(one.out, /--read_only +\(boolean, default false\)/);
  assert.match(one.out, /--level +\(raid0\|raid1\)/);
  assert.match(one.out, /--names +\(array of string\)/);
  assert.match(one.out, /deprecated: use name/);
  assert.equal((await run(['nothing', '--help'])).code, 1);
  const offline = await run(['-s', '/nonexistent/s', 'mine', '-h'], {
    methods: () => [{ name: 'mine', states: RPC_RUNTIME, params: [], summary: 'Mine.' }],
  });
  assert.equal(offline.out, 'tspdk rpc mine\n\nMine.');
  assert.match((await run(['-s', '/nonexistent/s', '-h'])).out, /^usage: tspdk rpc/);
});

test('TCP by address and port', async (t) => {
  const { registry, run } = await cli(t);
  const server = await RpcServer.listen(registry, { address: '127.0.0.1:0' });
  t.after(() => server.close());
  const port = server.address.split(':')[1];
  assert.equal((await run(['-s', '127.0.0.1', '-p', port, 'bdev_create', 'text', '1'])).out, 'Malloc0');
});

test('spdk_kill_instance: no answer is no failure', async (t) => {
  const { registry, server, run } = await cli(t);
  registry.register({
    name: 'spdk_kill_instance',
    states: RPC_RUNTIME,
    params: [{ name: 'sig_name', type: 'string', required: true }],
    summary: '',
    handler: () => {
      void server.close();
      return new Promise(() => {});
    },
  });
  assert.deepEqual(await run(['spdk_kill_instance', 'SIGTERM']), { code: 0, out: '', err: '' });
});

test('save_config, load_config', async (t) => {
  const { registry, dir, run } = await cli(t);
  const call = { method: 'free', params: { any: { a: 1 } } };
  const saved = { subsystems: [{ subsystem: 'bdev', config: [call] }] };
  let loaded = 0;
  const states = RPC_RUNTIME;
  const names = () => registry.names();
  registry.register({
    name: 'framework_get_subsystems',
    states,
    params: [],
    summary: '',
    handler: () => [{ subsystem: 'bdev', depends_on: [] }],
  });
  registry.register({
    name: 'framework_get_config',
    states,
    params: [{ name: 'name', type: 'string' }],
    summary: '',
    handler: () => [call],
  });
  registry.register({
    name: 'rpc_get_methods',
    states,
    params: [
      { name: 'current', type: 'boolean' },
      { name: 'include_aliases', type: 'boolean' },
    ],
    summary: '',
    handler: ({ current }) => (current === true ? names() : [...names(), 'early']),
  });
  registry.register({ name: 'count', states, params: [], summary: '', handler: () => ++loaded });
  assert.equal((await run(['save_config'])).out, JSON.stringify(saved, undefined, 2));
  assert.equal((await run(['save_config', '--indent', '0', '--subsystems', 'bdev'])).out, JSON.stringify(saved));
  const file = join(dir, 'config.json');
  writeFileSync(file, '{"subsystems":[{"subsystem":"x","config":[{"method":"count"},{"method":"early"}]}]} // comment');
  const skipped = 'not called, the state they need is past: early';
  assert.deepEqual(await run(['load_config', '--json_conf', file]), { code: 0, out: skipped, err: '' });
  const text = '{"subsystems":[{"subsystem":"x","config":[{"method":"count"}]}]}';
  assert.deepEqual(await run(['load_config'], { stdin: () => text }), { code: 0, out: '', err: '' });
  assert.equal(loaded, 2);
  assert.match((await run(['load_config'], { stdin: () => '{' })).err, /JSON: /);
});

test('words to values, by type', () => {
  const schema: ParamSchema = [
    { name: 'flag', type: 'boolean' },
    { name: 'n', type: 'int32' },
    { name: 'big', type: 'uint64big' },
    { name: 'list', type: 'array', items: { type: 'uint32' } },
    { name: 'object', type: 'object' },
    { name: 's', type: 'string' },
    { name: 'first', type: 'string', required: true },
  ];
  const parse = (...words: string[]) => parseParams(words, schema);
  assert.deepEqual(parse('--flag'), { flag: true });
  assert.deepEqual(parse('--flag', 'false'), { flag: false });
  assert.deepEqual(parse('--no-flag'), { flag: false });
  assert.deepEqual(parse('--flag=off'), { flag: false });
  assert.deepEqual(parse('--flag', 'word'), { flag: true, first: 'word' });
  assert.deepEqual(parse('--n', '-5'), { n: -5 });
  assert.deepEqual(parse('--big', '18446744073709551615'), { big: 18446744073709551615n });
  assert.deepEqual(parse('--list', '1,2'), { list: [1, 2] });
  assert.deepEqual(parse('--list', ''), { list: [] });
  assert.deepEqual(parse('--list', '[1, 2]'), { list: [1, 2] });
  assert.deepEqual(parse('--object', '{"a":1}'), { object: { a: 1 } });
  assert.deepEqual(parse('--s', '5'), { s: '5' });
  assert.deepEqual(parse('--s='), { s: '' });
  assert.deepEqual(parse('--', '--odd'), { first: '--odd' });
  for (const bad of [
    ['--n', 'x'],
    ['--n'],
    ['--flag=x'],
    ['--object', '1'],
    ['--list', '[1'],
    ['--list', 'a'],
    ['a', 'b'],
  ]) {
    assert.throws(
      () => parse(...bad),
      (error) => error instanceof SpdkError && error.code === 'EINVAL',
      bad.join(' '),
    );
  }
  assert.deepEqual(parseParams(['--a', '1', '--b', 'x y', '--c', '--d', '[1]', '--e=true'], null), {
    a: 1,
    b: 'x y',
    c: true,
    d: [1],
    e: true,
  });
});
