// Runs one program that ends after half a second, with four seconds for it, and prints what came of it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './run.ts';

const folder = mkdtempSync(join(tmpdir(), 'jstsan-run-'));
const file = join(folder, 'program.mjs');
writeFileSync(file, 'setTimeout(() => {}, 500);');
const outcome = run({ file, options: undefined, timeoutMs: 4000 });
console.log('started');
console.log((await outcome).trouble ?? 'no trouble');
rmSync(folder, { recursive: true });
