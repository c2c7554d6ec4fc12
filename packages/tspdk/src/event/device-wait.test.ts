// How long a core sleeps while a device works, against a model of one: what of its waits it sleeps through, and how late it is for what comes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../env/random.ts';
import { DeviceWait } from './device-wait.ts';

interface Device {
  /** The time that the n-th wait takes, µs. */
  readonly waitUs: (n: number) => number;
  /** How late the n-th nap ends; a core that is woken by a completion is as late. */
  readonly lateUs: (n: number) => number;
}

interface Told {
  /** Shares of the waits that were slept, and after which the completion had to wait. */
  readonly slept: number;
  readonly missed: number;
  /** µs that a completion had to wait, on average. */
  readonly delayUs: number;
}

/** Waits `from` to `to` of a core that looks once a microsecond when it does not sleep. */
function run(wait: DeviceWait, { waitUs, lateUs }: Device, from: number, to: number): Told {
  let now = from * 10_000;
  const clock = { nowUs: now, tick: () => {}, read: () => now };
  let [slept, missed, delayed, waited] = [0, 0, 0, 0];
  for (let n = from; n < to; n++) {
    const begin = now;
    const comes = begin + waitUs(n);
    let asleepUs = 0;
    do {
      clock.nowUs = now;
      const us = Math.min(wait.napUs(clock), 400);
      if (us < 3) now++;
      else {
        const end = Math.min(now + us, Math.max(comes, now)) + lateUs(n);
        wait.napped(us, end - now, end);
        asleepUs += end - now;
        now = end;
      }
    } while (now < comes);
    wait.ended(now);
    slept += asleepUs;
    if (now - comes > 1) missed++;
    delayed += now - comes;
    waited += now - begin;
  }
  return { slept: slept / waited, missed: missed / (to - from), delayUs: delayed / (to - from) };
}

test('most of a wait of 200 µs is slept, and the core is back before it ends', () => {
  const random = new Random(1);
  const device = { waitUs: () => 190 + random.int(20), lateUs: () => 20 + random.int(10) };
  const wait = new DeviceWait();
  run(wait, device, 0, 200);
  const { slept, missed, delayUs } = run(wait, device, 200, 1200);
  assert.ok(slept > 0.6, `${slept} slept`);
  assert.ok(missed < 0.01, `${missed} missed`);
  assert.ok(delayUs < 2, `${delayUs} µs late`);
});

test('a wait that is no longer than it takes to be woken is polled for; a nap is tried now and then', () => {
  const device = { waitUs: () => 30, lateUs: () => 25 };
  const { slept, missed } = run(new DeviceWait(), device, 0, 10_000);
  assert.ok(slept < 0.01, `${slept} slept`);
  assert.ok(missed < 0.01, `${missed} missed`);
});

test('what becomes faster is found late a few times only; what becomes slower is slept through more in the end', () => {
  const lateUs = () => 25;
  const wait = new DeviceWait();
  run(wait, { waitUs: () => 350, lateUs }, 0, 200);
  const faster = { waitUs: () => 120, lateUs };
  const { missed } = run(wait, faster, 200, 300);
  assert.ok(missed > 0 && missed <= 0.1, `${missed} missed`);
  assert.equal(run(wait, faster, 300, 400).missed, 0);
  const slower = { waitUs: () => 250, lateUs };
  const before = run(wait, slower, 400, 405).slept;
  const after = run(wait, slower, 500, 600).slept;
  assert.ok(after > before && after > 0.6, `${before} slept at first, ${after} in the end`);
});

test('completions that trickle in after the first do not make the waits between interrupts look short', () => {
  const device = { waitUs: (n: number) => (n % 1000 === 0 ? 250 : 1 + (n % 4)), lateUs: () => 25 };
  const wait = new DeviceWait();
  run(wait, device, 0, 100_000);
  const { slept, missed } = run(wait, device, 100_000, 300_000);
  assert.ok(slept > 0.05, `${slept} slept`);
  assert.equal(missed, 0);
});

test('naps that ended very late for a while are tried again', () => {
  const device = { waitUs: () => 120, lateUs: (n: number) => (n >= 200 && n < 400 ? 5000 : 20) };
  const wait = new DeviceWait();
  run(wait, device, 0, 400);
  assert.equal(run(wait, device, 400, 410).slept, 0, 'not at once');
  const { slept, missed } = run(wait, device, 1500, 2500);
  assert.ok(slept > 0.5, `${slept} slept`);
  assert.ok(missed < 0.05, `${missed} missed`);
});

test('a wait far longer than usual is slept through, and forgotten', () => {
  const device = { waitUs: (n: number) => (n === 200 ? 10_000_000 : 120), lateUs: () => 25 };
  const wait = new DeviceWait();
  run(wait, device, 0, 200);
  const { slept } = run(wait, device, 200, 201);
  assert.ok(slept > 0.99, `${slept} slept`);
  const { missed } = run(wait, device, 201, 301);
  assert.ok(missed <= 0.02, `${missed} missed`);
});
