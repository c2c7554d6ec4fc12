// A balance of 64 bits: all accesses are atomic.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';

function payer(shared) {
  const balance = new BigInt64Array(shared, 24, 1);
  for (let round = 0; round < 20; round++) Atomics.add(balance, 0, 1_000_000_000_000n);
}

function auditor(shared) {
  const balance = new BigInt64Array(shared, 24, 1);
  const seen = Atomics.load(balance, 0);
  if (seen > 20_000_000_000_000n) throw new Error('torn');
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(64);
  for (const role of ['payer', 'auditor']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const roles = { payer, auditor };
  roles[workerData.role](workerData.shared);
}
