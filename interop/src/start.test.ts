// `npm start`, as its user meets it: the lines it prints are pasted and work, a second one runs beside it, and Ctrl-C leaves nothing.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describe, type Running, runOk, start } from './client.ts';
import { requires } from './requires.ts';
import { scratch } from './scratch.ts';
import { hasTarget } from './target.ts';

const script = fileURLToPath(new URL('../../scripts/start.mjs', import.meta.url));

async function npmStart(t: TestContext, rpcPath: string): Promise<Running> {
  let running: Running | undefined;
  // Before the kill -9 that ends what still runs after a test: a script cannot pass that one on to its program.
  t.after(async () => {
    running?.child.kill('SIGTERM');
    await running?.finished;
  });
  running = start(t, process.execPath, [script, '-r', rpcPath]);
  await running.printed(/Ctrl-C/);
  return running;
}

/** The commands that it tells the user to type: the indented lines. */
function commandsOf(output: string): string[] {
  return [...output.matchAll(/^ {2}(\w.*)$/gm)].map(([, line]) => line!.trim());
}

test('every line that npm start tells the user to type works', async (t) => {
  if (!hasTarget()) return t.skip('there is no target in this checkout');
  if (!requires(t, 'nbdinfo', 'nbdcopy', 'qemu-img')) return;
  const rpcPath = join(scratch(t), 'rpc.sock');
  const first = await npmStart(t, rpcPath);
  const commands = commandsOf(first.output());
  assert(commands.length >= 3, first.output());
  for (const line of commands) await runOk('sh', ['-c', line]);
  assert.match(first.output(), new RegExp(`RPC socket: ${rpcPath}`));
  assert(existsSync(rpcPath));

  const second = await npmStart(t, `${rpcPath}2`);
  for (const line of commandsOf(second.output())) await runOk('sh', ['-c', line]);

  const socket = /socket=([^'\s]+)/.exec(first.output())![1]!;
  for (const running of [second, first]) {
    running.child.kill('SIGINT');
    const finished = await running.finished;
    assert.equal(finished.code, 0, describe(finished));
  }
  for (const path of [rpcPath, `${rpcPath}2`, socket, join(socket, '..')]) assert(!existsSync(path), `${path} is left`);
});
