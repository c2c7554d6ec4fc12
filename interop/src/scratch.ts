// A folder for one test, gone when the test ends.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scope } from './client.ts';

/** The path of a new, empty folder. Short, since a unix socket's whole path must fit in 107 bytes. */
export function scratch(t: Scope): string {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-io-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
