// Which of the kit's tests `npm test` runs once more under its thread sanitizer, and how: as they are, and with threads delayed around synchronisation. What is
// reported ends the file's process with 66, which scripts/run-file.mjs takes for a failure, so a report fails the run with the file, the mode and the seed.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './bootstrap.mjs';

/** Tests on real threads, and that of the simulator: those that run all cores in one isolate share memory with nobody, but its runs must be the same ones. */
const files = [
  'event/app',
  'event/rpc-service',
  'event/threads',
  'module/bdev/raid/raid-real',
  'module/bdev/real-reactors',
  'nbd/initiator/two-cores',
  'nbd/target',
  'perf/perform-tests',
  'sim/sim',
  'thread/shared-thread-table',
  'thread/spin-lock',
];

function modes() {
  const seed = Number(process.env.TSPDK_SEED ?? Math.floor(Math.random() * 2 ** 31));
  return ['', `perturb=1:seed=${seed}`].map((chosen) => {
    const JSTSAN_OPTIONS = [chosen, `strip_path_prefix=${root}/`].filter((each) => each !== '').join(':');
    const nodeArgs = ['--import', pathToFileURL(join(root, 'packages', 'tsan', 'dist', 'register.js')).href];
    return {
      mode: `tsan${chosen === '' ? '' : ` ${chosen}`}`,
      options: { nodeArgs, env: { JSTSAN_OPTIONS, TSPDK_CYCLES: '2' } },
    };
  });
}

export const sanitized = {
  /** Record and perturb: what to call it, and options of `runFile`. `TSPDK_SEED` draws the same delays again. */
  modes,
  /** @param path of a test, as it is shown */
  isRun: (path) => files.some((name) => path === `packages/tspdk/src/${name}.test.ts`),
};
