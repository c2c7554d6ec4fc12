// The founding case, as its reader runs it: what both programs print, and how they end.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

function run(name: string, env: Record<string, string> = {}) {
  const file = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
  return spawnSync(process.execPath, [file], { encoding: 'utf8', env: { ...rest, ...env } });
}

for (const [kind, env] of [
  ['with what the machine has', {}],
  ['without FFI', { TSPDK_NO_FFI: '1' }],
] as const) {
  test(`broken: EOWNER names the core, its owner and both places; the application stops with code 1 (${kind})`, () => {
    const { status, stdout, stderr } = run('broken', env);
    assert.match(
      stderr,
      /event "example\.on_reactor" on core 1: SpdkError: free\(\d+\) on core 1: the block belongs to core 0; allocated by call_reactor \(call-reactor\/broken\.js:\d+\), freed by call-reactor\/broken\.js:\d+\./,
    );
    assert.match(stderr, /leak: core 0 still holds 1 block\(s\), 8 bytes, allocated by call_reactor/);
    const places = [...stderr.matchAll(/broken\.js:(\d+)[),.]/g)].map((match) => match[1]);
    assert.notEqual(places[0], places[1], 'allocated and freed at different places');
    assert.equal(stdout, 'core 0: here I do my part\ncore 1: here I do my part\nexit code 1\n');
    assert.equal(status, 1);
  });

  test(`mended: everyone has a turn, the block is freed at home, nothing is leaked, code 0 (${kind})`, () => {
    const { status, stdout, stderr } = run('mended', env);
    assert.doesNotMatch(stderr, /ERROR|leak/);
    assert.equal(
      stdout,
      'core 0: here I do my part\ncore 1: here I do my part\ncore 0: everyone has done it\nexit code 0\n',
    );
    assert.equal(status, 0);
  });
}
