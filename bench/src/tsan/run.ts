// Programs of this folder with and without the sanitizer: each prints one figure, or is timed as a whole.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** The preload of @tspdk/tsan. */
export const register = new URL('../../../packages/tsan/dist/register.js', import.meta.url).href;

export type Under = 'plain' | 'checked';

/** Node's arguments for a run under the sanitizer, or without it. */
export function nodeArgs(under: Under): string[] {
  return under === 'checked' ? ['--import', register] : [];
}

/** Runs `name.fixture.js` to its end and gives what it printed. @throws when it fails, or when a race is reported */
async function run(under: Under, name: string, args: readonly string[]): Promise<string> {
  const program = fileURLToPath(new URL(`./${name}.fixture.js`, import.meta.url));
  const child = spawn(process.execPath, [...nodeArgs(under), program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let complaint = '';
  child.stdout.on('data', (bytes) => {
    out += bytes;
  });
  child.stderr.on('data', (bytes) => {
    complaint += bytes;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${name} ${args.join(' ')} ended with ${code}: ${complaint || out}`);
  return out;
}

/** The number that a program prints. */
export async function figureOf(under: Under, name: string, ...args: string[]): Promise<number> {
  const out = await run(under, name, args);
  const value = Number(out);
  if (!Number.isFinite(value)) throw new Error(`${name} ${args.join(' ')} printed ${out}`);
  return value;
}

/** Milliseconds from its start to its end. */
export async function wallMs(under: Under, name: string): Promise<number> {
  const start = performance.now();
  await run(under, name, []);
  return performance.now() - start;
}
