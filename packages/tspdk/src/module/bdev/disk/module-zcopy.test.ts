/** What a user's `zcopy` names: clients get it as it is, so it is looked at. And that neither it nor what is called beside it harms anybody by throwing. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { Extents } from '../../../bdev/extents.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import type { Segment } from '../../../env/segment.ts';
import { log } from '../../../log/index.ts';
import { moduleFolder } from './disk-setup.sim.ts';
import { ioStatus } from './io-status.ts';

const file = moduleFolder();

type Zcopy = (memory: Segment, at: number, bytes: number, out: IoVecs, write: boolean) => unknown;

/** What a `zcopy` of a disk D, asked for 512 bytes at 1024, is answered with, and what has been logged. */
async function zcopies(t: TestContext) {
  const cluster = await startCluster();
  const module = file(
    'zcopies.mjs',
    `name: 'zcopies',
     async create(_, reactor) {
       const segment = await shareSegment(reactor, 4096);
       return { sizeBytes: 4096, ioTypes: ['read', 'write', 'zcopy'], data: { segment } };
     },
     attach: ({ data }, reactor) => {
       const memory = reactor.segments.get(data.segment);
       return { createChannel: () => ({ submit(io) { io.complete(0); }, zcopy: (...args) => globalThis.tspdkZcopy(memory, ...args),
         zcopyWritten(at, bytes) { throw new Error('told of ' + bytes + ' at ' + at); },
         blockStatus() { throw Object.assign(new Error('no map'), { code: 'EPERM' }); } }) };
     },
     destroy: ({ data }, reactor) => dropSegment(reactor, data.segment),`,
  );
  await cluster.until(cluster.bdevs.create('disk', { name: 'D', module }));
  const desc = BdevDesc.open('D', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const out = new IoVecs(4);
  out.push(cluster.memory(16), 0, 16);
  const told: string[] = [];
  log.open(({ text }) => void told.push(text));
  t.after(() => log.close());
  const named = (zcopy: Zcopy, write = false): boolean => {
    (globalThis as { tspdkZcopy?: Zcopy }).tspdkZcopy = zcopy;
    const rc = channel.zcopy(1024, 512, out, write);
    assert.deepEqual([out.count > 1, out.totalBytes > 16], [rc, rc], 'all or nothing');
    return rc;
  };
  const close = async () => {
    desc.close();
    await cluster.close();
  };
  return { channel, named, told, close };
}

test('memory that a zcopy does not name whole, and as it is, is not used', async (t) => {
  const { named, told, close } = await zcopies(t);
  const wrong: Zcopy[] = [
    (memory, at, bytes, to) => to.push(memory, at, bytes),
    (memory, at, bytes, to) => [to.push(memory, at, bytes - 1), true].at(-1),
    (memory, at, bytes, to) => [to.push(memory, at, 64), to.push(memory, at + 64, bytes), true].at(-1),
    (memory, _, bytes, to) => [to.push(memory, memory.sizeBytes - 1, bytes), true].at(-1),
    (memory, _, bytes, to) => [to.push(memory, -1, bytes), true].at(-1),
    () => true,
  ];
  for (const zcopy of wrong) assert.equal(named(zcopy), false, String(zcopy));
  assert.equal(told.length, 1);
  assert.match(
    told[0],
    /"D": zcopy of 512 bytes at 1024 gave undefined and 512 at 1024 of a segment of 4096; it gives/,
  );
  // No room for all: what has been appended is dropped.
  assert.equal(
    named((memory, at, _, to) => [to.push(memory, at, 64), false].at(-1)),
    false,
  );
  assert.equal(
    named((memory, at, bytes, to) => [to.push(memory, at, 64), to.push(memory, at + 64, bytes - 64), true].at(-1)),
    true,
  );
  await close();
});

test('a zcopy that throws names nothing, and is in the log once', async (t) => {
  const { named, told, close } = await zcopies(t);
  const throwing: Zcopy[] = [
    function theirs(memory, at, bytes, to) {
      to.push(memory, at, bytes);
      throw new Error('boom');
    },
    (memory, at, bytes, to) => {
      // Without a look at `full`.
      for (let i = 0; i < bytes; i += 64) to.push(memory, at + i, 64);
      return true;
    },
    () => {
      throw null;
    },
  ];
  for (const zcopy of throwing) {
    for (const write of [false, true]) assert.equal(named(zcopy, write), false, String(zcopy));
  }
  assert.equal(told.length, 1);
  assert.match(told[0], /"D": zcopy of 512 bytes at 1024: Error: boom\n +at .*theirs/);
  await close();
});

test('a zcopyWritten that throws is in the log once, and the write has ended', async (t) => {
  const { channel, named, told, close } = await zcopies(t);
  const out = new IoVecs(1);
  for (let i = 0; i < 2; i++) {
    (globalThis as { tspdkZcopy?: Zcopy }).tspdkZcopy = (memory, at, bytes, to) =>
      [to.push(memory, at, bytes), true].at(-1);
    assert.equal(channel.zcopy(1024, 512, out, true), true);
    channel.zcopyWritten(1024, 512);
    out.reset();
  }
  assert.equal(told.length, 1);
  assert.match(told[0], /"D": zcopyWritten of 512 bytes at 1024: Error: told of 512 at 1024\n/);
  // Given up, as what was named is not the whole.
  assert.equal(
    named((memory, at, _, to) => [to.push(memory, at, 64), true].at(-1), true),
    false,
  );
  await close();
});

test('a blockStatus that throws fails with that, and is in the log once', async (t) => {
  const { channel, told, close } = await zcopies(t);
  for (let i = 0; i < 2; i++) assert.equal(channel.blockStatus(1024, 512, new Extents(1)), ioStatus('EPERM'));
  assert.equal(told.length, 1);
  assert.match(told[0], /"D": blockStatus of 512 bytes at 1024: Error: no map\n/);
  await close();
});
