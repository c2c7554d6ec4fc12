// `npm run example -- NAME [ARGS]`: builds what is needed and runs examples/NAME.ts (compiled, so that Node 20 can run it too). NAME is the path below
// examples/, with or without `.ts`. The exit code is the example's.

import { join, relative } from 'node:path';
import { bootstrap, command, filesUnder, root } from './bootstrap.mjs';
import { runNode } from './child.mjs';

const examples = join(root, 'examples');

/** The examples' names: each program below examples/, without `.ts`. A file whose name starts with `_` is a part of one, not a program. */
function listExamples() {
  const isProgram = (path) => /(^|[/\\])[^_/\\][^/\\]*(?<!\.(test|d))\.ts$/.test(path);
  return filesUnder(examples, isProgram, ['dist', 'node_modules']).map((path) =>
    relative(examples, path).replace(/\.ts$/, '').replaceAll('\\', '/'),
  );
}

await command((args) => {
  const [given, ...rest] = args;
  const names = listExamples();
  const name = given?.replace(/^(\.\/)?examples\//, '').replace(/\.[tj]s$/, '');
  if (name === undefined || !names.includes(name)) {
    console.error(
      name === undefined ? 'Which example? npm run example -- NAME [ARGS]' : `There is no example '${given}'.`,
    );
    console.error(`Examples:\n${names.map((each) => `  ${each}`).join('\n')}`);
    return 2;
  }
  bootstrap();
  // Source maps: what an example says about a place names the line its reader has before him.
  return runNode(join(examples, 'dist', `${name}.js`), rest, { nodeArgs: ['--enable-source-maps'] });
});
