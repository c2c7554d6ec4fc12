// A bounded buffer with a mutex: an item is read after the mutex was released.
// expect: plain/plain

const { isMainThread, Worker, workerData } = require('node:worker_threads');

function lock(mutex, at = 0) {
  while (Atomics.compareExchange(mutex, at, 0, 1) !== 0) Atomics.wait(mutex, at, 1);
}

function unlock(mutex, at = 0) {
  Atomics.store(mutex, at, 0);
  Atomics.notify(mutex, at, 1);
}

function producer(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  const counts = new Int32Array(shared, 16, 2);
  const changed = new Int32Array(shared, 32, 1);
  const items = new Int32Array(shared, 64, 2);
  for (let made = 0; made < 40; ) {
    const seen = Atomics.load(changed, 0);
    lock(mutex);
    const room = counts[0] - counts[1] < 2;
    if (room) {
      items[counts[0]++ % 2] = made++;
      Atomics.add(changed, 0, 1);
    }
    unlock(mutex);
    if (room) Atomics.notify(changed, 0);
    else Atomics.wait(changed, 0, seen);
  }
}

function consumer(shared) {
  const mutex = new Int32Array(shared, 0, 1);
  const counts = new Int32Array(shared, 16, 2);
  const changed = new Int32Array(shared, 32, 1);
  const items = new Int32Array(shared, 64, 2);
  for (let taken = 0; taken < 40; ) {
    const seen = Atomics.load(changed, 0);
    lock(mutex);
    const at = counts[1] % 2;
    const some = counts[0] > counts[1];
    if (some) {
      taken++;
      counts[1]++;

      Atomics.add(changed, 0, 1);
    }
    unlock(mutex);
    if (some) Atomics.notify(changed, 0);
    else Atomics.wait(changed, 0, seen);
    if (some && items[at] > 40) throw new Error('impossible');
  }
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(256);
  new Worker(__filename, { workerData: shared });
  producer(shared);
} else {
  consumer(workerData);
}
