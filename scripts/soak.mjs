// `npm run soak [-- MINUTES]`: builds what is needed and runs interop/src/soak.ts. With `--tsan` it runs under the thread sanitizer, over and over, as it is and perturbed by turns, what takes too long
// for that in npm test: the checks with real clients that put load on a target, which is some twenty times slower then, and tests of disks on real threads. With `--sim` it runs the simulations, under other seeds
// each time round.

import { join, relative } from 'node:path';
import { bootstrap, command, filesUnder, root } from './bootstrap.mjs';
import { runNode } from './child.mjs';
import { missingPackages } from './debian.mjs';
import { runFile } from './run-file.mjs';
import { sanitized } from './sanitized.mjs';

const clients = ['consistency', 'crash', 'fio', 'fio-modules', 'initiator', 'qemu', 'raid'];
const units = ['conform/conform', 'conform/broken-module', 'nbd/initiator/initiator', 'nbd/initiator/waiting'];
const fileTimeoutMs = 20 * 60_000;
/** Of each simulation in one round. */
const seeds = 200;

await command((args) => {
  const [mode] = ['--tsan', '--sim'].filter((each) => args.includes(each));
  const [minutes = '10', ...more] = args.filter((argument) => argument !== mode);
  if (!(Number(minutes) > 0) || more.length > 0) {
    const usage = 'npm run soak [-- [--tsan | --sim] MINUTES]';
    console.error(`'${[minutes, ...more].join(' ')}' is no number of minutes: ${usage}`);
    return 2;
  }
  bootstrap();
  if (mode === '--tsan') return soakSanitized(Number(minutes));
  if (mode === '--sim') return soakSimulated(Number(minutes));
  return runNode(join(root, 'interop', 'dist', 'soak.js'), [], {
    env: { ...process.env, TSPDK_SOAK_MINUTES: minutes },
  });
});

/** Each file once at least in both modes. The exit code: 1 when one has failed, which it does for anything that the sanitizer reports. */
async function soakSanitized(minutes) {
  const missing = missingPackages();
  if (missing.length > 0)
    console.log(`Checks are skipped without these packages: apt-get install ${missing.join(' ')}`);
  const until = performance.now() + minutes * 60_000;
  let failed = 0;
  for (let pass = 0; pass < 2 || performance.now() < until; pass++) {
    const { mode, options } = sanitized.modes()[pass % 2];
    const check = async (file, how) => {
      const { passed, failures, seconds, output } = await runFile(file, { timeoutMs: fileTimeoutMs, ...how });
      const mark = failures.length === 0 ? 'ok  ' : 'FAIL';
      console.log(`${mark} ${relative(root, file)} (${mode}): ${passed} passed, ${seconds.toFixed(0)} s`);
      for (const failure of failures) console.log(`${failure.name}\n${failure.text}`);
      if (failures.length > 0) console.log(output);
      failed += failures.length;
    };
    for (const name of units) await check(join(root, 'packages', 'tspdk', 'dist', `${name}.test.js`), options);
    // The target is what is looked at, not the check.
    const env = { TSPDK_FIO_SECONDS: '20', ...options.env, TSPDK_INTEROP_TSAN: '1' };
    for (const name of clients) await check(join(root, 'interop', 'dist', `${name}.test.js`), { env });
  }
  console.log(`${failed} failed`);
  return failed > 0 ? 1 : 0;
}

/** All simulations, a range of seeds after the other; one that has failed is not run again. The exit code. */
async function soakSimulated(minutes) {
  const until = performance.now() + minutes * 60_000;
  let files = filesUnder(join(root, 'packages', 'tspdk', 'dist'), (path) => path.endsWith('.sim.test.js'));
  let failed = 0;
  for (let first = 1; files.length > 0 && (first === 1 || performance.now() < until); first += seeds) {
    const range = `${first}-${first + seeds - 1}`;
    const sound = [];
    for (const file of files) {
      if (first > 1 && performance.now() >= until) break;
      const { passed, failures, seconds } = await runFile(file, {
        timeoutMs: fileTimeoutMs,
        env: { TSPDK_SEEDS: range },
      });
      const mark = failures.length === 0 ? 'ok  ' : 'FAIL';
      console.log(`${mark} ${relative(root, file)} (seeds ${range}): ${passed} passed, ${seconds.toFixed(0)} s`);
      for (const failure of failures) console.log(`${failure.name}\n${failure.text}`);
      if (failures.length === 0) sound.push(file);
      failed += failures.length;
    }
    files = sound;
  }
  console.log(`${failed} failed`);
  return failed > 0 ? 1 : 0;
}
