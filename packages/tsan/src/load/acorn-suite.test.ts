// acorn's own test suite passes under the sanitizer. The registry's package leaves the suite out; Debian's source package has it, and its binary package the
// build that the suite was written for. Both come through apt-get, once, into .cache/.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { registerUrl, runNode } from './program.fixture.ts';

const cache = fileURLToPath(new URL('../../../../.cache/', import.meta.url));
const suite = join(cache, 'acorn-suite');

/** The address of Debian's package, from which that of its source follows: `POOL/SOURCE_VERSION.orig.tar.xz`. */
function addresses(): { binary: string; source: string } {
  const line = execFileSync('apt-get', ['--print-uris', 'download', 'node-acorn'], { encoding: 'utf8', stdio: 'pipe' });
  const binary = /^'([^']+)'/.exec(line)?.[1] ?? '';
  const version = /_(.+)-[^-]+_all\.deb$/.exec(binary)?.[1];
  assert(version !== undefined, `apt-get names no package: ${line}`);
  return { binary, source: `${dirname(binary)}/acorn_${version}.orig.tar.xz` };
}

async function download(address: string, folder: string): Promise<string> {
  const response = await fetch(address, { signal: AbortSignal.timeout(60_000) });
  assert(response.ok, `${address}: ${response.status}`);
  const path = join(folder, basename(address));
  writeFileSync(path, Buffer.from(await response.arrayBuffer()));
  return path;
}

/** Lays the suite and the built parsers out as acorn's repository does: `test/`, `acorn/`, `acorn-loose/`. */
async function layOut(): Promise<void> {
  if (existsSync(suite)) return;
  const { binary, source } = addresses();
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'acorn-suite-'));
  try {
    const tar = await download(source, folder);
    execFileSync('tar', ['xf', tar, '-C', folder, '--strip-components=1', '--wildcards', '*/test/*']);
    execFileSync('dpkg', ['-x', await download(binary, folder), folder]);
    for (const name of ['acorn', 'acorn-loose']) {
      renameSync(join(folder, 'usr', 'share', 'nodejs', name), join(folder, name));
    }
    // CommonJS, as there; this project's own package.json would make modules of it.
    writeFileSync(join(folder, 'package.json'), '{}');
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync('../acorn', join(folder, 'node_modules', 'acorn'));
    renameSync(folder, suite);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("acorn's own suite passes", async (t) => {
  try {
    await layOut();
  } catch (error) {
    t.skip(`Debian's package of acorn cannot be had: ${String(error).split('\n')[0]}`);
    return;
  }
  assert(readdirSync(join(suite, 'test')).length > 20);
  const program = join(suite, 'test', 'run.js');
  const plain = runNode({}, [program]);
  const checked = runNode({}, ['--import', registerUrl, program]);
  const counts = /Total: (\d+) tests run in \d+ms; all passed\./.exec(checked.stdout);
  assert(Number(counts?.[1]) > 5000, `${checked.stdout}${checked.stderr}`);
  const untimed = (text: string) => text.replaceAll(/\d+ms/g, 'ms');
  assert.equal(untimed(checked.stdout), untimed(plain.stdout));
  assert.deepEqual([checked.code, checked.stderr], [0, '']);
});
