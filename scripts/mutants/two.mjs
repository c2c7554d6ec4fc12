// What the drivers beside this file share. Each is a program of two threads, each a core of the kit: `make()` makes what they share, on core 0, and both run
// `run(core, shared)`. A driver finds the kit, and the file of it that a mutant replaces, in its own address (batch.mjs).

/** How long a driver waits for what a mutant may have lost. */
export const limitMs = 15_000;

/** What imports modules of the kit, by their paths below dist/. */
export function kitOf(driver) {
  const { searchParams } = new URL(driver);
  const [dist, file, mutant] = ['dist', 'file', 'mutant'].map((name) => searchParams.get(name));
  return (path) => import(path === file ? mutant : new URL(path, dist).href);
}

const parking = new Int32Array(new SharedArrayBuffer(4));

/** Calls `step` until it says true, and lets the other thread have the processor now and then. */
export function until(step) {
  const last = performance.now() + limitMs;
  for (let steps = 1; !step(); steps++) {
    if (steps % 16 === 0) Atomics.wait(parking, 0, 0, 0.05);
    if (performance.now() > last) throw new Error('waited in vain');
  }
}

/** What both threads call, with one word of theirs, to meet: what they do from then on, until they meet again, nothing orders. */
export function meeting(buffer) {
  const arrived = new Int32Array(buffer);
  let times = 0;
  return () => {
    times++;
    Atomics.add(arrived, 0, 1);
    until(() => Atomics.load(arrived, 0) >= 2 * times);
  };
}

/**
 * Calls `act` with waits that only a notify ends: the kit's own ones look again after a millisecond, with which a notify that never comes is a delay that
 * nothing shows.
 */
export function withoutWakingBySelf(act) {
  const { wait } = Atomics;
  Atomics.wait = (view, index, value) => {
    const result = wait(view, index, value, limitMs);
    if (result === 'timed-out') throw new Error('slept until the end of time: nobody has notified it');
    return result;
  };
  try {
    return act();
  } finally {
    Atomics.wait = wait;
  }
}
