// `npm run soak [-- MINUTES]`: builds what is needed and runs interop/src/soak.ts. With `--tsan` it runs the checks with real clients that put load on a target, over and over, with every target
// under the thread sanitizer: as it is and perturbed, by turns. That takes too long for npm test: a target is some twenty times slower then.

import { join } from 'node:path';
import { bootstrap, command, root } from './bootstrap.mjs';
import { runNode } from './child.mjs';
import { missingPackages } from './debian.mjs';
import { runFile } from './run-file.mjs';
import { sanitized } from './sanitized.mjs';

const underLoad = ['consistency', 'crash', 'fio', 'fio-modules', 'initiator', 'qemu', 'raid'];
const fileTimeoutMs = 20 * 60_000;

await command((args) => {
  const tsan = args.includes('--tsan');
  const [minutes = '10', ...more] = args.filter((argument) => argument !== '--tsan');
  if (!(Number(minutes) > 0) || more.length > 0) {
    console.error(`'${[minutes, ...more].join(' ')}' is no number of minutes: npm run soak [-- [--tsan] MINUTES]`);
    return 2;
  }
  bootstrap();
  if (tsan) return soakSanitized(Number(minutes));
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
    const env = { TSPDK_FIO_SECONDS: '20', ...options.env, TSPDK_INTEROP_TSAN: '1' };
    for (const name of underLoad) {
      const file = join(root, 'interop', 'dist', `${name}.test.js`);
      const { passed, failures, seconds, output } = await runFile(file, { timeoutMs: fileTimeoutMs, env });
      console.log(
        `${failures.length === 0 ? 'ok  ' : 'FAIL'} ${name} (${mode}): ${passed} passed, ${seconds.toFixed(0)} s`,
      );
      for (const failure of failures) console.log(`${failure.name}\n${failure.text}`);
      if (failures.length > 0) console.log(output);
      failed += failures.length;
    }
  }
  console.log(`${failed} failed`);
  return failed > 0 ? 1 : 0;
}
