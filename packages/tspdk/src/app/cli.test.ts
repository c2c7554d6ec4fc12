/** What `tspdk` as a process does, whatever the program: its output is whole. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { limits } from '../env/limits.ts';
import { RPC_RUNTIME, RpcRegistry } from '../rpc/registry.ts';
import { RpcServer } from '../rpc/server.ts';

const cli = fileURLToPath(new URL('./cli.js', import.meta.url));

test('output that is longer than a pipe takes at once is whole, however long its reader takes', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-cli-'));
  const much = 'x'.repeat(1_000_000);
  const registry = new RpcRegistry();
  registry.state = RPC_RUNTIME;
  registry.register({ name: 'tell', states: RPC_RUNTIME, params: [], summary: 'Tells much.', handler: () => much });
  const server = await RpcServer.listen(registry, { address: join(dir, 's') });
  t.after(async () => {
    await server.close();
    rmSync(dir, { recursive: true });
  });
  // What is left over has no time at all: so a reader need not be slow to be cut off.
  const hurry = `const { setTimeout } = globalThis;
    globalThis.setTimeout = (run, ms, ...rest) => setTimeout(run, ms === ${limits.leftovers_grace_ms} ? 0 : ms, ...rest);`;
  const args = ['--import', `data:text/javascript,${encodeURIComponent(hurry)}`, cli, 'rpc'];
  const child = spawn(process.execPath, [...args, '-s', server.address, 'tell']);
  const [out] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.equal(out.trim().length, much.length);
});
