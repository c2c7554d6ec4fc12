// What spdk_top asks a target for, and the fields that it takes from the answers. Its decoders know each object's fields and refuse any other
// (app/spdk_top/spdk_top.c; reactors have had more since SPDK 23, which newer ones take), numbers are unsigned integers, and ids index its tables of threads.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RpcClient } from '../rpc/index.ts';

const cli = fileURLToPath(new URL('./cli.js', import.meta.url));
/** RPC_MAX_THREADS of spdk_top. */
const threadsMax = 1024;

type Fields = Record<string, unknown>;

/** `object` has the fields of `spec` ('string', 'number', 'boolean', or 'array'), and no others but those of `may`. */
function decode(what: string, object: Fields, spec: Record<string, string>, may: readonly string[] = []): void {
  for (const [name, type] of Object.entries(spec)) {
    const value = object[name];
    if (type === 'array') assert(Array.isArray(value), `${what}.${name}`);
    else assert.equal(typeof value, type, `${what}.${name}`);
    if (type === 'number') assert(Number.isSafeInteger(value) && (value as number) >= 0, `${what}.${name}: ${value}`);
  }
  const others = Object.keys(object).filter((name) => !(name in spec) && !may.includes(name));
  assert.deepEqual(others, [], `${what} has fields that spdk_top does not know`);
}

test('threads, pollers and reactors are what spdk_top decodes', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-top-'));
  const path = join(dir, 'rpc.sock');
  const args = [cli, 'serve', '4M', '--nbd', `unix:${join(dir, 'nbd.sock')}`, '-r', path, '--no-pin'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = new Promise((resolve) => child.once('exit', resolve));
  try {
    let said = '';
    for await (const part of child.stdout.setEncoding('utf8')) {
      said += part as string;
      if (said.includes('stop:')) break;
    }
    const client = await RpcClient.connect(path);
    const stats = (await client.call('thread_get_stats')) as { threads: Fields[] } & Fields;
    decode('thread_get_stats', stats, { tick_rate: 'number', threads: 'array' });
    const ids = new Set<unknown>();
    for (const thread of stats.threads) {
      const counts = { active_pollers_count: 'number', timed_pollers_count: 'number', paused_pollers_count: 'number' };
      decode('thread', thread, {
        name: 'string',
        id: 'number',
        cpumask: 'string',
        busy: 'number',
        idle: 'number',
        ...counts,
      });
      assert((thread.id as number) < threadsMax);
      ids.add(thread.id);
    }
    const pollers = (await client.call('thread_get_pollers')) as { threads: Fields[] } & Fields;
    decode('thread_get_pollers', pollers, { tick_rate: 'number', threads: 'array' });
    let seen = 0;
    for (const thread of pollers.threads) {
      const lists = { active_pollers: 'array', timed_pollers: 'array', paused_pollers: 'array' };
      decode('thread', thread, { name: 'string', id: 'number', ...lists });
      for (const list of Object.keys(lists)) {
        for (const poller of thread[list] as Fields[]) {
          const spec = { name: 'string', state: 'string', run_count: 'number', busy_count: 'number' };
          decode('poller', poller, spec, ['id', 'period_ticks']);
          seen++;
        }
      }
    }
    assert(seen > 0, 'the NBD target has pollers');
    const reactors = (await client.call('framework_get_reactors')) as { reactors: Fields[] } & Fields;
    decode('framework_get_reactors', reactors, { tick_rate: 'number', reactors: 'array' }, ['pid']);
    for (const reactor of reactors.reactors) {
      const spec = { lcore: 'number', busy: 'number', idle: 'number', lw_threads: 'array' };
      decode('reactor', reactor, spec, ['tid', 'in_interrupt', 'irq', 'sys', 'core_freq']);
      for (const thread of reactor.lw_threads as Fields[]) {
        decode('lw_thread', thread, { name: 'string', id: 'number', cpumask: 'string', elapsed: 'number' });
        // It looks the thread up without a check.
        assert(ids.has(thread.id), `thread ${thread.id} is one of thread_get_stats`);
      }
    }
    client.close();
  } finally {
    child.kill('SIGINT');
  }
  assert.equal(await exit, 0);
  rmSync(dir, { recursive: true });
});
