// The stream may be cut anywhere, and a disk may complete in any order: properties, with fast-check.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  cat,
  clientFlags,
  type Expected,
  go,
  metaContext,
  option,
  ReplyReader,
  type RequestFields,
  readReplies,
  request,
} from './client.sim.ts';
import { assertQuiet, FakeExport, World } from './fakes.sim.ts';

const DISK_BYTES = 1024 * 1024;
const BLOCK = 512;

interface Command {
  type: number;
  offset: number;
  length: number;
  fill: number;
}

/** Mostly valid commands, of sizes around every threshold, and a few invalid ones. */
const command: fc.Arbitrary<Command> = fc.record({
  type: fc.constantFrom(0, 0, 0, 1, 1, 1, 1, 3, 4, 5, 6, 7, 9),
  offset: fc.nat(DISK_BYTES / BLOCK).map((block) => block * BLOCK),
  length: fc.oneof(
    fc.constantFrom(0, 512, 4096, 8192, 32 * 1024 - 512, 32 * 1024, 128 * 1024, 132 * 1024, 300 * 1024),
    fc.nat(64).map((block) => block * BLOCK),
  ),
  fill: fc.nat(255),
});

function encode(command: Command, cookie: number): Uint8Array {
  const flush = command.type === 3;
  const fields: RequestFields = { type: command.type, cookie, offset: flush ? 0 : command.offset };
  if (command.type === 1) fields.data = new Uint8Array(command.length).fill(command.fill);
  else fields.length = flush ? 0 : command.length;
  return request(fields);
}

function expectations(commands: Command[]): Map<bigint, Expected> {
  return new Map(commands.map((c, i) => [BigInt(i), { type: c.type, offset: c.offset, length: c.length }]));
}

/** Plays the stream in chunks to a new connection; gives back what was heard after the handshake. */
function play(all: World, structured: boolean, commands: Command[], chunks: number[]): Uint8Array {
  const { sock } = all.connect();
  sock.say(cat(clientFlags(3), structured ? cat(option(8), metaContext(10, '', ['base:allocation'])) : [], go('')));
  all.settle();
  sock.output.length = 0;
  const stream = cat(...commands.map(encode));
  for (let at = 0, i = 0; at < stream.length; i++) {
    const bytes = chunks.length === 0 ? stream.length : chunks[i % chunks.length];
    sock.say(stream.subarray(at, at + bytes));
    at += bytes;
    if (i % 3 === 0) all.settle();
  }
  all.settle();
  sock.end();
  all.settle();
  assert.equal(all.goneCount, all.connections.length);
  assert.equal(all.pool.free, all.pool.total);
  assert.deepEqual(all.reasons, []);
  return sock.heard();
}

const chunking = fc.array(fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 300_000 })), {
  maxLength: 40,
});

test('a memory disk: any chunking of any stream gives the same bytes', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), fc.boolean(), chunking, (raw, structured, chunks) => {
      // A READ and a WRITE under way at once may be served in any order: reads stay in the lower half, what writes in the upper.
      const commands = raw.map((c) => ({
        ...c,
        offset: c.type === 0 ? c.offset % (DISK_BYTES / 8) : DISK_BYTES / 2 + (c.offset % (DISK_BYTES / 2)),
      }));
      const once = new World({ exports: [new FakeExport({ memory: true, sizeBytes: DISK_BYTES })] });
      const cut = new World({ exports: [new FakeExport({ memory: true, sizeBytes: DISK_BYTES })] });
      for (const world of [once, cut]) for (let i = 0; i < DISK_BYTES; i += 97) world.exports[0].disk.u8[i] = i & 255;
      const whole = play(once, structured, commands, []);
      const parts = play(cut, structured, commands, chunks);
      readReplies(new ReplyReader(whole), structured, expectations(commands));
      // TRIM and WRITE_ZEROES complete later than what memory answers at once, so the order may differ, the answers may not.
      const sorted = (bytes: Uint8Array) =>
        [...readReplies(new ReplyReader(bytes), structured, expectations(commands)).entries()].sort((a, b) =>
          Number(a[0] - b[0]),
        );
      const quiet = commands.every((c) => c.type !== 4 && c.type !== 6 && c.type !== 3);
      if (quiet) assert.deepEqual(parts, whole);
      else
        assert.deepEqual(
          sorted(parts).map(([, r]) => [r.cookie, r.error]),
          sorted(whole).map(([, r]) => [r.cookie, r.error]),
        );
      assert.equal(sorted(whole).length, commands.length);
      if (quiet) assert.deepEqual(cut.exports[0].disk.u8, once.exports[0].disk.u8);
    }),
    { numRuns: 60 },
  );
});

test('a disk that completes in any order: every request is answered once, rightly, and nothing is lost', () => {
  fc.assert(
    fc.property(
      fc.array(command, { maxLength: 60 }),
      fc.boolean(),
      chunking,
      fc.integer(),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 3 }),
      (raw, structured, chunks, seed, depth, large) => {
        // Each write has a place of its own, so that the order of completion does not change what is on the disk at the end.
        let at = 0;
        const commands = raw.map((c) => {
          if (c.type !== 1 || c.length === 0 || at + c.length > DISK_BYTES)
            return { ...c, type: c.type === 1 ? 0 : c.type };
          at += c.length;
          return { ...c, offset: at - c.length };
        });
        const writes = commands.filter((c) => c.type === 1);
        const harmless = commands.map((c) => (c.type === 4 || c.type === 6 ? { ...c, type: 5 } : c));
        const exp = new FakeExport({ sizeBytes: DISK_BYTES, depth });
        const all = new World({ exports: [exp], seed, small: 2, large });
        const heard = play(all, structured, harmless, chunks);
        const replies = readReplies(new ReplyReader(heard), structured, expectations(harmless));
        assert.equal(replies.size, harmless.length);
        for (const [cookie, reply] of replies) {
          const c = harmless[Number(cookie)];
          const beyond = c.type !== 3 && c.offset + c.length > DISK_BYTES;
          const wrong = c.type === 9 || (c.type === 7 && (!structured || c.length === 0));
          assert.equal(reply.error, beyond || wrong ? 22 : 0, JSON.stringify(c));
        }
        for (const write of writes) {
          const data = exp.disk.u8.subarray(write.offset, write.offset + write.length);
          assert.ok(data.every((byte) => byte === write.fill));
        }
      },
    ),
    { numRuns: 150 },
  );
});

test('large payloads have the core awake where the socket cannot wait for all of one, and asleep where it can', () => {
  for (const gathers of [false, true]) {
    const all = new World();
    const { sock } = all.connect();
    sock.gathers = gathers;
    const say = (bytes: Uint8Array) => {
      sock.say(bytes);
      all.settle();
      return { gatherers: all.gatherers, awaited: all.awaited };
    };
    assert.deepEqual(say(cat(clientFlags(3), go(''))), { gatherers: 0, awaited: 0 });
    const write = (bytes: number) => encode({ type: 1, offset: 0, length: bytes, fill: 1 }, 1);
    const [gatherers, awaited] = gathers ? [1, 0] : [0, 1];
    assert.deepEqual(say(write(128 * 1024)), { gatherers, awaited });
    assert.deepEqual(say(write(512)), { gatherers: 0, awaited: 0 }, 'small ones');
    assert.deepEqual(say(write(128 * 1024)), { gatherers, awaited }, 'again');
    sock.end();
    assertQuiet(all);
    assert.deepEqual([all.gatherers, all.awaited], [0, 0], 'it has gone');
  }
});
