// What the machine allows, for those who read a figure that was not reached: the same work in C with nothing around it (bench/floor/), where there is gcc.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Gives `act` the program bench/floor/`name`.c, compiled, or undefined where that cannot be done. */
export async function withFloor<T>(name: string, act: (program: string | undefined) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-floor-'));
  try {
    const program = join(dir, name);
    const source = fileURLToPath(new URL(`../floor/${name}.c`, import.meta.url));
    const built = spawnSync('gcc', ['-O2', '-pthread', source, '-o', program]);
    return await act(built.status === 0 ? program : undefined);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
