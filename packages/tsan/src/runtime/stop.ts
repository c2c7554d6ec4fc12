// The end of the whole process, from any of its threads, where the sanitizer itself cannot go on: said on stderr, rather than an exception in the program,
// which would take it for its own.

import { writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const exit = process.exit.bind(process);
const kill = process.kill.bind(process);

export function stopProcess(reason: string): never {
  try {
    writeSync(2, `ThreadSanitizer: ${reason}; stopped\n`);
  } catch {
    // Nobody listens any more.
  }
  if (isMainThread) exit(1);
  // A worker can end only itself, or everything at once.
  kill(process.pid, 'SIGKILL');
  throw new Error('unreachable');
}
