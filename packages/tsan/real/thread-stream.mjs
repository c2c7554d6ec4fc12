// thread-stream: lines are written to a stream that a worker empties, through a buffer that both share and that is too small for all of them.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ThreadStream from 'thread-stream';

const folder = mkdtempSync(join(tmpdir(), 'thread-stream-'));
const target = join(folder, 'lines');
const filename = fileURLToPath(new URL('./thread-stream-target.cjs', import.meta.url));
const stream = new ThreadStream({ filename, workerData: { target }, bufferSize: 1024, sync: false });
const lines = Array.from({ length: 200 }, (_, at) => `line ${at} ${'é'.repeat(at % 50)}\n`);
for (const line of lines) stream.write(line);
stream.on('close', () => {
  const written = readFileSync(target, 'utf8');
  rmSync(folder, { recursive: true });
  if (written !== lines.join('')) throw new Error(`${written.length} characters were written`);
});
stream.end();
