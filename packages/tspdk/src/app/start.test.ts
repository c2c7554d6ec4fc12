// `tspdk start`: it runs, says how to connect, the lines it prints are true, and Ctrl-C ends it with nothing left.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RpcClient } from '../rpc/index.ts';

const cli = fileURLToPath(new URL('./cli.js', import.meta.url));

function scratch(t: { after(fn: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-start-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

function run(
  args: string[],
  t: { after(fn: () => void): void },
): { child: ChildProcess; text: () => string; until: (pattern: RegExp) => Promise<void> } {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.exitCode === null && child.kill('SIGKILL'));
  let text = '';
  const waiting: { pattern: RegExp; resolve: () => void }[] = [];
  const take = (chunk: Buffer) => {
    text += chunk;
    for (const { pattern, resolve } of waiting) if (pattern.test(text)) resolve();
  };
  child.stdout?.on('data', take);
  child.stderr?.on('data', take);
  const until = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      if (pattern.test(text)) resolve();
      waiting.push({ pattern, resolve });
      child.once('exit', () => reject(new Error(`it ended before ${pattern}:\n${text}`)));
    });
  return { child, text: () => text, until };
}

test('start prints addresses that are true, answers RPC, and Ctrl-C ends it cleanly', async (t) => {
  const rpc = join(scratch(t), 'rpc.sock');
  const target = run(['start', '-r', rpc], t);
  await target.until(/Stop: Ctrl-C/);
  const port = Number(/nbd:\/\/127\.0\.0\.1:(\d+)/.exec(target.text())?.[1]);
  const socket = /socket=(\S+)'/.exec(target.text())?.[1] ?? '';
  for (const address of [{ port, host: '127.0.0.1' }, { path: socket }]) {
    const client = connect(address);
    const [greeting] = (await once(client, 'data')) as [Buffer];
    assert.equal(greeting.subarray(0, 8).toString(), 'NBDMAGIC');
    client.destroy();
  }
  const client = await RpcClient.connect(rpc);
  const bdevs = (await client.call('bdev_get_bdevs')) as { name: string }[];
  assert.deepEqual(
    bdevs.map((bdev) => bdev.name),
    ['Malloc0', 'File0'],
  );
  client.close();
  target.child.kill('SIGINT');
  const [code] = (await once(target.child, 'exit')) as [number];
  assert.equal(code, 0, target.text());
  assert.doesNotMatch(target.text(), /ERROR|WARNING/);
  assert.equal(existsSync(rpc), false);
  assert.equal(existsSync(socket), false);
});

test('a second instance on the same RPC socket says so and leaves the first alone; the busy NBD port is not fought over', async (t) => {
  const dir = scratch(t);
  const first = run(['start', '-r', join(dir, 'a.sock')], t);
  await first.until(/Stop: Ctrl-C/);
  const second = run(['start', '-r', join(dir, 'a.sock')], t);
  const [code] = (await once(second.child, 'exit')) as [number];
  assert.equal(code, 1);
  assert.match(second.text(), /a\.sock.*(in use|already)/i);
  const third = run(['start', '-r', join(dir, 'b.sock')], t);
  await third.until(/Stop: Ctrl-C/);
  const ports = [first, third].map((target) => /nbd:\/\/127\.0\.0\.1:(\d+)/.exec(target.text())?.[1]);
  assert.notEqual(ports[0], ports[1]);
  for (const target of [first, third]) {
    target.child.kill('SIGTERM');
    assert.equal((await once(target.child, 'exit'))[0], 0);
  }
});

test('help on RPC methods needs no running application', async (t) => {
  const nobody = join(scratch(t), 'nobody.sock');
  const one = run(['rpc', '-s', nobody, 'bdev_malloc_create', '--help'], t);
  assert.equal((await once(one.child, 'exit'))[0], 0, one.text());
  assert.match(one.text(), /--num_blocks .*uint64, required/);
  const all = run(['rpc', '-s', nobody, '--help'], t);
  assert.equal((await once(all.child, 'exit'))[0], 0, all.text());
  for (const name of ['framework_get_reactors', 'nbd_export_add', 'spdk_kill_instance'])
    assert.ok(all.text().includes(name), name);
});

test('a disk module that throws at load shows its own stack, once', async (t) => {
  const path = join(scratch(t), 'bad.mjs');
  writeFileSync(path, '\n\nthrow new Error("my own mistake");\n');
  const it = run(['serve', path, '--nbd', '127.0.0.1:0', '--no-rpc-server'], t);
  const [code] = (await once(it.child, 'exit')) as [number];
  assert.equal(code, 1);
  assert.match(it.text(), /bad\.mjs:3/);
  assert.equal(it.text().match(/disk module/g)?.length, 1, it.text());
});

test('wrong arguments: one clear line, exit code not 0', async (t) => {
  for (const [args, pattern] of [
    [['tgt', '--nonsense'], /^tspdk: unknown flag --nonsense; --help lists those that exist$/m],
    [['tgt', 'surplus'], /^tspdk: unexpected argument "surplus"$/m],
    [['nothing'], /there is no program "nothing"/],
    [['tgt', '-m', '0x0', '--no-rpc-server'], /mask/],
    [['tgt', '-c', '/does/not/exist.json', '--no-rpc-server'], /does\/not\/exist\.json/],
  ] as [string[], RegExp][]) {
    const it = run(args, t);
    const [code] = (await once(it.child, 'exit')) as [number];
    assert.notEqual(code, 0, args.join(' '));
    assert.match(it.text(), pattern);
    assert.doesNotMatch(it.text(), /^\s+at /m, 'no stack for a mistake of the user');
  }
});
