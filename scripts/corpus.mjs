// `npm run corpus [-- ARGS]`: the thread sanitizer's own litmus programs under it, all of them, from a bare clone. See packages/tsan/src/corpus/main.ts.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bootstrap, command, root } from './bootstrap.mjs';

await command(async () => {
  bootstrap();
  await import(pathToFileURL(join(root, 'packages', 'tsan', 'dist', 'corpus', 'main.js')).href);
});
