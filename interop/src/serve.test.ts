// `tspdk serve`: a disk in one line, and its end by Ctrl-C; the address may be busy or left over from a killed server.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { describe, type Running, run, runOk } from './client.ts';
import { requires } from './requires.ts';
import { scratch } from './scratch.ts';
import { hasTarget, startCli } from './target.ts';

function ready(t: TestContext): boolean {
  if (!hasTarget()) t.skip('there is no target in this checkout');
  return hasTarget() && requires(t, 'nbdinfo', 'nbdcopy', 'qemu-io');
}

/** The URI that it prints when it serves. */
async function uriOf(running: Running): Promise<string> {
  // The last line that it prints, so that all of them are there.
  await running.printed(/Ctrl-C/);
  return /nbd\S*:\/\/[^\s']+/.exec(running.output())![0];
}

async function assertStops(running: Running, signal: NodeJS.Signals): Promise<void> {
  running.child.kill(signal);
  const finished = await running.finished;
  assert.equal(finished.code, 0, describe(finished));
}

test('a size is a memory disk, on a free port; Ctrl-C ends it with exit code 0', async (t) => {
  if (!ready(t)) return;
  const serving = startCli(t, ['serve', '64M', '--nbd', '127.0.0.1:0']);
  const uri = await uriOf(serving);
  assert.equal((await runOk('nbdinfo', ['--size', uri])).trim(), String(64 << 20));
  await runOk('qemu-io', ['-f', 'raw', uri, '-c', 'write -P 7 0 1M', '-c', 'read -P 7 0 1M']);
  await assertStops(serving, 'SIGINT');
});

test('what is written to a file disk is in the file; read-only refuses', async (t) => {
  if (!ready(t)) return;
  const dir = scratch(t);
  const file = join(dir, 'disk.img');
  writeFileSync(file, Buffer.alloc(4 << 20));
  const address = `unix:${join(dir, 'nbd.sock')}`;
  const serving = startCli(t, ['serve', file, '--nbd', address]);
  const uri = await uriOf(serving);
  await runOk('qemu-io', ['-f', 'raw', uri, '-c', 'write -P 9 64k 64k', '-c', 'flush']);
  await assertStops(serving, 'SIGTERM');
  assert(!existsSync(join(dir, 'nbd.sock')), 'the socket is gone');
  assert.deepEqual(readFileSync(file).subarray(65536, 131072), Buffer.alloc(65536, 9));
  const readOnly = startCli(t, ['serve', file, '--nbd', address, '--read-only']);
  const again = await uriOf(readOnly);
  assert.notEqual((await run('qemu-io', ['-f', 'raw', again, '-c', 'write -P 1 0 4k'])).code, 0);
  await runOk('qemu-io', ['-r', '-f', 'raw', again, '-c', 'read -P 9 64k 64k']);
  await assertStops(readOnly, 'SIGINT');
});

test('a module of async functions is a disk', async (t) => {
  if (!ready(t)) return;
  const dir = scratch(t);
  const file = join(dir, 'disk.mjs');
  const kit = new URL('../../packages/tspdk/dist/index.js', import.meta.url).href;
  writeFileSync(
    file,
    `import { defineDisk } from ${JSON.stringify(kit)};
     const bytes = Buffer.alloc(8 << 20);
     export default defineDisk({
       size: bytes.length,
       blockSize: 512,
       async read(offset, buffer) { buffer.set(bytes.subarray(offset, offset + buffer.length)); },
       async write(offset, buffer) { bytes.set(buffer, offset); },
     });`,
  );
  const serving = startCli(t, ['serve', file, '--nbd', `unix:${join(dir, 'nbd.sock')}`, '-m', '0x3']);
  const uri = await uriOf(serving);
  await runOk('qemu-io', ['-f', 'raw', uri, '-c', 'write -P 5 1M 2M', '-c', 'read -P 5 1M 2M', '-c', 'read -P 0 0 1M']);
  await assertStops(serving, 'SIGINT');
});

test('a busy address is an error in one line; one left by a killed server is taken over', async (t) => {
  if (!ready(t)) return;
  const address = `unix:${join(scratch(t), 'nbd.sock')}`;
  const first = startCli(t, ['serve', '1M', '--nbd', address]);
  await uriOf(first);
  const second = await startCli(t, ['serve', '1M', '--nbd', address]).finished;
  assert.notEqual(second.code, 0);
  assert.match(second.stderr, /nbd\.sock/);
  assert.doesNotMatch(second.stderr, /\n\s+at /, 'no stack for a mistake');
  first.child.kill('SIGKILL');
  await first.finished;
  const third = startCli(t, ['serve', '1M', '--nbd', address]);
  assert.equal((await runOk('nbdinfo', ['--size', await uriOf(third)])).trim(), String(1 << 20));
  await assertStops(third, 'SIGINT');
});
