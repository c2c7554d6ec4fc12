// The founding case, as its reader runs it: what both programs print, and how they end.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

function run(name: string, env: Record<string, string> = {}, nodeArgs: string[] = []) {
  const file = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
  return spawnSync(process.execPath, [...nodeArgs, file], { encoding: 'utf8', env: { ...rest, ...env } });
}

/** Under the thread sanitizer: what it reported, as titles and the places of each report in the example's own file. */
function runChecked(name: string) {
  const register = new URL('../../../packages/tsan/dist/register.js', import.meta.url).href;
  const { stderr, ...ended } = run(name, { JSTSAN_OPTIONS: '' }, ['--import', register]);
  const reports = stderr.split('WARNING: ThreadSanitizer: ').slice(1);
  const titles = reports.map((text) => text.slice(0, text.indexOf(' (pid=')));
  return { ...ended, stderr, reports, titles };
}

test('broken, under the sanitizer: the free breaks ownership, and is no race, for the mailbox orders it', () => {
  const { status, stderr, titles, reports } = runChecked('broken');
  assert.deepEqual(titles, ['free by a thread that is not the owner'], stderr);
  assert.match(reports[0], /Kind: ownership: .* freed by its owner, the main thread/);
  assert.match(
    reports[0],
    /Free of size 8 .* by thread T1:\n.*Heap.*\n.*Heap\.free .*\n.*call-reactor\/broken\.ts:27:/,
  );
  assert.match(reports[0], /Previous alloc of size 8 .* by main thread:[\s\S]*?call-reactor\/broken\.ts:42:/);
  assert.equal(status, 66);
});

test('broken-unordered, under the sanitizer: the free is a data race with the read of the other core, too', () => {
  const { status, stderr, titles, reports } = runChecked('broken-unordered');
  const race = reports.find((text) => text.startsWith('data race') && text.includes(' Heap.free '));
  assert(race !== undefined, stderr);
  assert.match(
    race,
    /Write of size 8 .* by thread T1:\n[\s\S]*?Heap\.free .*\n.*onLastReactor .*broken-unordered\.ts:47:/,
  );
  assert.match(race, /Previous read of size 4 .* by main thread:\n.*Object\.get .*\n.*broken-unordered\.ts:40:/);
  assert(titles.includes('free by a thread that is not the owner'), 'the rule is broken whether it is ordered or not');
  assert.equal(status, 66);
});

test('mended, under the sanitizer: nothing is reported', () => {
  const { status, stderr, titles } = runChecked('mended');
  assert.deepEqual(titles, [], stderr);
  assert.equal(status, 0);
});

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
