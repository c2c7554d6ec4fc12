// `npm run example -- NAME [ARGS] [--tsan]`: builds what is needed and runs examples/NAME.ts (compiled, so that Node 20 can run it too), or serves it, when it exports a disk. NAME is the path below
// examples/, with or without `.ts`. The exit code is the example's. With `--tsan` it runs under the thread sanitizer (packages/tsan), which ends
// it with 66 when it has reported anything; JSTSAN_OPTIONS are its options.

import { readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
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
  const tsan = args.includes('--tsan');
  const [given, ...rest] = args.filter((argument) => argument !== '--tsan');
  const names = listExamples();
  const name = given?.replace(/^(\.\/)?examples\//, '').replace(/\.[tj]s$/, '');
  if (name === undefined || !names.includes(name)) {
    console.error(
      name === undefined ? 'Which example? npm run example -- NAME [ARGS] [--tsan]' : `There is no example '${given}'.`,
    );
    console.error(`Examples:\n${names.map((each) => `  ${each}`).join('\n')}`);
    return 2;
  }
  bootstrap();
  // A file that exports a disk is no program by itself: it is served until Ctrl-C.
  const isDisk = /^export default (define|async |\()/m.test(readFileSync(join(examples, `${name}.ts`), 'utf8'));
  const file = join(examples, 'dist', `${name}.js`);
  const program = isDisk ? join(root, 'packages', 'tspdk', 'dist', 'app', 'cli.js') : file;
  // Source maps: what an example says about a place names the line its reader has before him.
  const nodeArgs = ['--enable-source-maps'];
  if (tsan) nodeArgs.push('--import', pathToFileURL(join(root, 'packages', 'tsan', 'dist', 'register.js')).href);
  const options = [`strip_path_prefix=${root}${sep}`, process.env.JSTSAN_OPTIONS ?? ''].join(':');
  const env = tsan ? { ...process.env, JSTSAN_OPTIONS: options } : process.env;
  return runNode(program, isDisk ? ['serve', file, ...rest] : rest, { nodeArgs, env });
});
