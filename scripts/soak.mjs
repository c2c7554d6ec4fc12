// `npm run soak [-- MINUTES]`: builds what is needed and runs interop/src/soak.ts.

import { join } from 'node:path';
import { bootstrap, command, root } from './bootstrap.mjs';
import { runNode } from './child.mjs';

await command((args) => {
  const minutes = args[0] ?? '10';
  if (!(Number(minutes) > 0)) {
    console.error(`'${minutes}' is no number of minutes: npm run soak [-- MINUTES]`);
    return 2;
  }
  bootstrap();
  return runNode(join(root, 'interop', 'dist', 'soak.js'), [], {
    env: { ...process.env, TSPDK_SOAK_MINUTES: minutes },
  });
});
