// A program under `npm start` gets each signal once and gives its own exit code.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { root } from './bootstrap.mjs';

const childModule = pathToFileURL(join(root, 'scripts', 'child.mjs')).href;

/** Starts `program` by runNode in a process of its own, as a script of the repository does. */
async function startUnder(t, program) {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-child-'));
  writeFileSync(join(dir, 'program.mjs'), program);
  writeFileSync(
    join(dir, 'script.mjs'),
    `import { runNode } from ${JSON.stringify(childModule)};
     process.exitCode = await runNode(${JSON.stringify(join(dir, 'program.mjs'))}, process.argv.slice(2));`,
  );
  const script = spawn(process.execPath, [join(dir, 'script.mjs'), 'an argument'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => {
    script.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  });
  let output = '';
  script.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const exited = once(script, 'exit');
  const printed = async (text) => {
    while (!output.includes(text)) await once(script.stdout, 'data');
  };
  return { script, printed, exited, output: () => output };
}

test('the exit code is the program’s, and so are its arguments', async (t) => {
  const { exited, output } = await startUnder(t, 'console.log(process.argv[2]); process.exitCode = 42;');
  assert.equal((await exited)[0], 42);
  assert.equal(output(), 'an argument\n');
});

test('a program that a signal ended gives 128 and the signal’s number', async (t) => {
  const { exited } = await startUnder(t, `process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000);`);
  assert.equal((await exited)[0], 143);
});

test('a signal that comes twice at once is passed on once', { skip: process.platform === 'win32' }, async (t) => {
  // It exits on the other signal, so that it has had time to see the first one twice.
  const program = `
    let interrupts = 0;
    process.on('SIGINT', () => console.log('interrupt ' + ++interrupts));
    process.on('SIGTERM', () => process.exit(interrupts));
    setInterval(() => {}, 1000);
    console.log('ready');`;
  const { script, printed, exited } = await startUnder(t, program);
  await printed('ready');
  script.kill('SIGINT');
  script.kill('SIGINT');
  await printed('interrupt 1');
  script.kill('SIGTERM');
  assert.equal((await exited)[0], 1);
});

test('when npm is ended and takes the shell with it, the program is told', {
  skip: process.platform === 'win32',
}, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-child-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const program = join(dir, 'program.mjs');
  const script = join(dir, 'script.mjs');
  writeFileSync(
    program,
    `process.on('SIGTERM', () => { console.log('told'); process.exit(0); });
     setInterval(() => {}, 1000);
     console.log('ready');`,
  );
  writeFileSync(
    script,
    `import { runNode } from ${JSON.stringify(childModule)}; await runNode(${JSON.stringify(program)}, []);`,
  );
  const env = { ...process.env, npm_lifecycle_event: 'start' };
  const shell = spawn('sh', ['-c', `"${process.execPath}" "${script}"; true`], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  shell.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    if (text.includes('ready')) shell.kill('SIGKILL');
  });
  // The pipe ends when the last of them has ended.
  await once(shell.stdout, 'end');
  assert.match(output, /told/);
});
