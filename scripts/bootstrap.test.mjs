// What a bare clone's first command does, tried on a clone in miniature whose npm and tsc are stand-ins that write down that they were called.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { root } from './bootstrap.mjs';

const fakeTsc = `
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
appendFileSync('calls', 'tsc\\n');
if (readFileSync('packages/one/src/a.ts', 'utf8').includes('wrong')) { console.log('a.ts(1,1): error TS1: wrong'); process.exit(2); }
mkdirSync('packages/one/dist', { recursive: true });
for (const file of readdirSync('packages/one/src')) writeFileSync('packages/one/dist/' + file.replace('.ts', '.js'), '');
`;
const fakeNpm = `#!${process.execPath}
const fs = require('node:fs');
fs.appendFileSync('calls', 'npm ' + process.argv.slice(2, 4).join(' ') + '\\n');
if (fs.existsSync('offline')) { console.error('no network'); process.exit(1); }
fs.mkdirSync('node_modules/typescript/bin', { recursive: true });
fs.writeFileSync('node_modules/typescript/package.json', '{"type":"module"}');
fs.writeFileSync('node_modules/typescript/bin/tsc', fs.readFileSync('tsc.txt'));
fs.copyFileSync('package-lock.json', 'node_modules/.package-lock.json');
`;

/** A clone in miniature. `run` bootstraps it, and gives the exit code, what was printed, and which tools were called. */
function miniature(t) {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-clone-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const write = (path, text) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  write('package-lock.json', lock('1.0.0'));
  write('tsconfig.json', '{ "files": [], "references": [{ "path": "packages/one" }] }');
  write('tsconfig.base.json', '{}');
  write('packages/one/tsconfig.json', '{\n  // why\n  "compilerOptions": { "rootDir": "src", "outDir": "dist" } }');
  write('packages/one/src/a.ts', 'a');
  write('packages/one/src/b.test.ts', 'b');
  write('tsc.txt', fakeTsc);
  write('bin/npm', fakeNpm);
  chmodSync(join(dir, 'bin/npm'), 0o755);
  mkdirSync(join(dir, 'scripts'));
  copyFileSync(join(root, 'scripts', 'bootstrap.mjs'), join(dir, 'scripts', 'bootstrap.mjs'));
  const run = (...args) => {
    rmSync(join(dir, 'calls'), { force: true });
    const env = { ...process.env, PATH: join(dir, 'bin'), npm_execpath: '' };
    const options = { cwd: dir, env, encoding: 'utf8' };
    const { status, stderr } = spawnSync(process.execPath, [join(dir, 'scripts', 'bootstrap.mjs'), ...args], options);
    const calls = existsSync(join(dir, 'calls')) ? readFileSync(join(dir, 'calls'), 'utf8').trim().split('\n') : [];
    return { status, stderr, calls };
  };
  return { dir, write, run };
}

function lock(version) {
  const packages = {
    '': {},
    'node_modules/needed': { version, integrity: 'x' },
    'node_modules/other-platform': { version, optional: true },
  };
  return JSON.stringify({ packages });
}

test('a bare clone is installed and built, with a line each, and the second time nothing happens', (t) => {
  const { dir, run } = miniature(t);
  const first = run();
  assert.deepEqual(first.calls, ['npm ci --ignore-scripts', 'tsc']);
  assert.deepEqual([first.status, first.stderr.trim().split('\n').length], [0, 2]);
  assert(existsSync(join(dir, 'packages/one/dist/a.js')));
  assert.deepEqual(run(), { status: 0, stderr: '', calls: [] });
});

test('another lock file installs again; a changed, new or removed source builds again', (t) => {
  const { dir, write, run } = miniature(t);
  run();
  write('package-lock.json', lock('1.0.1'));
  assert.deepEqual(run().calls, ['npm ci --ignore-scripts', 'tsc']);
  utimesSync(join(dir, 'packages/one/src/a.ts'), 1, 1);
  assert.deepEqual(run().calls, ['tsc']);
  write('packages/one/src/c.ts', 'c');
  assert.deepEqual(run().calls, ['tsc']);
  rmSync(join(dir, 'packages/one/src/b.test.ts'));
  assert.deepEqual(run().calls, ['tsc']);
  assert(!existsSync(join(dir, 'packages/one/dist/b.test.js')), 'a removed test is not run for ever');
  assert.deepEqual(run().calls, []);
  assert.deepEqual(run('--force').calls, ['tsc']);
  rmSync(join(dir, 'packages/one/dist'), { recursive: true });
  assert.deepEqual(run().calls, ['tsc']);
});

test('what fails is shown, and fails again the next time', (t) => {
  const { dir, write, run } = miniature(t);
  write('offline', '');
  const offline = run();
  assert.equal(offline.status, 1);
  assert.match(offline.stderr, /no network\n+Installing the packages failed/);
  rmSync(join(dir, 'offline'));
  write('packages/one/src/a.ts', 'wrong');
  for (let i = 0; i < 2; i++) {
    const broken = run();
    assert.equal(broken.status, 1);
    assert.match(broken.stderr, /error TS1: wrong\n+The build failed/);
  }
  write('packages/one/src/a.ts', 'right');
  assert.deepEqual(run(), { status: 0, stderr: 'Building (tsc -b) ...\n', calls: ['tsc'] });
});
