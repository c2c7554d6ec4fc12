// Reports for the tests of this folder: one race with everything in it, and a way to vary it.

import type { Frame, Report } from './report.ts';

export function frame(name: string, file: string, line: number, column = 1): Frame {
  return { function: name, file, line, column };
}

export const race: Report = {
  kind: 'plain/atomic',
  title: 'data race',
  accesses: [
    {
      op: 'write',
      size: 4,
      offset: 16,
      thread: 1,
      stack: [frame('publish', '/repo/src/ring.mjs', 3, 7), frame('', '/repo/src/worker.mjs', 9, 1)],
      locks: [5],
    },
    { op: 'atomic read', size: 4, offset: 16, thread: 0, stack: [frame('take', '/repo/src/ring.mjs', 12, 20)] },
  ],
  location: { buffer: 2, size: 64, thread: 0, stack: [frame('', '/repo/src/main.mjs', 1, 13)] },
  locks: [{ id: 5, name: 'ring', stack: [frame('create', '/repo/src/lock.mjs', 2, 3)] }],
  threads: [
    { id: 0, tid: 0, running: true },
    { id: 1, tid: 1, name: 'producer', running: false, parent: 0, stack: [frame('', '/repo/src/main.mjs', 5, 1)] },
  ],
};
