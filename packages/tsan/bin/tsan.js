#!/usr/bin/env node
// The command `tsan`, as npm links it. A file of its own, since npm links only what exists, and in a clone dist/ is built after the installation.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const cli = new URL('../dist/cli.js', import.meta.url);
if (existsSync(fileURLToPath(cli))) {
  await import(cli.href);
} else {
  console.error('@tspdk/tsan is not built yet: npm run build');
  process.exitCode = 1;
}
