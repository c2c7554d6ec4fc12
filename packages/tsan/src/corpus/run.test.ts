// A program's time is that of the runner: where both were stopped, as by a suspended machine, the program did not hang.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { packagePath } from './run.ts';

test('a program is not said to hang because all was stopped for longer than it may take', async () => {
  const runner = spawn(process.execPath, [packagePath('dist/corpus/run.fixture.js')], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  runner.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await once(runner.stdout, 'data');
  process.kill(-runner.pid!, 'SIGSTOP');
  await sleep(5000);
  process.kill(-runner.pid!, 'SIGCONT');
  await once(runner, 'close');
  assert.equal(output, 'started\nno trouble\n');
});
