// One connection past its handshake, without sockets: the bytes that go in and the bytes that must come out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../env/limits.ts';
import { cat, clientFlags, go, type RequestFields, request, text } from './client.sim.ts';
import { assertQuiet, FakeExport, type FakeExportOptions, World, type WorldOptions } from './fakes.sim.ts';
import { Session } from './session.sim.ts';

const READ = 0;
const WRITE = 1;
const DISC = 2;
const FLUSH = 3;
const TRIM = 4;
const CACHE = 5;
const ZEROES = 6;
const STATUS = 7;

function world(exp: FakeExportOptions = {}, options: WorldOptions = {}): World {
  return new World({ exports: [new FakeExport(exp)], ...options });
}

function pattern(bytes: number, seed: number): Uint8Array {
  const out = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) out[i] = (i * 31 + seed * 17 + (i >>> 8)) & 255;
  return out;
}

const disks: [string, FakeExportOptions][] = [
  ['memory disk', { memory: true, sizeBytes: 4 * 1024 * 1024 }],
  ['other disk', { sizeBytes: 4 * 1024 * 1024 }],
  [
    'other disk with volatile cache, 4 KiB blocks',
    { sizeBytes: 4 * 1024 * 1024, blockBytes: 4096, volatileCache: true },
  ],
];

for (const [what, exp] of disks) {
  for (const structured of [false, true]) {
    test(`${what}, ${structured ? 'structured' : 'simple'} replies: what is written is read, at every size`, () => {
      const all = world(exp);
      const session = new Session(all, structured);
      for (const bytes of [4096, 8192, 12288, 65536, 131072, 135168, 1048576, 2 * 1048576]) {
        const data = pattern(bytes, bytes);
        assert.equal(session.error({ type: WRITE, offset: 1048576 + 4096, data, flags: bytes === 8192 ? 1 : 0 }), 0);
        assert.deepEqual(session.ask({ type: READ, offset: 1048576 + 4096, length: bytes }).data, data);
        assert.deepEqual(all.exports[0].disk.u8.slice(1052672, 1052672 + bytes), data);
        session.sock.output.length = 0;
      }
      session.disconnect();
      assertQuiet(all);
      assert.deepEqual(all.reasons, []);
    });
  }
}

test('a memory disk takes and gives any byte range', () => {
  const all = world({ memory: true });
  const session = new Session(all);
  assert.equal(session.error({ type: WRITE, offset: 3, data: text('hello') }), 0);
  assert.deepEqual(session.ask({ type: READ, offset: 4, length: 3 }).data, text('ell'));
  assert.equal(session.error({ type: ZEROES, offset: 4, length: 2000 }), 0);
  assert.deepEqual(session.ask({ type: READ, offset: 2, length: 4 }).data, Uint8Array.of(0, 104, 0, 0));
  session.disconnect();
  assertQuiet(all);
});

for (const gated of ['gated', 'gatedUnawares'] as const) {
  test(`a memory disk that cannot be reached in place for a while takes and gives any byte range by I/O (${gated})`, () => {
    const all = world({ memory: true, sizeBytes: 4 * 1024 * 1024 });
    const [disk] = all.exports;
    const session = new Session(all, true);
    const data = pattern(300_000, 1);
    for (const on of [true, false, true]) {
      disk[gated] = on;
      for (const [offset, length] of [
        [1, 1],
        [511, 2],
        [5000, 100],
        [700_001, 200_007],
        [1_000_000, 300_000],
      ]) {
        const part = data.subarray(0, length);
        assert.equal(session.error({ type: WRITE, offset, data: part }), 0);
        assert.deepEqual(disk.disk.u8.slice(offset, offset + length), part);
        assert.deepEqual(session.ask({ type: READ, offset, length }).data, part);
        assert.equal(session.error({ type: ZEROES, offset, length: Math.ceil(length / 2) }), 0);
        assert.equal(disk.disk.u8[offset], 0);
      }
    }
    // Many, some too large for one buffer; the way in place closes while their replies wait.
    disk[gated] = false;
    disk.disk.u8.set(data, 0);
    session.sock.stuck = true;
    const cookies = Array.from({ length: 20 }, (_, i) => ({
      i,
      cookie: session.say({ type: READ, offset: i, length: 1 + i * 13_000 }),
    }));
    all.settle();
    disk[gated] = true;
    session.sock.stuck = false;
    all.settle();
    for (const { i, cookie } of cookies) {
      assert.deepEqual(session.replies().get(cookie)?.data, data.slice(i, i + 1 + i * 13_000));
    }
    session.disconnect();
    assertQuiet(all);
  });
}

test('requests that are forbidden get the error that the document names, and the connection lives', () => {
  const MiB = 1048576;
  const all = world({ sizeBytes: MiB, fastZero: false });
  const session = new Session(all, true);
  const cases: [RequestFields, number, string][] = [
    [{ type: READ, offset: MiB, length: 512 }, 22, 'read beyond the end'],
    [{ type: READ, offset: MiB - 512, length: 1024 }, 22, 'read across the end'],
    [{ type: READ, offset: 2n ** 63n, length: 512 }, 22, 'read far beyond'],
    [{ type: READ, offset: 0xffff_ffff_ffff_fe00n, length: 1024 }, 22, 'offset + length overflows'],
    [{ type: READ, offset: 0, length: 32 * MiB + 512 }, 22, 'read longer than the maximum'],
    [{ type: READ, offset: 0, length: 0xffff_fe00 }, 22, 'read of almost 4 GiB'],
    [{ type: WRITE, offset: MiB, data: new Uint8Array(512) }, 28, 'write beyond the end'],
    [{ type: WRITE, offset: MiB - 512, data: new Uint8Array(1024) }, 28, 'write across the end'],
    [{ type: WRITE, offset: 2n ** 60n, data: new Uint8Array(300 * 1024) }, 28, 'large write beyond the end'],
    [{ type: WRITE, offset: 100, data: new Uint8Array(512) }, 22, 'unaligned write'],
    [{ type: READ, offset: 0, length: 100 }, 22, 'unaligned read'],
    [{ type: TRIM, offset: MiB, length: 512 }, 22, 'trim beyond the end'],
    [{ type: ZEROES, offset: MiB, length: 512 }, 28, 'write zeroes beyond the end'],
    [{ type: ZEROES, offset: 0, length: 512, flags: 16 }, 95, 'fast zero where zeroes are slow'],
    [{ type: CACHE, offset: MiB, length: 512 }, 22, 'cache beyond the end'],
    [{ type: STATUS, offset: MiB, length: 512 }, 22, 'status beyond the end'],
    [{ type: STATUS, offset: 0, length: 0 }, 22, 'status of nothing'],
    [{ type: FLUSH, offset: 512, length: 0 }, 22, 'flush with an offset'],
    [{ type: FLUSH, offset: 0, length: 512 }, 22, 'flush with a length'],
    [{ type: READ, offset: 0, length: 512, flags: 2 }, 22, 'NO_HOLE on read'],
    [{ type: WRITE, offset: 0, data: new Uint8Array(512), flags: 4 }, 22, 'DF on write'],
    [{ type: READ, offset: 0, length: 512, flags: 0x8000 }, 22, 'unknown flag'],
    [{ type: 8, offset: 0, length: 2 * MiB }, 22, 'resize'],
    [{ type: 9 }, 22, 'unknown command'],
    [{ type: 0xffff, length: 0xffff_ffff }, 22, 'unknown command with a length'],
  ];
  for (const [fields, error, why] of cases) assert.equal(session.error(fields), error, why);
  assert.equal(session.error({ type: WRITE, offset: 0, data: pattern(512, 1) }), 0);
  session.disconnect();
  assertQuiet(all);
  assert.deepEqual(all.reasons, []);
});

test('DF: refused without structured replies; too long overflows; one chunk otherwise', () => {
  const simple = world();
  assert.equal(new Session(simple).error({ type: READ, length: 512, flags: 4 }), 22);
  const all = world({ sizeBytes: 2 * 1048576 });
  const session = new Session(all, true);
  assert.equal(session.ask({ type: READ, length: 1048576, flags: 4 }).chunks, 1);
  assert.equal(session.ask({ type: READ, offset: 65536, length: 1048576 }).chunks, 9);
  session.sock.output.length = 0;
  assert.equal(session.error({ type: READ, length: 33 * 1048576, flags: 4 }), 22, 'beyond the end comes first');
});

test('a read-only export refuses what writes with EPERM', () => {
  const all = world({ readOnly: true });
  const session = new Session(all);
  assert.equal(session.error({ type: WRITE, data: new Uint8Array(512) }), 1);
  assert.equal(session.error({ type: WRITE, data: new Uint8Array(400 * 1024) }), 1);
  assert.equal(session.error({ type: TRIM, length: 512 }), 1);
  assert.equal(session.error({ type: ZEROES, length: 512 }), 1);
  assert.equal(session.error({ type: READ, length: 512 }), 0);
});

test('requests of no length succeed and do nothing', () => {
  const all = world();
  for (const structured of [false, true]) {
    const session = new Session(all, structured);
    for (const type of [READ, WRITE, TRIM, CACHE, ZEROES]) {
      assert.equal(session.error({ type, offset: 512, length: 0 }), 0);
    }
    session.disconnect();
  }
  assertQuiet(all);
});

test('TRIM takes whole blocks only, WRITE_ZEROES everything', () => {
  const all = world({ memory: true, blockBytes: 4096 });
  const session = new Session(all);
  all.exports[0].disk.u8.fill(7);
  assert.equal(session.error({ type: TRIM, offset: 100, length: 8192 }), 0);
  assert.equal(all.exports[0].disk.u8.indexOf(0), 4096);
  assert.equal(all.exports[0].disk.u8.indexOf(7, 4096), 8192);
  assert.equal(session.error({ type: TRIM, offset: 1, length: 100 }), 0);
  all.exports[0].disk.u8.fill(7);
  assert.equal(session.error({ type: ZEROES, offset: 100, length: 8192 }), 0);
  assert.equal(all.exports[0].disk.u8.indexOf(0), 100);
  assert.equal(all.exports[0].disk.u8.indexOf(7, 100), 8292);
});

test('FUA flushes a volatile cache after the write and before the reply, and only then', () => {
  for (const volatileCache of [true, false]) {
    const all = world({ volatileCache, sizeBytes: 1048576 });
    const session = new Session(all);
    const [exp] = all.exports;
    for (const fields of [
      { type: WRITE, data: new Uint8Array(512), flags: 1 },
      { type: WRITE, data: new Uint8Array(512 * 1024), flags: 1 },
      { type: ZEROES, length: 512, flags: 1 },
      { type: TRIM, length: 512, flags: 1 },
    ]) {
      exp.flushes = 0;
      assert.equal(session.error(fields), 0);
      assert.equal(exp.flushes, volatileCache ? 1 : 0);
    }
    exp.flushes = 0;
    session.error({ type: WRITE, data: new Uint8Array(512) });
    session.error({ type: READ, length: 512, flags: 1 });
    assert.equal(exp.flushes, 0);
    session.error({ type: FLUSH });
    assert.equal(exp.flushes, 1);
  }
});

test('BLOCK_STATUS: extents of the range, merged, one if one is asked for', () => {
  const all = world();
  const session = new Session(all, true);
  const reply = session.ask({ type: STATUS, offset: 2048, length: 8192 });
  assert.deepEqual(reply.extents, [
    { bytes: 2048, flags: 0 },
    { bytes: 4096, flags: 3 },
    { bytes: 2048, flags: 0 },
  ]);
  assert.deepEqual(session.ask({ type: STATUS, offset: 4096, length: 8192, flags: 8 }).extents, [
    { bytes: 4096, flags: 3 },
  ]);
  const many = session.ask({ type: STATUS, length: 1048576 }).extents;
  assert.ok(many.length >= 16 && many.length <= 256);
  assert.ok(many.every((extent) => extent.bytes === 4096));
  const plain = new Session(all, false);
  assert.equal(plain.error({ type: STATUS, length: 512 }), 22, 'no context was chosen');
});

test('errors of the disk reach the client as the errors of the protocol', () => {
  const all = world({ sizeBytes: 4 * 1048576 });
  const [exp] = all.exports;
  for (const structured of [false, true]) {
    const session = new Session(all, structured);
    for (const [status, error] of [
      [-5, 5],
      [-28, 28],
      [-122, 28],
      [-27, 28],
      [-30, 1],
      [-19, 108],
      [-110, 5],
      [-95, 22],
      [-12, 12],
    ]) {
      exp.failWith = status;
      assert.equal(session.error({ type: READ, length: 4096 }), error);
      assert.equal(session.error({ type: READ, length: 1048576 }), error);
      assert.equal(session.error({ type: WRITE, data: new Uint8Array(4096) }), error);
      assert.equal(session.error({ type: WRITE, data: new Uint8Array(1048576) }), error);
      assert.equal(session.error({ type: FLUSH }), error);
      assert.equal(session.error({ type: TRIM, length: 4096 }), status === -95 ? 0 : error);
      assert.equal(session.error({ type: ZEROES, length: 4096, flags: 16 }), status === -95 ? 95 : error);
      session.sock.output.length = 0;
    }
    exp.failWith = 0;
    session.disconnect();
  }
  assertQuiet(all);
});

test('a READ that fails half-way: an error chunk when fragments are allowed, else the end of the connection', () => {
  for (const mode of ['fragments', 'df', 'simple']) {
    const all = world({ sizeBytes: 4 * 1048576 }, { large: 2 });
    const session = new Session(all, mode !== 'simple');
    session.say({ type: READ, length: 1048576, flags: mode === 'df' ? 4 : 0 });
    while (session.sock.output.length === 0) assert.ok(all.step());
    all.exports[0].failWith = -5;
    all.settle();
    if (mode === 'fragments') {
      const [reply] = session.replies().values();
      assert.equal(reply.error, 5);
      all.exports[0].failWith = 0;
      assert.equal(session.error({ type: READ, length: 4096 }), 0);
      session.disconnect();
    } else assert.match(all.reasons[0], /after the header/);
    assertQuiet(all);
  }
});

test('wrong magic and a WRITE beyond the limit cost the connection and one line', () => {
  for (const bytes of [
    request({ type: READ, magic: 0x25609514, length: 512 }),
    request({ type: WRITE, length: limits.nbd_payload_bytes_max + 1 }),
    request({ type: WRITE, length: 0xffff_ffff }),
  ]) {
    const all = world();
    const session = new Session(all);
    session.sock.say(bytes);
    assertQuiet(all);
    assert.equal(all.reasons.length, 1);
    assert.ok(session.sock.closed);
  }
});

test('DISC: what was asked before is done and answered, what comes after is not looked at', () => {
  const all = world();
  const session = new Session(all);
  const data = pattern(4096, 3);
  const write = session.say({ type: WRITE, offset: 8192, data });
  const read = session.say({ type: READ, offset: 0, length: 4096 });
  session.sock.say(cat(request({ type: DISC }), request({ type: WRITE, offset: 0, data })));
  assertQuiet(all);
  const replies = session.replies();
  assert.equal(replies.get(write)?.error, 0);
  assert.equal(replies.get(read)?.error, 0);
  assert.equal(replies.size, 2);
  assert.deepEqual(all.exports[0].disk.u8.slice(8192, 12288), data);
  assert.equal(all.exports[0].disk.u8[0], 0);
});

test('the end of the stream at any byte gives everything back', () => {
  for (const memory of [true, false]) {
    const probe = new Session(world({ memory }));
    const large = 260 * 1024;
    const stream = cat(
      probe.bytes({ type: WRITE, data: new Uint8Array(512) }),
      probe.bytes({ type: READ, length: 4096 }),
      probe.bytes({ type: READ, length: 300 * 1024 }),
      probe.bytes({ type: WRITE, data: new Uint8Array(large) }),
      probe.bytes({ type: READ, length: 512 }),
    );
    const all = world({ memory }, { small: 1, large: 1 });
    // Also right behind the header of the large WRITE, of whose data nothing comes.
    const ends = [stream.length - large - probe.bytes({ type: READ, length: 512 }).length];
    for (let at = 0; at < stream.length; at += at < 700 || at > stream.length - 60 ? 7 : 9973) ends.push(at);
    for (const at of ends) {
      const session = new Session(all);
      session.sock.say(stream.subarray(0, at));
      session.sock.end();
      assertQuiet(all);
    }
    assert.deepEqual(all.reasons, []);
  }
});

test('a broken socket gives everything back and is told once', () => {
  const all = world();
  const session = new Session(all);
  session.say({ type: READ, length: 4096 });
  session.sock.break(104);
  assertQuiet(all);
  assert.match(all.reasons[0], /104/);
});

test('no buffers: requests wait in order and none fails', () => {
  const all = world({ sizeBytes: 4 * 1048576, depth: 2 }, { small: 1, large: 1 });
  const sessions = [new Session(all), new Session(all, true)];
  all.exports[0].disk.u8.set(pattern(4 * 1048576, 9));
  const asked = sessions.map((session, s) =>
    Array.from({ length: 60 }, (_, i) => {
      const length = [512, 8192, 100 * 1024, 700 * 1024][i % 4];
      const offset = 512 * (i + s);
      return { offset, length, cookie: session.say({ type: READ, offset, length }) };
    }),
  );
  all.settle();
  sessions.forEach((session, s) => {
    const replies = session.replies();
    for (const { offset, length, cookie } of asked[s]) {
      assert.equal(replies.get(cookie)?.error, 0);
      assert.deepEqual(replies.get(cookie)?.data, all.exports[0].disk.u8.slice(offset, offset + length));
    }
    session.disconnect();
  });
  assertQuiet(all);
});

test('a client that never reads is not read any more, and holds no more than its slots', () => {
  const all = world({ memory: true });
  const session = new Session(all);
  session.sock.stuck = true;
  const one = request({ type: READ, length: 65536 });
  for (let i = 0; i < 2000; i++) session.sock.say(one);
  all.settle();
  assert.equal(session.connection.inProgress, limits.nbd_requests);
  assert.ok(session.sock.unread > 28 * (2000 - limits.nbd_requests) - limits.nbd_recv_bytes);
  const other = new Session(all);
  assert.equal(other.error({ type: READ, length: 512 }), 0, 'others are served');
  session.sock.stuck = false;
  all.settle();
  assert.equal(session.sock.unread, 0, 'and it goes on when the client reads');
  assert.equal(session.sock.heard().length, 2000 * (16 + 65536));
  other.disconnect();
  session.sock.end();
  assertQuiet(all);
});

test('replies that are ready together go out together', () => {
  const all = world({ memory: true });
  const session = new Session(all);
  const parts: Uint8Array[] = [];
  for (let i = 0; i < 32; i++) parts.push(session.bytes({ type: READ, offset: i * 4096, length: 4096 }));
  for (let i = 0; i < 16; i++) parts.push(session.bytes({ type: WRITE, offset: i * 4096, data: new Uint8Array(512) }));
  let sends = 0;
  const send = session.sock.send.bind(session.sock);
  session.sock.send = (iovs) => {
    sends++;
    assert.equal(iovs.count, 32 * 2 + 1, 'headers without payload lie side by side');
    send(iovs);
  };
  session.sock.say(cat(...parts));
  all.settle();
  assert.equal(sends, 1);
  assert.equal(session.replies().size, 48);
});

test('a memory disk in many parts: replies take as many sends as they need', () => {
  const all = world({ memory: true, sizeBytes: 4 * 1048576 });
  const [exp] = all.exports;
  exp.partBytes = 32 * 1024;
  exp.disk.u8.set(pattern(exp.sizeBytes, 4));
  const session = new Session(all, true);
  const cookies = [40, 3, 60, 100, 1].map((parts) => {
    const length = parts * 32 * 1024;
    return { length, cookie: session.say({ type: READ, offset: 1000, length }) };
  });
  all.settle();
  for (const { length, cookie } of cookies) {
    assert.deepEqual(session.replies().get(cookie)?.data, exp.disk.u8.slice(1000, 1000 + length));
  }
  session.disconnect();
  assertQuiet(all);
});

test('a disk that shrinks: what is beyond the new end is an error, also for replies that wait', () => {
  const all = world({ memory: true });
  const session = new Session(all);
  session.sock.stuck = true;
  session.say({ type: READ, length: 512 });
  all.settle();
  const waits = session.say({ type: READ, offset: 800 * 1024, length: 4096 });
  all.settle();
  all.exports[0].sizeBytes = 512 * 1024;
  session.sock.stuck = false;
  all.settle();
  assert.equal(session.replies().get(waits)?.error, 22);
  assert.equal(session.error({ type: READ, offset: 512 * 1024, length: 512 }), 22);
  assert.equal(session.error({ type: WRITE, offset: 512 * 1024, data: new Uint8Array(512) }), 28);
  assert.equal(session.error({ type: READ, offset: 512 * 1024 - 512, length: 512 }), 0);
});

test('an export that goes away: I/O in progress is answered, later requests get ESHUTDOWN, the connection closes', () => {
  const all = world();
  const session = new Session(all);
  const before = session.say({ type: READ, length: 4096 });
  while (all.exports[0].pending.length === 0) all.step();
  all.exports[0].removed = true;
  all.exports[0].failWith = -19;
  const after = session.say({ type: READ, length: 512 });
  session.sock.doReceive(28);
  session.connection.drain();
  assert.equal(session.connection.holdUp, 'the disk did not end 1 of its I/Os');
  assertQuiet(all);
  assert.equal(session.connection.holdUp, 'it did not take its replies');
  assert.equal(session.replies().get(before)?.error, 108);
  assert.equal(session.replies().get(after)?.error, 108);
  assert.deepEqual(all.reasons, []);
});

test('a client that leaves while the disk works: its lane serves nobody else before the disk is done', () => {
  const all = world();
  const session = new Session(all);
  session.say({ type: WRITE, data: pattern(4096, 5) });
  while (all.exports[0].pending.length === 0) all.step();
  session.sock.end();
  session.sock.doReceive(1);
  session.sock.doClose();
  assert.equal(all.goneCount, 0);
  assert.equal(all.lanes.freeCount, all.lanes.totalCount - 1);
  all.exports[0].complete(0);
  assertQuiet(all);
  assert.deepEqual(all.exports[0].disk.u8.slice(0, 4096), pattern(4096, 5));
});

test('requests that came in the same bytes as GO are served', () => {
  const all = world();
  const { sock } = all.connect();
  sock.say(cat(clientFlags(3), go(''), request({ type: READ, cookie: 5, length: 512 })));
  all.settle();
  const heard = sock.heard();
  assert.equal(heard.length, 18 + 32 + 20 + 16 + 512);
});
