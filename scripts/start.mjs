// `npm start`: the main job. A multi-reactor storage target with two disks on it, from a bare clone. Arguments go to `tspdk start`.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrap, command, root, Trouble } from './bootstrap.mjs';
import { runNode } from './child.mjs';

await command((args) => {
  bootstrap();
  const cli = join(root, 'packages', 'tspdk', 'dist', 'app', 'cli.js');
  if (!existsSync(cli))
    throw new Trouble('packages/tspdk has no app/cli.ts in this checkout: there is nothing to start');
  return runNode(cli, ['start', ...args]);
});
