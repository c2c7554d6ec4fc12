// The command: what it says, what it passes on.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cliPath, runNode } from './load/program.fixture.ts';

const run = (args: string[], files: Record<string, string> = {}) => runNode(files, [cliPath, ...args]);

test('--help and --version', () => {
  assert.match(run(['--help']).stdout, /^Usage: tsan /);
  assert.match(run(['--version']).stdout, /^\d+\.\d+\.\d+\n$/);
});

test('wrong usage is said and ends with 2', () => {
  for (const args of [[], ['--nope', 'x.js'], ['nowhere.js']]) {
    const { code, stderr, stdout } = run(args);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /^tsan: .*\n\nUsage: /);
  }
});

test('arguments and exit code are passed on', () => {
  const files = { 'app.js': 'console.log(process.argv.slice(2).join()); process.exitCode = 7' };
  const { code, stdout } = run(['app.js', '--help', 'x y'], files);
  assert.equal(stdout, '--help,x y\n');
  assert.equal(code, 7);
  assert.equal(run(['--', 'app.js'], files).code, 7);
});

test('a program that dies of a signal is seen to', () => {
  const files = { 'app.js': 'process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 1000)' };
  assert.equal(run(['app.js'], files).signal, 'SIGKILL');
});

test('signals are passed on', async () => {
  const program = fileURLToPath(new URL('./load/signal.fixture.js', import.meta.url));
  const child = spawn(process.execPath, [cliPath, program]);
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  assert.equal(code, 9);
});
