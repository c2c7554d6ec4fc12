// A block that is handed to another thread: the giver writes into it before.
// expect: none

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { region } from '@tspdk/tsan';

function sleepUntilSet(flags, at) {
  while (Atomics.load(flags, at) === 0) Atomics.wait(flags, at, 0);
}

function set(flags, at, value = 1) {
  Atomics.store(flags, at, value);
  Atomics.notify(flags, at);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(128);
  for (const role of ['giver', 'taker']) new Worker(new URL(import.meta.url), { workerData: { shared, role } });
} else {
  const { shared, role } = workerData;
  const parcels = region('transferable', 'parcels');
  const turn = new Int32Array(shared, 0, 1);
  const parcel = new Uint8Array(shared, 64, 8);
  if (role === 'giver') {
    parcels.alloc(parcel, 0, 8);
    parcel[3] = 1;
    parcels.handoff(parcel, 0);
    set(turn, 0);
  } else {
    sleepUntilSet(turn, 0);
    parcel[4] = parcel[3];
    parcels.free(parcel, 0);
  }
}
