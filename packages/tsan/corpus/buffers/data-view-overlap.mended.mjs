// Fields of a record behind a DataView: the byte lies behind the field.
// expect: none

import { Worker } from 'node:worker_threads';

function writer(shared) {
  const record = new DataView(shared);
  record.setInt32(3, 1);
}

function reader(shared) {
  const record = new DataView(shared);
  if (record.getInt8(7) > 1) throw new Error('impossible');
}

const shared = new SharedArrayBuffer(64);
for (const role of [writer, reader]) {
  const source = `import { workerData } from 'node:worker_threads';\n(${role})(workerData);`;
  new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: shared });
}
