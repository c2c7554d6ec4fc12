// Writes to a disk that takes whole units which are no number of I/O buffers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from './client.sim.ts';
import { assertQuiet, FakeExport, type FakeExportOptions, World, type WorldOptions } from './fakes.sim.ts';
import { Session } from './session.sim.ts';
import { WRITE_BUFFERS, writeBufferBytes } from './write-buffers.ts';

const WRITE = 1;

function worldOf(exp: FakeExportOptions, options: WorldOptions = {}): World {
  return new World({ exports: [new FakeExport(exp)], ...options });
}

test('a disk that is written in units which no buffer holds gets whole units, whatever came when', () => {
  for (const unit of [96 * 1024, 192 * 1024, 512 * 1024]) {
    for (let seed = 1; seed <= 10; seed++) {
      const all = worldOf({ sizeBytes: 4 * 1048576, writeUnitBytes: unit, depth: 2 }, { large: 1, seed });
      const [exp] = all.exports;
      const sessions = [1, 2, 3].map(() => new Session(all));
      const want = new Uint8Array(exp.sizeBytes);
      const answers = sessions.map((session, i) => {
        session.sock.chunkBytes = 70_000;
        const data = new Uint8Array(2 * unit).map((_, at) => at * 7 + i + 1);
        want.set(data, 2 * unit * i);
        return session.say({ type: WRITE, offset: 2 * unit * i, data });
      });
      all.settle();
      sessions.forEach((session, i) => {
        assert.equal(session.replies().get(answers[i])?.error, 0, `unit ${unit}, seed ${seed}`);
      });
      assert.equal(Buffer.compare(exp.disk.u8, want), 0);
      assert.equal(sessions[0].error({ type: WRITE, offset: unit / 2, data: new Uint8Array(unit) }), 22);
      for (const { sock } of sessions) sock.end();
      assertQuiet(all);
      assert.equal(free(exp), WRITE_BUFFERS);
    }
  }
});

test('more writers than buffers for whole units: they wait in order, and one that goes away is forgotten', () => {
  const unit = 192 * 1024;
  const all = worldOf({ sizeBytes: 4 * 1048576, writeUnitBytes: unit });
  const [exp] = all.exports;
  const header = request({ type: WRITE, length: unit }).subarray(0, 28);
  const mute = Array.from({ length: WRITE_BUFFERS }, () => new Session(all));
  for (const { sock } of mute.slice(1)) sock.say(header);
  all.settle();
  assert.ok(
    mute.every(({ connection }) => !connection.hoards(true)),
    'there is one left, and the pool is not what they hold',
  );
  mute[0].sock.say(header);
  all.settle();
  assert.equal(exp.writeBuffers?.dry, true);
  assert.ok(mute.every(({ connection }) => connection.hoards(false)));
  const writers = [1, 2, 3].map((value) => {
    const session = new Session(all);
    session.say({ type: WRITE, data: new Uint8Array(unit).fill(value) });
    return session;
  });
  all.settle();
  assert.equal(exp.disk.u8[unit - 1], 0);
  writers[1].connection.close();
  all.settle();
  mute[0].sock.end();
  all.settle();
  assert.equal(exp.disk.u8[unit - 1], 3, 'the last of those who waited');
  for (const { sock } of [...mute, ...writers]) sock.end();
  assertQuiet(all);
  assert.equal(free(exp), WRITE_BUFFERS);
});

test('a buffer for whole units holds as many of them as an I/O buffer would bytes', () => {
  const kib = (unit: number): number => writeBufferBytes(unit * 1024, 128 * 1024) / 1024;
  assert.deepEqual([0.5, 4, 64, 128].map(kib), [0, 0, 0, 0]);
  assert.deepEqual([12, 96, 192, 1024].map(kib), [132, 192, 192, 1024]);
});

/** Takes all buffers for whole units, and gives them back. */
function free({ writeBuffers }: FakeExport): number {
  const all = [];
  for (let buf = writeBuffers?.get(); buf; buf = writeBuffers?.get()) all.push(buf);
  for (const buf of all) writeBuffers?.put(buf);
  return all.length;
}
