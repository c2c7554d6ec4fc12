// `npm run bench [-- NAME ...] [-- --json]`: builds what is needed and runs bench/. See bench/src/main.ts.

import { join } from 'node:path';
import { bootstrap, command, root } from './bootstrap.mjs';
import { runNode } from './child.mjs';

await command((args) => {
  bootstrap();
  return runNode(join(root, 'bench', 'dist', 'main.js'), args);
});
