// The reporter in processes of its own, as the runtime uses it: several threads, every format, ends of every kind.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { race } from './race.fixture.ts';

interface Ended {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly folder: string;
}

const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);

/** Runs `main` with `reporter` and `report(line)`, an other race for each line. `worker(text)` runs a text in a worker that has the same, and awaits its end. */
function run(t: TestContext, options: string, main: string, files: Record<string, string> = {}): Ended {
  const folder = mkdtempSync(join(tmpdir(), 'jstsan-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const common = `
    const race = ${JSON.stringify(race)};
    const report = (line, kind = race.kind) => ({ ...race, kind, accesses: [{ ...race.accesses[0], stack: [{ ...race.accesses[0].stack[0], line }] }, race.accesses[1]] });`;
  const worker = `(async () => {
    const { workerData: [options, shared, text] } = require('node:worker_threads');
    const { Reporter } = await import(${url('./reporter.js')});
    const reporter = new Reporter(options, shared, false);${common}
    eval(text);
  })()`;
  const code = `
    import { Worker } from 'node:worker_threads';
    import { once } from 'node:events';
    import { optionsOfProcess } from ${url('./options.js')};
    import { Reporter } from ${url('./reporter.js')};
    const options = optionsOfProcess();
    const shared = Reporter.allocate();
    const reporter = new Reporter(options, shared, true);${common}
    const worker = (text) => once(new Worker(${JSON.stringify(worker)}, { eval: true, workerData: [options, shared, text] }), 'exit');
    process.on('exit', () => { process.exitCode = reporter.finish() ?? process.exitCode; });
    ${main}`;
  writeFileSync(join(folder, 'main.mjs'), code);
  const env = { ...process.env, JSTSAN_OPTIONS: options, GITHUB_WORKSPACE: '' };
  const ended = spawnSync(process.execPath, ['main.mjs'], { cwd: folder, encoding: 'utf8', env, timeout: 60_000 });
  return { ...ended, folder };
}

const warnings = (text: string) => text.match(/^WARNING: ThreadSanitizer: data race/gm)?.length ?? 0;

test('reports of all threads are counted, equal ones printed once, and the exit code says so', (t) => {
  const ended = run(
    t,
    '',
    `reporter.emit(report(1)); reporter.emit(report(1));
     await Promise.all([worker('reporter.emit(report(1)); reporter.emit(report(2))'), worker('reporter.emit(report(2)); reporter.emit(report(3))')]);
     process.exitCode = 5;`,
  );
  assert.equal(warnings(ended.stderr), 3);
  assert.match(ended.stderr, /={18}\nThreadSanitizer: reported 3 warnings\n$/);
  assert.equal(ended.status, 66);
});

test('without reports nothing is printed and the exit code is the program’s', (t) => {
  const ended = run(t, '', 'process.exitCode = 5;');
  assert.equal(ended.stderr, '');
  assert.equal(ended.status, 5);
});

test('exitcode=0 leaves the program its own; suppress_equal_stacks=0 prints every race', (t) => {
  const ended = run(
    t,
    'exitcode=0 suppress_equal_stacks=0',
    'reporter.emit(report(1)); reporter.emit(report(1)); process.exitCode = 5;',
  );
  assert.equal(ended.status, 5);
  assert.equal(warnings(ended.stderr), 2);
});

test('report_atomic_races=0 drops races with an atomic access only', (t) => {
  const ended = run(t, 'report_atomic_races=0', `reporter.emit(report(1)); reporter.emit(report(1, 'plain/plain'));`);
  assert.equal(warnings(ended.stderr), 1);
});

test('reports of threads that write at once are not mixed', (t) => {
  const each = 'for (let line = 1; line < 60; line++) reporter.emit(report(line + base))';
  const ended = run(
    t,
    '',
    `await Promise.all([1000, 2000, 3000].map((base) => worker('const base = ' + base + ';' + ${JSON.stringify(each)})));`,
  );
  const blocks = ended.stderr.split(/^={18}\nWARNING/m).slice(1);
  assert.equal(blocks.length, 3 * 59);
  const shape = (text: string) => text.replace(/={18}\n[\s\S]*$/, '').replace(/\d{4}:7/g, 'N');
  assert.equal(new Set(blocks.map(shape)).size, 1);
});

test('log_path takes the text, its lines and the end, and leaves stderr alone', (t) => {
  const { folder, stderr } = run(
    t,
    'log_path=log',
    `process.chdir('/'); reporter.emit(report(1)); await worker('reporter.emit(report(2))');`,
  );
  const [name] = readdirSync(folder).filter((file) => file.startsWith('log.'));
  assert.match(name!, /^log\.\d+$/);
  const text = readFileSync(join(folder, name!), 'utf8');
  assert.equal(warnings(text), 2);
  assert.match(text, /reported 2 warnings\n$/);
  assert.equal(stderr, '');
});

test('format=json is an object a line and nothing else', (t) => {
  const ended = run(
    t,
    `format=json:strip_path_prefix=/repo/`,
    `reporter.emit(report(1)); await worker('reporter.emit(report(2))');`,
  );
  const lines = ended.stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ accesses }) => accesses[0].stack[0]),
    [1, 2].map((line) => ({ function: 'publish', file: 'src/ring.mjs', line, column: 7 })),
  );
  assert.equal(lines[0].summary, 'ThreadSanitizer: data race src/ring.mjs:1:7 in publish');
});

test('format=sarif is one log of all threads, written also when it is empty', (t) => {
  const ended = run(
    t,
    'format=sarif:log_path=log',
    `reporter.emit(report(1)); await worker('reporter.emit(report(2))');`,
  );
  const logs = readdirSync(ended.folder).filter((file) => file.startsWith('log.'));
  assert.equal(logs.length, 1);
  const { runs } = JSON.parse(readFileSync(join(ended.folder, logs[0]!), 'utf8'));
  assert.equal(runs[0].results.length, 2);
  assert.match(ended.stderr, /^ThreadSanitizer: reported 2 warnings: .*log\.\d+\.sarif\n$/);
  assert.equal(ended.status, 66);
  const empty = run(t, 'format=sarif:log_path=log.sarif', '');
  assert.match(readdirSync(empty.folder).join(), /log\.\d+\.sarif/);
  const [log] = readdirSync(empty.folder).filter((file) => file.startsWith('log.'));
  assert.deepEqual(JSON.parse(readFileSync(join(empty.folder, log!), 'utf8')).runs[0].results, []);
});

test('what suppressions match is not reported, but said at the end', (t) => {
  const files = { hide: '# known\nrace:nobody\nrace_top:publish\n' };
  const main = `reporter.emit(report(1)); await worker('reporter.emit(report(2))');`;
  const ended = run(t, 'suppressions=hide', main, files);
  assert.match(ended.stderr, /^ThreadSanitizer: Matched 1 suppressions \(pid=\d+\):\n2 race_top:publish\n$/);
  assert.equal(ended.status, 0);
  assert.equal(run(t, 'suppressions=hide print_suppressions=0', main, files).stderr, '');
});

test('halt_on_error ends the process at the first report, from the main thread and from a worker', (t) => {
  const fromMain = run(t, 'halt_on_error=1', `reporter.emit(report(1)); console.log('on');`);
  assert.deepEqual([fromMain.status, fromMain.stdout, warnings(fromMain.stderr)], [66, '', 1]);
  const wait = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20000)';
  const idle = run(
    t,
    'halt_on_error=1',
    `worker('reporter.emit(report(1)); console.log(1)'); setInterval(() => {}, 1000);`,
  );
  assert.deepEqual([idle.status, idle.stdout, warnings(idle.stderr)], [66, '', 1]);
  const blocked = run(t, 'halt_on_error=1', `worker('reporter.emit(report(1))'); ${wait}; console.log('on')`);
  assert.deepEqual([blocked.signal, blocked.stdout], ['SIGKILL', '']);
  assert.match(blocked.stderr, /reported 1 warnings\n$/);
});

test('atexit_sleep_ms leaves threads that still run the time to report', (t) => {
  const late = `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300); reporter.emit(report(1)); for (;;);`;
  const main = `worker(${JSON.stringify(late)}).catch(() => {}); setTimeout(() => process.exit(), 200)`;
  assert.equal(warnings(run(t, 'atexit_sleep_ms=1500', main).stderr), 1);
  assert.equal(run(t, 'atexit_sleep_ms=0', main).status, 0);
});

test('a thread that ended while it wrote holds nobody up for long', (t) => {
  const ended = run(t, '', `new Int32Array(shared)[0] = 1; reporter.emit(report(1));`);
  assert.equal(warnings(ended.stderr), 1);
  assert(!existsSync(join(ended.folder, 'core')));
});
