/**
 * Targets in a user's own test suite: several in one file and several files at once, with the same names for their disks, each with its own faults, and none in another's way.
 * The files are run as a user runs them, by `node --test`.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const FILES = 2;
const from = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);

/** One on TCP, one on a unix socket; rules that are there from the start, and rules that are added while others' I/O goes on. */
const FILE = `
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTarget } from ${from('../index.js')};
import { parseNbdAddress } from ${from('../nbd/uri.js')};
import { SocketClient } from ${from('../nbd/socket-client.sim.js')};

const full = 'op=write,action=error,errno=ENOSPC,every=2,seed=1';
test('two targets', async () => {
  const targets = await Promise.all([
    startTarget({ disks: { disk: '1M?fault=' + full } }),
    startTarget({ disks: { disk: '1M' }, tcp: true }),
  ]);
  const clients = await Promise.all(targets.map((target) => {
    const { address, exportName } = parseNbdAddress(target.uri('disk'));
    return SocketClient.enter(address, exportName);
  }));
  const write = async (client) => (await client.ask({ type: 1, data: new Uint8Array(512).fill(1) })).error;
  const errors = [[], []];
  for (let i = 0; i < 10; i++) {
    if (i === 5) await targets[1].faults.add('disk', { op: 'write', errno: 'EPERM', count: 2 });
    for (const [at, error] of (await Promise.all(clients.map(write))).entries()) errors[at].push(error);
  }
  assert.deepEqual(errors, [
    [0, 28, 0, 28, 0, 28, 0, 28, 0, 28],
    [0, 0, 0, 0, 0, 1, 1, 0, 0, 0],
  ]);
  for (const target of targets) {
    const [{ name, struck }, ...others] = await target.faults.list();
    assert.deepEqual([name, struck, others], ['disk', target === targets[0] ? 5 : 2, []]);
  }
  await Promise.all(clients.map((client) => client.disconnect()));
  await Promise.all(targets.map((target) => target.stop()));
});
`;

test('targets with faults in files that run at once', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'parallel-targets-'));
  const files = Array.from({ length: FILES }, (_, i) => join(dir, `${i}.test.mjs`));
  for (const file of files) writeFileSync(file, FILE);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const args = ['--test', `--test-concurrency=${FILES}`, '--test-reporter=tap', ...files];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  let said = '';
  for await (const part of child.stdout.setEncoding('utf8')) said += part;
  assert.deepEqual(await exit, [0, null], said);
  assert.match(said, new RegExp(`^# pass ${FILES}$`, 'm'));
  rmSync(dir, { recursive: true });
});
