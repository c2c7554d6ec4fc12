// A node:test reporter that writes one JSON object a line, for scripts/test.mjs to read: each test's start, result and, at the end, that the
// end was reached. Written as it happens, so that a file that crashed or hung still tells which test it was in.

import { inspect } from 'node:util';

// biome-ignore lint/style/noDefaultExport: node takes a reporter from a module's default export.
export default async function* report(source) {
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      yield line({ type: 'start', name: data.name, nesting: data.nesting });
    } else if (type === 'test:pass' || type === 'test:fail') {
      // A suite is a heading; a test that failed only because one inside it did says nothing new.
      const error = data.details?.error;
      const counted = data.details?.type !== 'suite' && error?.failureType !== 'subtestsFailed';
      const skip = data.skip ?? data.todo;
      yield line({
        type: type === 'test:pass' ? 'pass' : 'fail',
        name: data.name,
        nesting: data.nesting,
        counted,
        skip: skip === undefined || skip === false ? undefined : String(skip),
        error: type === 'test:fail' && counted ? inspect(error?.cause ?? error, { depth: 6 }) : undefined,
        at: data.file === undefined ? undefined : `${data.file}:${data.line ?? 0}`,
      });
    }
  }
  yield line({ type: 'end' });
}

function line(value) {
  return `${JSON.stringify(value)}\n`;
}
