// Programs of a test, in a folder of their own, run by a Node with the sanitizer.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const registerUrl = new URL('../register.js', import.meta.url).href;
export const registerPath = fileURLToPath(registerUrl);
export const cliPath = fileURLToPath(new URL('../cli.js', import.meta.url));

export interface Finished {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Writes `files`, runs `node ...args` among them and removes them again. */
export function runNode(files: Record<string, string>, args: string[], env: Record<string, string> = {}): Finished {
  const folder = mkdtempSync(join(tmpdir(), 'tsan-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const own = { ...process.env, JSTSAN_OPTIONS: '', NODE_OPTIONS: '', ...env };
    const result = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', env: own, timeout: 60_000 });
    return { code: result.status, signal: result.signal, stdout: result.stdout, stderr: result.stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function runChecked(files: Record<string, string>, program: string, env: Record<string, string> = {}): Finished {
  return runNode(files, ['--import', registerUrl, program], env);
}
