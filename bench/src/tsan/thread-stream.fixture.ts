// A logger whose lines a thread of its own writes to a file, through a shared buffer: what pino does with thread-stream. Plain about a second.

import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ThreadStream from 'thread-stream';

const filename = fileURLToPath(new URL('../../../packages/tsan/real/thread-stream-target.cjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tsan-bench-'));
const path = join(folder, 'log');
const stream = new ThreadStream({ filename, workerData: { target: path }, bufferSize: 1 << 20, sync: false });
let bytes = 0;
for (let at = 0; at < 300_000; at++) {
  const line = `${JSON.stringify({ level: 30, time: 1_700_000_000_000 + at, msg: 'request completed', at })}\n`;
  bytes += line.length;
  if (!stream.write(line)) await once(stream, 'drain');
}
stream.end();
await once(stream, 'close');
const { size } = statSync(path);
rmSync(folder, { recursive: true });
if (size !== bytes) throw new Error(`${size} bytes of ${bytes} were written`);
