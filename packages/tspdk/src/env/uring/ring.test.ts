// The ring against the real kernel, on every rung of the ladder of features that this kernel has; and each reason for
// having none.

import assert from 'node:assert/strict';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { openDoorbell } from '../doorbell.ts';
import { SpdkError } from '../errors.ts';
import { ffi } from '../ffi.ts';
import { makeSegment } from '../segment.ts';
import { MSG_NOSIGNAL } from './layout.ts';
import { Ring, type RingOp, type RingOptions } from './ring.ts';
import { setupFailure } from './setup.ts';

const probe = Ring.open();
const reason = probe instanceof Ring ? '' : probe.reason;
if (probe instanceof Ring) probe.close();
const options = { skip: reason !== '' && reason };
const ECANCELED = -125;

/** Remembers every completion. */
class Seen implements RingOp {
  readonly results: number[] = [];
  readonly after: (res: number) => void;
  constructor(after: (res: number) => void = () => {}) {
    this.after = after;
  }
  onCqe(res: number): void {
    this.results.push(res);
    this.after(res);
  }
  get done(): boolean {
    return this.results.length > 0;
  }
}

function open(t: TestContext, ringOptions: RingOptions = {}): Ring {
  const ring = Ring.open(ringOptions);
  assert.ok(ring instanceof Ring);
  t.after(() => ring.close());
  return ring;
}

function pollUntil(ring: Ring, condition: () => boolean): void {
  while (!condition()) ring.poll();
}

function run(ring: Ring, start: (op: RingOp) => void): number {
  const op = new Seen();
  start(op);
  pollUntil(ring, () => op.done);
  return op.results[0];
}

function segment(bytes: number) {
  return makeSegment(1, new SharedArrayBuffer(bytes));
}

function file(t: TestContext): { fd: number; path: string } {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-ring-'));
  const path = join(dir, 'file');
  const fd = openSync(path, 'w+');
  t.after(() => {
    closeSync(fd);
    rmSync(dir, { recursive: true });
  });
  return { fd, path };
}

/** A connected pair of stream sockets. */
function socketpair(t: TestContext): [number, number] {
  const at = ffi!.calloc(8);
  assert.equal(ffi!.socketpair(1, 1, 0, at), 0);
  const pair = new Int32Array(ffi!.viewOf(at, 8));
  const [a, b] = pair;
  ffi!.free(at);
  t.after(() => {
    ffi!.close(a);
    ffi!.close(b);
  });
  return [a, b];
}

test('why there is no ring is said in words', () => {
  assert.match(setupFailure(1, '2'), /kernel\.io_uring_disabled = 2/);
  assert.match(setupFailure(1, '0'), /EPERM.*seccomp/);
  assert.match(setupFailure(38, ''), /ENOSYS/);
  assert.match(setupFailure(12, ''), /locked memory/);
});

test('TSPDK_NO_URING=1 and a missing FFI are reasons', () => {
  const before = process.env.TSPDK_NO_URING;
  process.env.TSPDK_NO_URING = '1';
  try {
    assert.deepEqual(Ring.open(), { reason: 'disabled by TSPDK_NO_URING=1' });
  } finally {
    if (before === undefined) delete process.env.TSPDK_NO_URING;
    else process.env.TSPDK_NO_URING = before;
  }
  if (ffi === null) assert.match(reason, /no FFI|TSPDK_NO_URING/);
});

for (const rung of [0, 1, 2, 3, 4]) {
  test(`rung ${rung}: more operations than both rings hold, all complete once`, options, (t) => {
    const ring = open(t, { entries: 8, cqEntries: 16, rung });
    const ops = Array.from({ length: 500 }, () => new Seen());
    for (const op of ops) ring.nop(op);
    pollUntil(ring, () => ops.every((op) => op.done));
    assert.deepEqual(new Set(ops.map((op) => op.results.join())), new Set(['0']));
    assert.equal(ring.inFlight, 0);
    assert.equal(ring.poll(), 0);
    assert.equal(ring.pending, false);
  });

  test(`rung ${rung}: send and receive, whichever comes first`, options, (t) => {
    const ring = open(t, { rung });
    const [a, b] = socketpair(t);
    const s = segment(8192);
    s.u8.fill(5, 0, 100);
    const received = new Seen();
    ring.recv(b, s.address + 4096, 1000, 0, received, true);
    ring.poll();
    assert.equal(received.done, false);
    assert.equal(
      run(ring, (op) => ring.send(a, s.address, 100, MSG_NOSIGNAL, op)),
      100,
    );
    pollUntil(ring, () => received.done);
    assert.deepEqual(received.results, [100]);
    assert.deepEqual(s.u8.slice(4096, 4196), s.u8.slice(0, 100));
    assert.equal(s.u8[4196], 0);
  });
}

test('an operation can begin again inside its completion', options, (t) => {
  const ring = open(t);
  const op: Seen = new Seen(() => {
    if (op.results.length < 1000) ring.nop(op);
  });
  ring.nop(op);
  pollUntil(ring, () => op.results.length === 1000);
  assert.equal(ring.inFlight, 0);
});

test('files: write, read back, allocate, punch, sync, and errors as -errno', options, (t) => {
  const ring = open(t);
  const { fd, path } = file(t);
  const s = segment(65536);
  for (let at = 0; at < 4096; at++) s.u8[at] = at & 255;
  const far = 5 * 2 ** 30 + 512;
  assert.equal(
    run(ring, (op) => ring.write(fd, s.address, 4096, far, op)),
    4096,
  );
  assert.equal(fstatSync(fd).size, far + 4096);
  assert.equal(
    run(ring, (op) => ring.read(fd, s.address + 8192, 4096, far, op)),
    4096,
  );
  assert.deepEqual(s.u8.slice(8192, 12288), s.u8.slice(0, 4096));
  assert.equal(
    run(ring, (op) => ring.fsync(fd, true, op)),
    0,
  );
  assert.equal(
    run(ring, (op) => ring.fsync(fd, false, op)),
    0,
  );
  assert.equal(
    run(ring, (op) => ring.write(fd, s.address, 512, 0, op, 2)),
    512,
  );
  assert.equal(
    run(ring, (op) => ring.fallocate(fd, 0, 2 ** 33, 4096, op)),
    0,
  );
  assert.equal(fstatSync(fd).size, 2 ** 33 + 4096);
  assert.equal(
    run(ring, (op) => ring.fallocate(fd, 3, far, 4096, op)),
    0,
  );
  assert.equal(
    run(ring, (op) => ring.read(fd, s.address + 8192, 4096, far, op)),
    4096,
  );
  assert.ok(s.u8.slice(8192, 12288).every((byte) => byte === 0));
  assert.equal(
    run(ring, (op) => ring.read(fd, s.address, 16, 2 ** 40, op)),
    0,
  );
  assert.equal(
    run(ring, (op) => ring.read(9999, s.address, 16, 0, op)),
    -9,
  );
  assert.equal(
    run(ring, (op) => ring.read(fd, 8, 16, 0, op)),
    -14,
  );
  const other = openSync(path, 'r');
  assert.equal(
    run(ring, (op) => ring.closeFd(other, op)),
    0,
  );
  assert.throws(() => fstatSync(other), { code: 'EBADF' });
});

test('files: vectors gather and scatter', options, (t) => {
  const ring = open(t);
  const { fd, path } = file(t);
  const s = segment(65536);
  const vectors = new BigUint64Array(s.sab, 0, 4);
  vectors.set([BigInt(s.address + 4096), 3n, BigInt(s.address + 5000), 4n]);
  s.u8.set(Buffer.from('abc'), 4096);
  s.u8.set(Buffer.from('defg'), 5000);
  assert.equal(
    run(ring, (op) => ring.writev(fd, s.address, 2, 10, op)),
    7,
  );
  assert.equal(readFileSync(path).subarray(10).toString(), 'abcdefg');
  s.u8.fill(0, 4096);
  assert.equal(
    run(ring, (op) => ring.readv(fd, s.address, 2, 10, op)),
    7,
  );
  assert.equal(Buffer.from(s.u8.slice(5000, 5004)).toString(), 'defg');
});

test('poll, shutdown and end of stream', options, (t) => {
  const ring = open(t);
  const [a, b] = socketpair(t);
  const s = segment(4096);
  const readable = new Seen();
  ring.pollAdd(b, 1, readable);
  ring.poll();
  assert.equal(readable.done, false);
  assert.equal(
    run(ring, (op) => ring.shutdown(a, 1, op)),
    0,
  );
  pollUntil(ring, () => readable.done);
  assert.equal(readable.results[0] & 1, 1);
  assert.equal(
    run(ring, (op) => ring.recv(b, s.address, 10, 0, op)),
    0,
  );
  assert.equal(
    run(ring, (op) => ring.send(a, s.address, 10, MSG_NOSIGNAL, op)),
    -32,
  );
});

test('a nap ends with its time, or with one completion more than was queued', options, (t) => {
  const ring = open(t);
  if (!ring.canNap) {
    t.skip('this kernel has no timed wait');
    return;
  }
  const [a, b] = socketpair(t);
  const s = segment(4096);
  assert.equal(ring.nap(1000), true);
  assert.equal(ring.poll(), 0);
  // What is queued goes to the kernel with the nap, and does not end it.
  const [nop, late] = [new Seen(), new Seen()];
  ring.nop(nop);
  ring.nap(1000);
  assert.equal(ring.poll(), 1);
  assert.equal(nop.done, true);
  ring.recv(b, s.address, 10, 0, late);
  ring.poll();
  assert.equal(ffi!.write(a, s.address, 4), 4);
  for (let naps = 0; !late.done; naps++) {
    assert.ok(naps < 5, 'the completion ends the nap');
    ring.nap(60_000_000);
    ring.poll();
  }
  assert.deepEqual(late.results, [4]);
});

test('cancel ends what waits, and says so when there is nothing to end', options, (t) => {
  const ring = open(t);
  const [a] = socketpair(t);
  const s = segment(4096);
  const waiting = new Seen();
  ring.recv(a, s.address, 10, 0, waiting);
  ring.poll();
  const done = new Seen();
  assert.equal(ring.cancel(waiting, done), true);
  pollUntil(ring, () => waiting.done && done.done);
  assert.deepEqual(waiting.results, [ECANCELED]);
  assert.deepEqual(done.results, [0]);
  assert.equal(ring.cancel(waiting), false);
});

test('a callback that throws costs no other completion', options, (t) => {
  const ring = open(t);
  const ops = Array.from({ length: 6 }, (_, index) => {
    return new Seen(() => {
      if (index === 2) throw new Error('mine');
    });
  });
  for (const op of ops) ring.nop(op);
  assert.throws(() => ring.poll(), /mine/);
  pollUntil(ring, () => ops.every((op) => op.done));
  assert.ok(ops.every((op) => op.results.length === 1));
});

test('close delivers everything in flight, then refuses, and gives descriptors back', options, (t) => {
  const count = () => readdirSync('/proc/self/fd').length;
  const before = count();
  const [a] = socketpair(t);
  const s = segment(65536);
  for (let round = 0; round < 20; round++) {
    const ring = Ring.open({ entries: 8 });
    assert.ok(ring instanceof Ring);
    const ops = Array.from({ length: 100 }, () => new Seen());
    ops.forEach((op, index) => {
      ring.recv(a, s.address + index * 16, 16, 0, op);
    });
    if (round % 2 === 0) ring.poll();
    ring.close();
    assert.deepEqual(new Set(ops.map((op) => op.results.join())), new Set([String(ECANCELED)]));
    assert.throws(
      () => ring.nop(ops[0]),
      (error: SpdkError) => error instanceof SpdkError && error.code === 'ESHUTDOWN',
    );
    assert.equal(ring.poll(), 0);
    ring.close();
  }
  assert.equal(count(), before + 2);
  assert.ok(s.u8.every((byte) => byte === 0));
});

test('an armed eventfd wakes the loop for a completion; a disarmed one is silent', options, async (t) => {
  const ring = open(t);
  const bell = openDoorbell();
  t.after(() => bell.close());
  ring.registerEventfd(bell.fd);
  const [a, b] = socketpair(t);
  const s = segment(4096);
  const received = new Seen();
  ring.recv(b, s.address, 10, 0, received);
  ring.poll();
  ring.armEventfd();
  assert.equal(ring.pending, false);
  ffi!.write(a, s.address, 5);
  // Only the eventfd can run this immediate: nothing else is going on in the loop.
  await new Promise<void>((resolve) => {
    const turn = () => (bell.wakes > 0 ? resolve() : void setImmediate(turn).unref());
    turn();
  });
  assert.equal(ring.pending, true);
  // First disarmed, then polled: the completions that this poll fetches would signal once more.
  ring.disarmEventfd();
  pollUntil(ring, () => received.done);
  const wakes = bell.wakes;
  ring.recv(b, s.address, 10, 0, received);
  ring.poll();
  ffi!.write(a, s.address, 5);
  pollUntil(ring, () => received.results.length === 2);
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bell.wakes, wakes);
});

test('random mixes of operations end as a model says', options, (t) => {
  const { fd } = file(t);
  const size = 4096;
  const step = fc.oneof(
    fc.record({ kind: fc.constant('write' as const), at: fc.nat(size - 64), bytes: fc.integer({ min: 1, max: 64 }) }),
    fc.record({ kind: fc.constant('send' as const), bytes: fc.integer({ min: 1, max: 64 }) }),
    fc.record({ kind: fc.constant('recv' as const), bytes: fc.integer({ min: 1, max: 64 }) }),
    fc.record({ kind: fc.constant('nop' as const) }),
    fc.record({ kind: fc.constant('poll' as const) }),
    fc.record({ kind: fc.constant('cancel' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.constantFrom(4, 16, 64), (steps, entries) => {
      const ring = open(t, { entries, cqEntries: entries * 2 });
      const [a, b] = socketpair(t);
      const s = segment(65536);
      const model = new Uint8Array(size);
      assert.equal(
        run(ring, (op) => ring.write(fd, s.address, size, 0, op)),
        size,
      );
      const ops: Seen[] = [];
      let sent = 0;
      let received = 0;
      let receiving: Seen | undefined;
      let writing: Seen | undefined;
      for (const [index, each] of steps.entries()) {
        const op = new Seen();
        const place = 8192 + (index % 256) * 128;
        if (each.kind === 'write') {
          // One write at a time: the kernel does not order those of one batch.
          const last = writing;
          if (last !== undefined) pollUntil(ring, () => last.done);
          s.u8.fill(index, place, place + each.bytes);
          model.fill(index, each.at, each.at + each.bytes);
          ring.write(fd, s.address + place, each.bytes, each.at, op);
          writing = op;
        } else if (each.kind === 'send') {
          for (let at = 0; at < each.bytes; at++) s.u8[place + at] = sent + at;
          assert.equal(
            run(ring, (sending) => ring.send(a, s.address + place, each.bytes, 0, sending)),
            each.bytes,
          );
          sent += each.bytes;
          continue;
        } else if (each.kind === 'recv') {
          if (receiving !== undefined && !receiving.done) continue;
          receiving = new Seen((res) => {
            assert.ok(res === ECANCELED || (res > 0 && res <= each.bytes));
            for (let at = 0; at < res; at++) assert.equal(s.u8[4096 + at], (received + at) & 255);
            if (res > 0) received += res;
          });
          ring.recv(b, s.address + 4096, each.bytes, 0, receiving);
          ops.push(receiving);
          continue;
        } else if (each.kind === 'nop') {
          ring.nop(op);
        } else if (each.kind === 'cancel') {
          assert.equal(ring.cancel(receiving ?? op), receiving !== undefined && !receiving.done);
          continue;
        } else {
          ring.poll();
          continue;
        }
        ops.push(op);
      }
      ring.submit();
      pollUntil(ring, () => ops.every((op) => op.done || op === receiving));
      ring.close();
      assert.ok(ops.every((op) => op.results.length === 1));
      assert.ok(received <= sent);
      const check = Ring.open();
      assert.ok(check instanceof Ring);
      assert.equal(
        run(check, (op) => check.read(fd, s.address, size, 0, op)),
        size,
      );
      check.close();
      assert.deepEqual(s.u8.slice(0, size), model);
    }),
    { numRuns: 150 },
  );
});
