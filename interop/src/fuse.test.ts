// nbdfuse shows the disk as a file; on it a loop device, ext4, a mount and a check of the file system by this machine's own kernel.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { run, runOk, start } from './client.ts';
import { writePattern } from './pattern.ts';
import { requires, requiresPath, requiresRoot } from './requires.ts';
import { scratch } from './scratch.ts';
import { requiresServer, startServer } from './server.ts';

const sizeBytes = 96 << 20;

/** Undoes `undo` when the test ends, if it was not done by then. */
function undoAtEnd(t: TestContext, program: string, args: readonly string[]): () => Promise<void> {
  let done = false;
  t.after(async () => {
    if (!done) await run(program, args).catch(() => undefined);
  });
  return async () => {
    await runOk(program, args);
    done = true;
  };
}

test('ext4 on a loop device on the disk: made, mounted, filled, checked', async (t) => {
  if (!requiresRoot(t) || !requiresPath(t, '/dev/fuse') || !requiresPath(t, '/dev/loop-control')) return;
  if (!requires(t, 'nbdfuse', 'fusermount3', 'mkfs.ext4', 'e2fsck') || !requiresServer(t)) return;
  const dir = scratch(t);
  const [disk, mounted, source] = [join(dir, 'disk'), join(dir, 'mounted'), join(dir, 'source')];
  for (const each of [disk, mounted]) mkdirSync(each);
  writePattern(source, 24 << 20, 5);
  const server = await startServer(t, { sizeBytes, reactors: 2 });

  const fuse = start(t, 'nbdfuse', ['--connections=4', join(disk, 'nbd'), server.uri]);
  const unfuse = undoAtEnd(t, 'fusermount3', ['-u', '-z', disk]);
  await appears(join(disk, 'nbd'), fuse.output);
  assert.equal(statSync(join(disk, 'nbd')).size, sizeBytes);

  const attached = await run('losetup', ['--find', '--show', join(disk, 'nbd')]);
  if (attached.code !== 0) {
    await unfuse();
    t.skip(`this machine lets nobody attach a loop device: ${attached.stderr.trim()}`);
    return;
  }
  const loop = attached.stdout.trim();
  const detach = undoAtEnd(t, 'losetup', ['--detach', loop]);
  await runOk('mkfs.ext4', ['-q', '-F', loop]);
  await runOk('mount', ['-t', 'ext4', loop, mounted]);
  const unmount = undoAtEnd(t, 'umount', ['-l', mounted]);
  await runOk('cp', [source, join(mounted, 'copy')]);
  for (let i = 0; i < 200; i++) writeFileSync(join(mounted, `small-${i}`), `${i}\n`);
  await runOk('sync', ['-f', mounted]);
  await unmount();
  await runOk('e2fsck', ['-f', '-n', loop]);

  await runOk('mount', ['-t', 'ext4', '-o', 'ro', loop, mounted]);
  const unmountAgain = undoAtEnd(t, 'umount', ['-l', mounted]);
  assert.equal(await runOk('cmp', [source, join(mounted, 'copy')]), '');
  assert.equal(readdirSync(mounted).filter((name) => name.startsWith('small-')).length, 200);
  await unmountAgain();
  await detach();
  await unfuse();
  await fuse.finished;
  await server.stop();
});

async function appears(path: string, output: () => string): Promise<void> {
  const until = performance.now() + 30_000;
  while (!existsSync(path)) {
    if (performance.now() > until) throw new Error(`no ${path} after 30 s:\n${output()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
