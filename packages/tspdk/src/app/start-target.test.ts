/** Targets for tests, as a user's suite starts them: several at once, with faults, and with everything that can go wrong at the start and at the end. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseNbdAddress } from '../nbd/index.ts';
import { SocketClient } from '../nbd/socket-client.sim.ts';
import { rpcMain } from '../rpc/index.ts';
import { startTarget } from './start-target.ts';

test('several targets run at once, each with its own disks, rules and sockets', async () => {
  const targets = await Promise.all([
    startTarget({ disks: { a: '1M', b: '2M' } }),
    startTarget({ disks: { a: '3M' }, tcp: true }),
  ]);
  const [first, second] = targets;
  const sizes = async (target: typeof first) =>
    ((await target.rpc('bdev_get_bdevs')) as { num_blocks: number }[]).map(({ num_blocks }) => num_blocks * 512);
  assert.deepEqual([await sizes(first), await sizes(second)], [[1 << 20, 2 << 20], [3 << 20]]);
  assert.match(first.uri('b'), /^nbd\+unix:\/\/\/b\?socket=.+nbd\.sock$/);
  assert.match(second.uri('a'), /^nbd:\/\/127\.0\.0\.1:\d+\/a$/);
  const id = await first.faults.add('a', { op: 'write', action: 'error', errno: 'ENOSPC', probability: 0.25, seed: 9 });
  await second.faults.add('a', 'op=read,action=delay,delay_us=10');
  const [rule] = await first.faults.list();
  assert.deepEqual(
    [rule.id, rule.name, rule.rule, rule.seen, rule.struck],
    [id, 'a', 'op=write,action=error,errno=ENOSPC,probability=0.25,seed=9', 0, 0],
  );
  await first.faults.setState('a', 2);
  assert.equal(await first.faults.resume('a'), 0);
  await first.faults.remove(id);
  assert.deepEqual(await first.faults.list('a'), []);
  assert.equal((await second.faults.list()).length, 1);
  await assert.rejects(first.faults.add('a', 'op=writ'), /op "writ", may be all, read, write/);
  const sockets = first.uri('a').split('socket=')[1];
  assert.ok(existsSync(sockets));
  await Promise.all(targets.map((target) => target.stop()));
  await first.stop();
  assert.equal(existsSync(sockets), false);
});

test('what cannot start says why and leaves nothing behind', async () => {
  await assert.rejects(startTarget({ disks: { a: '1000' } }), {
    code: 'EINVAL',
    message: /1000 bytes is not a multiple/,
  });
  await assert.rejects(startTarget({ disks: { a: '/nowhere/disk.img' } }), { code: 'ENOENT' });
  await assert.rejects(startTarget({ disks: { a: '1M' }, cpumask: 'zz' }), {
    code: 'EIO',
    message: /the target did not start.*zz/s,
  });
  const dir = mkdtempSync(join(tmpdir(), 'start-target-'));
  const module = join(dir, 'broken.mjs');
  writeFileSync(module, "throw new Error('broken on purpose');\n");
  await assert.rejects(startTarget({ disks: { a: module } }), {
    code: 'EIO',
    message: /broken\.mjs.*broken on purpose/s,
  });
  rmSync(dir, { recursive: true });
});

test('an end that is none is told', async () => {
  const target = await startTarget({ disks: { a: '1M' } });
  process.kill(target.pid, 'SIGKILL');
  await assert.rejects(target.stop(), /the target ended with SIGKILL/);
});

test('a target ends with the process that started it, also when that is killed', async () => {
  const api = JSON.stringify(new URL('../index.js', import.meta.url).href);
  const text = `import { startTarget } from ${api};
    const target = await startTarget({ disks: { a: '1M' } });
    console.log(target.uri('a'));
    setInterval(() => {}, 1000);`;
  const args = ['--input-type=module', '--eval', text];
  const parent = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let uri = '';
  for await (const part of parent.stdout.setEncoding('utf8')) {
    uri += String(part);
    if (uri.endsWith('\n')) break;
  }
  const { address, exportName } = parseNbdAddress(uri.trim());
  const client = await SocketClient.enter(address, exportName);
  parent.kill('SIGKILL');
  await client.closed;
});

test('a configured disk whose module throws tells its own stack, not the kit’s', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'start-target-'));
  const module = join(dir, 'throws.mjs');
  writeFileSync(module, 'function openDatabase() { throw new Error("no database"); }\nopenDatabase();\n');
  await assert.rejects(startTarget({ disks: { a: module }, cpumask: '0x3' }), (error: Error) => {
    assert.match(error.message, /start-up failed: .*bdev_disk_create failed: .*throws\.mjs.*no database/);
    assert.match(error.message, /\n\s+at openDatabase \(.*throws\.mjs:1:/);
    assert.doesNotMatch(error.message, /\n\s+at .*(load-disk|control|config)\.js/);
    return true;
  });
  rmSync(dir, { recursive: true });
});

test('faults behind a disk’s name are rules from the start', async () => {
  const target = await startTarget({ disks: { a: 'malloc:1M?fault=op=write,action=error,errno=ENOSPC,count=2' } });
  const [{ name, rule }] = await target.faults.list();
  assert.equal(name, 'a');
  assert.match(rule, /^op=write,action=error,errno=ENOSPC,count=2,seed=\d+$/);
  await target.stop();
});

test('rules are in the configuration and come back with it; that one has struck is notified', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'start-target-'));
  const [first, second] = await Promise.all([startTarget({ disks: { a: '1M' } }), startTarget({ disks: { b: '1M' } })]);
  t.after(() => Promise.all([first.stop(), second.stop()]));
  await first.rpc('bdev_error_create', { base_name: 'a' });
  await first.faults.add('EE_a', { op: 'write', action: 'misdirect', misdirect_blocks: -3, probability: 0.25 });
  const error = { name: 'EE_a', io_type: 'read', error_type: 'corrupt_data', corrupt_value: 3, num: 2 };
  await first.rpc('bdev_error_inject_error', error);
  const id = await first.faults.add('a', { op: 'write', errno: 'ENOSPC', count: 1 });
  const { address, exportName } = parseNbdAddress(first.uri('a'));
  const client = await SocketClient.enter(address, exportName);
  assert.equal((await client.ask({ type: 1, data: new Uint8Array(512) })).error, 28);
  await client.disconnect();
  const notified = (await first.rpc('notify_get_notifications')) as { type: string; ctx: string }[];
  assert.deepEqual(
    notified.filter(({ type }) => type === 'fault_struck').map(({ ctx }) => ctx),
    [`a rule=${id} struck=1`],
  );
  const socket = (target: typeof first) => join(target.uri('').split('socket=')[1], '..', 'rpc.sock');
  const said: string[] = [];
  const tell = { out: (text: string) => void said.push(text), err: (text: string) => void said.push(text) };
  assert.equal(await rpcMain(['-s', socket(first), 'save_config', '--subsystems', 'bdev'], tell), 0);
  const saved = join(dir, 'saved.json');
  writeFileSync(saved, said.join('\n'));
  assert.equal(await rpcMain(['-s', socket(second), 'load_config', '--json_conf', saved], tell), 0, said.join('\n'));
  // An injected error has nothing to draw, and another seed each time.
  const rules = async (target: typeof first) =>
    (await target.faults.list())
      .map(({ name, rule }) => `${name} ${rule}`.replace(/(corrupt.*),seed=\d+/, '$1'))
      .sort();
  const before = await rules(first);
  assert.equal(before.length, 3);
  assert.deepEqual(await rules(second), before);
  assert.deepEqual(
    (await second.faults.list()).map(({ seen, struck }) => [seen, struck]),
    [
      [0, 0],
      [0, 0],
      [0, 0],
    ],
  );
  rmSync(dir, { recursive: true });
});

test('a target stops with I/O that faults hold back', async (t) => {
  const disks = { a: '1M?fault=op=write,action=stuck&fault=op=read,action=delay,delay_us=3600000000' };
  const target = await startTarget({ disks });
  t.after(() => target.stop());
  const { address, exportName } = parseNbdAddress(target.uri('a'));
  const [client, gone] = [await SocketClient.enter(address, exportName), await SocketClient.enter(address, exportName)];
  const held = [client.ask({ type: 1, data: new Uint8Array(512) }), client.ask({ type: 0, length: 512 })];
  void gone.ask({ type: 1, data: new Uint8Array(512) });
  const struck = async () => (await target.faults.list()).map((rule) => rule.struck);
  // Only clients' I/O: what has looked for partitions came before the rules.
  while (String(await struck()) < '2,1');
  assert.deepEqual(await struck(), [2, 1]);
  gone.destroy();
  await gone.closed;
  await target.stop();
  assert.deepEqual(
    (await Promise.all(held)).map(({ error }) => error),
    [108, 108],
  );
});

test('a rule for one connection strikes that client alone', async () => {
  const target = await startTarget({ disks: { a: '1M' }, cpumask: '0x3' });
  const { address, exportName } = parseNbdAddress(target.uri('a'));
  const clients = await Promise.all(Array.from({ length: 3 }, () => SocketClient.enter(address, exportName)));
  const connections = (await target.rpc('nbd_get_connections')) as { id: number }[];
  assert.equal(connections.length, 3);
  // Which of the numbers is whose is found out by what fails.
  const failing = new Set<number>();
  for (const { id } of connections) {
    const rule = await target.faults.add('a', { op: 'write', action: 'error', errno: 'ENOSPC', connection: id });
    const errors: number[] = [];
    for (const client of clients) errors.push((await client.ask({ type: 1, data: new Uint8Array(512) })).error);
    assert.deepEqual([...errors].sort(), [0, 0, 28]);
    failing.add(errors.indexOf(28));
    const [{ seen, struck }] = await target.faults.list('a');
    assert.deepEqual([seen, struck], [1, 1], 'others are not even counted');
    await target.faults.remove(rule);
  }
  assert.equal(failing.size, 3, 'each number is another client');
  await assert.rejects(target.faults.add('a', { connection: -1 }), /connection/);
  await Promise.all(clients.map((client) => client.disconnect()));
  await target.stop();
});

test('a disk’s file is loaded again by RPC, and what it is given is in the configuration', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'start-target-'));
  const module = join(dir, 'sized.mjs');
  const api = JSON.stringify(new URL('../index.js', import.meta.url).href);
  const text = (times: number) =>
    `import { defineDisk } from ${api};
     export default ({ size }) => defineDisk({ size: Number(size) * ${times}, read(_, buffer) { buffer.fill(${times}); } });`;
  writeFileSync(module, text(1));
  const target = await startTarget({ disks: { a: `${module}?size=4096` } });
  const { address, exportName } = parseNbdAddress(target.uri('a'));
  const client = await SocketClient.enter(address, exportName);
  assert.deepEqual([client.sizeBytes, (await client.read(0, 512))[0]], [4096, 1]);
  writeFileSync(module, text(2));
  assert.equal(await target.rpc('bdev_disk_reload', { name: 'a' }), 8192);
  assert.equal((await client.read(4096, 512))[0], 2, 'the client that was there reaches what has been added');
  writeFileSync(module, 'nonsense(');
  await assert.rejects(target.rpc('bdev_disk_reload', { name: 'a' }), /sized\.mjs" failed to load/);
  assert.equal((await client.read(0, 512))[0], 2);
  const calls = (await target.rpc('framework_get_config', { name: 'bdev' })) as { method: string; params: object }[];
  const made = calls.find(({ method }) => method === 'bdev_disk_create')?.params as { options: object };
  assert.deepEqual(made.options, { size: '4096' });
  await client.disconnect();
  await target.stop();
  rmSync(dir, { recursive: true });
});

test('a disk that another target exports: what is written through it is there; perf and conform take it by the same name', async () => {
  await using store = await startTarget({ disks: { a: '8M' } });
  await using front = await startTarget({ disks: { b: `${store.uri('a')}&io_timeout_sec=7` } });
  const calls = (await front.rpc('framework_get_config', { name: 'bdev' })) as { method: string; params: object }[];
  const made = calls.find(({ method }) => method === 'bdev_nbd_create')?.params as { io_timeout_sec: number };
  assert.equal(made.io_timeout_sec, 7);
  const [through, at] = await Promise.all(
    [front.uri('b'), store.uri('a')].map((uri) => {
      const { address, exportName } = parseNbdAddress(uri);
      return SocketClient.enter(address, exportName);
    }),
  );
  assert.equal(through.sizeBytes, 8 << 20);
  assert.equal((await through.ask({ type: 1, offset: 4096, data: new Uint8Array(512).fill(9) })).error, 0);
  assert.deepEqual(await at.read(4096, 512), new Uint8Array(512).fill(9));
  await Promise.all([through.disconnect(), at.disconnect()]);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const cli = fileURLToPath(new URL('./cli.js', import.meta.url));
  for (const args of [
    ['conform', '--only', 'write-read', front.uri('b')],
    ['perf', '-w', 'verify', '--ios', '20', front.uri('b')],
  ]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args, '--no-pin'], {
      encoding: 'utf8',
      env,
    });
    assert.equal(status, 0, stdout + stderr);
  }
});
