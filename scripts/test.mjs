// `npm test [-- PATTERN ...]`: everything that can be checked, from a bare clone. It installs and builds what is missing, lints, then runs the test files:
// the units two at a time, the fuzzers, and the checks with real clients one at a time, for they start real processes. With patterns, only
// the files whose path contains one of them.
//
//   --no-install   do not install Debian packages; checks that lack a program are skipped and named
//   --units        leave out interop/ (real clients)
//
// TSPDK_FUZZ_SECONDS is how long each fuzzer runs (30). Passed files take one line, failures are shown whole, and at the end stand what was skipped and
// why, what failed, and as the very last line the counts. Exit code 1 when anything failed or no test ran.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { bootstrap, command, filesUnder, root } from './bootstrap.mjs';
import { cannotInstall, installPackages, missingPackages } from './debian.mjs';
import { killAll, runFile } from './run-file.mjs';
import { sanitized } from './sanitized.mjs';

const fuzzSeconds = Number(process.env.TSPDK_FUZZ_SECONDS ?? 30);
const unitTimeoutMs = 300_000;
const interopTimeoutMs = 600_000;
/** The tests that run reactors on real threads run again as on a machine that denies io_uring, or has no native calls at all. */
const again = { variables: ['TSPDK_NO_URING', 'TSPDK_NO_FFI'], path: /\/src\/event\/(?!app-args)[^.]*\.test\.ts$/ };

/** What there is to run, as `[path, options]` by kind. */
function findFiles() {
  const compiled = (dir, suffix) => filesUnder(join(root, dir, 'dist'), (path) => path.endsWith(suffix));
  const packages = readdirSync(join(root, 'packages')).map((name) => join('packages', name));
  const units = filesUnder(join(root, 'scripts'), (path) => path.endsWith('.test.mjs'));
  for (const dir of [...packages, 'examples', 'bench']) units.push(...compiled(dir, '.test.js'));
  const fuzzers = packages.flatMap((dir) => compiled(dir, '.fuzz.js'));
  return { units, fuzzers, interop: compiled('interop', '.test.js') };
}

/** The path as a person knows it: the source's, below the root. */
function shown(file) {
  const path = relative(root, file).replaceAll('\\', '/');
  if (!path.includes('/dist/')) return path;
  const source = path.replace(/\.js$/, '.ts');
  const inSrc = source.replace('/dist/', '/src/');
  return existsSync(join(root, inSrc)) ? inSrc : source.replace('/dist/', '/');
}

const totals = { passed: 0, failed: 0, skipped: 0, failures: [], skips: [] };

function record(title, outcome) {
  const { passed, failures, skips, output, seconds } = outcome;
  totals.passed += passed;
  totals.failed += failures.length;
  totals.skipped += skips.length;
  totals.failures.push(...failures.map(({ name }) => `${title}: ${name}`));
  totals.skips.push(...skips.map(({ name, reason }) => `${title}: ${name}: ${reason}`));
  const counts = [`${passed} passed`];
  if (failures.length > 0) counts.push(`${failures.length} failed`);
  if (skips.length > 0) counts.push(`${skips.length} skipped`);
  const mark = failures.length > 0 ? 'FAIL' : passed > 0 ? 'ok  ' : 'skip';
  console.log(`${mark} ${title}  ${counts.join(', ')}  ${seconds.toFixed(1)} s`);
  if (failures.length === 0) return;
  for (const { name, text } of failures) console.log(`\n  ${name}\n${indent(text)}`);
  if (output.trim() !== '') console.log(`\n  what it printed:\n${indent(output)}`);
  console.log('');
}

function indent(text) {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}

async function runAll(files, concurrency, options, note = '') {
  const queue = [...files];
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      record(`${shown(file)}${note}`, await runFile(file, options));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}

function lint() {
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const started = performance.now();
  const result = spawnSync(process.execPath, [biome, 'check', '--colors=off', '.'], { cwd: root, encoding: 'utf8' });
  const failures = result.status === 0 ? [] : [{ name: 'biome check', text: `${result.stdout}${result.stderr}` }];
  const seconds = (performance.now() - started) / 1000;
  record('lint', { passed: result.status === 0 ? 1 : 0, failures, skips: [], output: '', seconds });
}

/** Installs the Debian packages that are missing, where that is allowed and possible; else says what to type. */
function provideClients(install) {
  const missing = missingPackages();
  if (missing.length === 0) return undefined;
  const advice = `apt-get install ${missing.join(' ')}`;
  const reason = install ? cannotInstall() : '--no-install';
  if (reason !== undefined) return `Not installed (${reason}), so the checks that need them are skipped:\n  ${advice}`;
  console.log(`Installing Debian packages: ${missing.join(' ')} ...`);
  const trouble = installPackages(missing);
  if (trouble === undefined) return undefined;
  record('Debian packages', {
    passed: 0,
    failures: [{ name: advice, text: trouble }],
    skips: [],
    output: '',
    seconds: 0,
  });
  return undefined;
}

function summarise(notes) {
  console.log('');
  if (totals.skips.length > 0) console.log(`Skipped:\n${totals.skips.map((line) => `  ${line}`).join('\n')}`);
  for (const note of notes) console.log(note);
  if (totals.failures.length > 0) console.log(`Failed:\n${totals.failures.map((line) => `  ${line}`).join('\n')}`);
  console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
}

await command(async (args) => {
  const patterns = args.filter((argument) => !argument.startsWith('-'));
  const unknown = args.find((argument) => argument.startsWith('-') && !['--no-install', '--units'].includes(argument));
  if (unknown !== undefined) {
    console.error(`There is no option '${unknown}': npm test -- [--no-install] [--units] [PATTERN ...]`);
    return 2;
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(signal, () => {
      killAll();
      summarise([`Stopped by ${signal}.`]);
      process.exit(130);
    });
  }
  bootstrap();
  const chosen = (file) => patterns.length === 0 || patterns.some((pattern) => shown(file).includes(pattern));
  const found = findFiles();
  const units = found.units.filter(chosen);
  const fuzzers = found.fuzzers.filter(chosen);
  const interop = args.includes('--units') ? [] : found.interop.filter(chosen);
  const notes = [];
  if (args.includes('--units')) notes.push('interop/ (real clients) was left out: --units');
  if (patterns.length === 0) lint();
  const advice = interop.length > 0 ? provideClients(!args.includes('--no-install')) : undefined;
  if (advice !== undefined) notes.push(advice);
  await runAll(units, 2, { timeoutMs: unitTimeoutMs });
  for (const name of again.variables) {
    const files = units.filter((file) => again.path.test(shown(file)));
    await runAll(files, 2, { timeoutMs: unitTimeoutMs, env: { [name]: '1' } }, ` (${name}=1)`);
  }
  for (const { mode, options } of sanitized.modes()) {
    const files = units.filter((file) => sanitized.isRun(shown(file)));
    await runAll(files, 2, { timeoutMs: unitTimeoutMs, ...options }, ` (${mode})`);
  }
  await runAll(fuzzers, 2, {
    timeoutMs: unitTimeoutMs + fuzzSeconds * 1000,
    env: { TSPDK_FUZZ_SECONDS: String(fuzzSeconds) },
  });
  await runAll(interop, 1, { timeoutMs: interopTimeoutMs });
  const ran = units.length + fuzzers.length + interop.length;
  if (ran === 0)
    notes.push(
      patterns.length > 0 ? `No test file's path contains ${patterns.join(' or ')}.` : 'There is no test file.',
    );
  summarise(notes);
  return totals.failed > 0 || totals.passed === 0 || ran === 0 ? 1 : 0;
});
