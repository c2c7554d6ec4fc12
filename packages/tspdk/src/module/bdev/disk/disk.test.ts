/** Disks of one's own: data from every core, errors, promises that never settle, modules that do not load. */
// Disks made of async functions: what users write, well and badly, on their home core and from others.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { EXTENT_HOLE, EXTENT_ZERO, Extents } from '../../../bdev/extents.ts';
import { IO_UNMAP, IO_WRITE, IO_WRITE_ZEROES } from '../../../bdev/io-type.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { runIo } from '../../../bdev/stub-setup.sim.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import type { Segment } from '../../../env/segment.ts';
import { type DiskDefinition, type DiskRequest, defineDisk } from './define-disk.ts';
import './disk-bdev.ts';

const dir = mkdtempSync(join(tmpdir(), 'tspdk-disk-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const definePath = new URL('./define-disk.js', import.meta.url).href;

/** A disk over `memory` whose functions take a while, so that several are under way. */
function slowDisk(memory: Uint8Array, extra: Partial<DiskDefinition> = {}): DiskDefinition {
  const later = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    size: memory.length,
    async read(offset, buffer) {
      if (offset % 1024 === 0) await later();
      buffer.set(memory.subarray(offset, offset + buffer.length));
    },
    async write(offset, buffer) {
      await later();
      memory.set(buffer, offset);
    },
    ...extra,
  };
}

const inMemory = (cluster: Cluster, definition: DiskDefinition, params: object = {}) =>
  cluster.until(cluster.bdevs.create('disk', { name: 'D', disk: defineDisk(definition), ...params }));

test('a user disk holds what was written from every core', async () => {
  await fc.assert(
    fc.asyncProperty(modelBatches(512, 200), fc.boolean(), async (batches, zeroes) => {
      const cluster = await startCluster({ reactors: 3 });
      const memory = new Uint8Array(512 * 512);
      const fill = async (offset: number, length: number) => void memory.fill(0, offset, offset + length);
      const bdev = await inMemory(cluster, slowDisk(memory, { trim: fill, ...(zeroes ? { zero: fill } : {}) }));
      const model = new Uint8Array(memory.length);
      await runModel(cluster, bdev, model, batches);
      assert.equal(Buffer.compare(memory, model), 0);
      await cluster.close();
    }),
    { numRuns: 25 },
  );
});

test('a disk of a class keeps its `this`; what it lacks is not offered', async () => {
  class Counter implements DiskDefinition {
    readonly size = 4096;
    #reads = 0;
    read(_offset: number, buffer: Uint8Array): void {
      buffer.fill(++this.#reads);
    }
  }
  const cluster = await startCluster();
  const bdev = await inMemory(cluster, new Counter());
  assert.equal(bdev.writable, false);
  assert.equal(bdev.ioTypeSupported(IO_WRITE), false);
  assert.equal(bdev.ioTypeSupported(IO_WRITE_ZEROES), false);
  assert.equal(bdev.ioTypeSupported(IO_UNMAP), false);
  assert.throws(() => BdevDesc.open('D', { write: true, reactor: cluster.reactors[0], onEvent: () => {} }), {
    code: 'EROFS',
  });
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(4096);
  for (const n of [1, 2]) {
    let status = 1;
    const onStatus = (_: unknown, rc: number) => {
      status = rc;
    };
    channel.read(buf, 512, 0, 512, onStatus, null);
    await cluster.untilTrue(() => status !== 1);
    assert.equal(buf.u8[512], n);
    assert.equal(buf.u8[1024], 0);
  }
  desc.close();
  await cluster.close();
});

test('errors keep their code, whether thrown or rejected; others are EIO', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const fail = (code: string) => Object.assign(new Error(code), { code });
  await inMemory(cluster, {
    size: 8192,
    read(offset) {
      if (offset === 0) throw fail('EACCES');
      if (offset === 512) return Promise.reject(fail('ENOSPC'));
      if (offset === 1024) throw 'a string';
      return Promise.reject(new Error('no code'));
    },
  });
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[1], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(512);
  const statuses: number[] = [];
  const onStatus = (ctx: unknown, rc: number) => {
    statuses[ctx as number] = rc;
  };
  for (let i = 0; i < 4; i++) {
    assert.equal(channel.read(buf, 0, i * 512, 512, onStatus, i), 0);
  }
  await cluster.untilTrue(() => statuses.filter((rc) => rc !== undefined).length === 4);
  assert.deepEqual(statuses, [-13, -28, -5, -5]);
  desc.close();
  await cluster.close();
});

test('a promise that never settles fails with EIO after the timeout, and what it does later reaches nobody', async () => {
  const cluster = await startCluster({ reactors: 2 });
  let finish: (() => void) | undefined;
  let aborted = false;
  await inMemory(cluster, {
    size: 8192,
    read: (_offset, _buffer, request) => {
      request.signal.addEventListener('abort', () => {
        aborted = true;
      });
      return new Promise<void>((resolve) => {
        finish = resolve;
      });
    },
    timeoutMs: 1000,
  });
  // On the home core itself, where the pieces are the submitter's own list.
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(1024);
  const iovs = new IoVecs(2);
  iovs.push(buf, 0, 100);
  iovs.push(buf, 200, 412);
  const statuses: number[] = [];
  channel.readv(iovs, 0, (_, rc) => void statuses.push(rc), null);
  cluster.turns();
  cluster.clock.nowUs += 900_000;
  cluster.turns();
  assert.deepEqual(statuses, []);
  cluster.clock.nowUs += 300_000;
  cluster.turns();
  assert.deepEqual(statuses, [-5]);
  assert.equal(aborted, true);
  buf.u8.fill(7);
  finish?.();
  await new Promise((resolve) => setImmediate(resolve));
  cluster.turns();
  assert.deepEqual(statuses, [-5], 'completed once');
  assert.equal(buf.u8[0], 7, 'the memory was not touched again');
  desc.close();
  await cluster.close();
});

/** `bytes` in pieces of 100 bytes and a rest, with gaps between. */
function pieces(segment: Segment, offset: number, bytes: number): IoVecs {
  const iovs = new IoVecs(64);
  for (let at = 0; at < bytes; at += 100) iovs.push(segment, offset + at * 2, Math.min(100, bytes - at));
  return iovs;
}

test('memory in several pieces: to readv and writev as it lies, else through one copy; what lies together is one piece', async () => {
  for (const vectored of [false, true]) {
    const cluster = await startCluster({ reactors: 2 });
    const memory = new Uint8Array(8192);
    const calls: string[] = [];
    const each = (
      offset: number,
      buffers: readonly Uint8Array[],
      fn: (part: Uint8Array, buffer: Uint8Array) => void,
    ) => {
      calls.push(`${buffers.length}`);
      let at = offset;
      for (const buffer of buffers) {
        fn(memory.subarray(at, at + buffer.length), buffer);
        at += buffer.length;
      }
    };
    await inMemory(
      cluster,
      slowDisk(memory, {
        async read(offset, buffer) {
          calls.push('read');
          buffer.set(memory.subarray(offset, offset + buffer.length));
        },
        ...(vectored
          ? {
              readv: (offset, buffers) => each(offset, buffers, (part, buffer) => buffer.set(part)),
              writev: async (offset, buffers) => each(offset, buffers, (part, buffer) => part.set(buffer)),
            }
          : {}),
      }),
    );
    for (const core of [0, 1]) {
      const desc = BdevDesc.open('D', { write: true, reactor: cluster.reactors[core], onEvent: () => {} });
      const channel = desc.getIoChannel();
      const buf = cluster.memory(8192);
      for (let i = 0; i < 4096; i++) buf.u8[i] = i * 7 + core + 1;
      const from = pieces(buf, 0, 1024);
      const to = pieces(buf, 4096, 1024);
      for (let round = 0; round < 2; round++) {
        calls.length = 0;
        assert.equal(await runIo(cluster, (cb) => channel.writev(from, 512, cb, null)), 0);
        assert.equal(await runIo(cluster, (cb) => channel.readv(to, 512, cb, null)), 0);
        assert.deepEqual(calls, vectored ? ['11', '11'] : ['read']);
        for (let i = 0; i < to.count; i++) {
          const [a, b] = [from.offset[i], to.offset[i]];
          assert.deepEqual(buf.u8.subarray(b, b + to.bytes[i]), buf.u8.subarray(a, a + to.bytes[i]));
          assert.equal(buf.u8[b + to.bytes[i]], 0, 'what lies between is not touched');
        }
        buf.u8.fill(0, 4096);
      }
      const together = new IoVecs(2);
      together.push(buf, 4096, 100);
      together.push(buf, 4196, 412);
      calls.length = 0;
      assert.equal(await runIo(cluster, (cb) => channel.readv(together, 512, cb, null)), 0);
      assert.deepEqual([calls, buf.u8[4096], buf.u8[4607]], [['read'], memory[512], memory[1023]]);
      desc.close();
      cluster.forget(buf);
    }
    await cluster.close();
  }
});

test('a copy that a call was given up with is never used again', async () => {
  const cluster = await startCluster();
  const started: { buffer: Uint8Array; end: () => void }[] = [];
  await inMemory(cluster, {
    size: 8192,
    read: (_, buffer) => new Promise<void>((end) => void started.push({ buffer, end })),
    timeoutMs: 1000,
  });
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(4096);
  const statuses: number[] = [];
  const read = (at: number) => channel.readv(pieces(buf, at, 512), 0, (_, rc) => void statuses.push(rc), null);
  const settle = async (call: { end: () => void }): Promise<void> => {
    call.end();
    await new Promise((resolve) => setImmediate(resolve));
    cluster.turns();
  };
  assert.equal(read(0), 0);
  assert.equal(channel.abort(null), 1);
  cluster.turns();
  assert.equal(read(2048), 0);
  started[1].buffer.fill(5);
  started[0].buffer.fill(9);
  await settle(started[0]);
  await settle(started[1]);
  assert.deepEqual([statuses, buf.u8[0], buf.u8[2048]], [[-125, 0], 0, 5]);
  // That of a call which ended is.
  assert.equal(read(0), 0);
  assert.equal(started[2].buffer.buffer, started[1].buffer.buffer);
  await settle(started[2]);
  desc.close();
  await cluster.close();
});

test('extents: what is allocated, on the disk’s own core; a list that cannot be is EIO, and said', async () => {
  const cluster = await startCluster({ reactors: 2 });
  let list: { length: number; hole: boolean }[] = [];
  const asked: number[][] = [];
  await inMemory(cluster, {
    size: 1 << 20,
    read: (_, buffer) => void buffer.fill(0),
    extents: (offset, length) => {
      asked.push([offset, length]);
      return list;
    },
  });
  const [own, away] = [0, 1].map((core) =>
    BdevDesc.open('D', { write: false, reactor: cluster.reactors[core], onEvent: () => {} }),
  );
  const channel = own.getIoChannel();
  const status = (bytes: number, capacity = 8): unknown[] => {
    const out = new Extents(capacity);
    const rc = channel.blockStatus(512, bytes, out);
    return rc !== 0 ? [rc] : Array.from({ length: out.count }, (_, i) => [out.bytes[i], out.flags[i]]);
  };
  list = [
    { length: 512, hole: false },
    { length: 1024, hole: true },
    { length: 1 << 30, hole: false },
  ];
  const [data, hole] = [0, EXTENT_HOLE | EXTENT_ZERO];
  assert.deepEqual(status(4096), [
    [512, data],
    [1024, hole],
    [2560, data],
  ]);
  assert.deepEqual(status(512), [[512, data]]);
  assert.deepEqual(status(4096, 2), [
    [512, data],
    [1024, hole],
  ]);
  assert.deepEqual(asked.slice(0, 2), [
    [512, 4096],
    [512, 512],
  ]);
  for (const wrong of [
    [],
    [{ length: 0, hole: true }],
    [{ length: 100, hole: true }],
    [{ length: Number.NaN, hole: true }],
  ]) {
    list = wrong;
    assert.deepEqual(status(4096), [-5]);
  }
  const out = new Extents(8);
  assert.equal(away.getIoChannel().blockStatus(0, 4096, out), 0);
  assert.deepEqual([out.count, out.totalBytes, out.flags[0]], [1, 4096, 0]);
  own.close();
  away.close();
  await cluster.close();
});

test('FUA flushes after the write; flush is a no-op without the function', async () => {
  const cluster = await startCluster();
  const calls: string[] = [];
  const memory = new Uint8Array(4096);
  await inMemory(
    cluster,
    slowDisk(memory, {
      async write(offset) {
        calls.push(`write ${offset}`);
      },
      async flush() {
        calls.push('flush');
      },
    }),
  );
  await cluster.until(cluster.bdevs.create('disk', { name: 'E', disk: defineDisk(slowDisk(memory)) }));
  const desc = BdevDesc.open('D', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const other = BdevDesc.open('E', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  assert.deepEqual([desc.bdev.volatileCache, other.bdev.volatileCache], [true, false]);
  const buf = cluster.memory(512);
  let done = 0;
  const cb = (_: unknown, rc: number) => {
    assert.equal(rc, 0);
    done++;
  };
  desc.getIoChannel().write(buf, 0, 512, 512, cb, null, 1);
  await cluster.untilTrue(() => done === 1);
  assert.deepEqual(calls, ['write 512', 'flush']);
  other.getIoChannel().flush(0, 4096, cb, null);
  await cluster.untilTrue(() => done === 2);
  desc.close();
  other.close();
  await cluster.close();
});

test('abort and reset give up what is under way, from every core: its signal aborts', async () => {
  const cluster = await startCluster({ reactors: 2 });
  let aborted = 0;
  const read = (_offset: number, _buffer: Uint8Array, { signal }: DiskRequest) => {
    signal.addEventListener('abort', () => aborted++);
    return new Promise<void>(() => {});
  };
  const bdev = await inMemory(cluster, { size: 8192, read }, { core: 0 });
  assert.equal(bdev.homeCore, 0);
  const buf = cluster.memory(512);
  for (const core of [0, 1]) {
    aborted = 0;
    const desc = cluster.on(core, () => BdevDesc.open('D', { write: false, onEvent: () => {} }));
    const channel = cluster.on(core, () => desc.getIoChannel());
    const events: string[] = [];
    const cb = (ctx: unknown, rc: number) => void events.push(`${ctx} ${rc}`);
    channel.read(buf, 0, 0, 512, cb, 'a');
    channel.read(buf, 0, 0, 512, cb, 'b');
    cluster.turns();
    assert.equal(channel.abort('a'), 1);
    cluster.turns();
    assert.deepEqual([events, aborted], [['a -125'], 1]);
    assert.equal(channel.reset(cb, 'reset'), 0);
    await cluster.untilTrue(() => events.length === 3);
    assert.deepEqual([events, aborted], [['a -125', 'b -125', 'reset 0'], 2]);
    cluster.on(core, () => desc.close());
  }
  await cluster.close();
});

test('a module is loaded on its home core, each disk its own instance, and unloaded with it', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const module = join(dir, 'disk.mjs');
  writeFileSync(
    module,
    `import { defineDisk } from ${JSON.stringify(definePath)};
     let closed = 0;
     let value = 0;
     export default defineDisk({
       size: 1024,
       read(offset, buffer) { buffer.fill(value); },
       write(offset, buffer) { value = buffer[0]; },
       close() { globalThis.tspdkTestClosed = (globalThis.tspdkTestClosed ?? 0) + 1; },
     });`,
  );
  const a = await cluster.until(cluster.bdevs.create('disk', { name: 'A', module }));
  await cluster.until(cluster.bdevs.create('disk', { name: 'B', module, core: 0 }));
  assert.equal(a.homeCore, 1);
  assert.throws(() => a.ownBackend, { code: 'ENODEV' });
  const buf = cluster.memory(1024);
  const values: number[] = [];
  for (const [i, name] of ['A', 'B'].entries()) {
    const desc = BdevDesc.open(name, { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
    const channel = desc.getIoChannel();
    let done = 0;
    buf.u8.fill(i + 1, 0, 512);
    if (name === 'A') channel.write(buf, 0, 0, 512, () => void done++, null);
    else done = 1;
    await cluster.untilTrue(() => done === 1);
    channel.read(buf, 512, 0, 512, () => void done++, null);
    await cluster.untilTrue(() => done === 2);
    values.push(buf.u8[512]);
    desc.close();
  }
  assert.deepEqual(values, [1, 0], 'two disks of one file share nothing');
  await cluster.close();
  assert.equal((globalThis as { tspdkTestClosed?: number }).tspdkTestClosed, 2);
});

test('what is wrong with a module is said in its own terms', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const load = (name: string, text: string) => {
    const module = join(dir, name);
    writeFileSync(module, text);
    return cluster.until(cluster.bdevs.create('disk', { name: 'X', module }));
  };
  await assert.rejects(load('throws.mjs', 'function inner() { throw new Error("boom"); }\ninner();'), (error) => {
    assert.match((error as Error).message, /throws\.mjs.*boom/);
    assert.match((error as Error).stack ?? '', /at inner .*throws\.mjs/);
    return true;
  });
  await assert.rejects(load('none.mjs', 'export const disk = 1;'), {
    code: 'EINVAL',
    message: /exports disk; it must say/,
  });
  await assert.rejects(
    load(
      'bad.mjs',
      `import { defineDisk } from ${JSON.stringify(definePath)}; export default defineDisk({ size: 100, read() {} });`,
    ),
    {
      message: /size is 100/,
    },
  );
  await assert.rejects(cluster.until(cluster.bdevs.create('disk', { name: 'X', module: join(dir, 'missing.mjs') })), {
    message: /missing\.mjs/,
  });
  const typed = load(
    'typed.ts',
    `import { defineDisk } from ${JSON.stringify(definePath)};\nconst size: number = 1024;\nexport default defineDisk({ size, read() {} });`,
  );
  if ((process.features as { typescript?: unknown }).typescript) assert.equal((await typed).sizeBytes, 1024);
  else await assert.rejects(typed, { code: 'ENOTSUP', message: /does not run TypeScript.*22\.18/ });
  await cluster.close();
});

test('definitions are checked', () => {
  const read = () => {};
  for (const [definition, message] of [
    [{ size: 0, read }, /size is 0/],
    [{ size: 1000, read }, /size is 1000/],
    [{ size: Number.NaN, read }, /size is NaN/],
    [{ size: 4096, blockSize: 513, read }, /blockSize is 513/],
    [{ size: 4096, blockSize: 256, read }, /blockSize is 256/],
    [{ size: 4096 }, /read is missing/],
    [{ size: 4096, read, write: 1 }, /write is 1; it is a function/],
    [{ size: '4096', read }, /size is "4096"; it is a positive multiple of blockSize 512/],
    [{ size: 4096n, read }, /size is 4096n/],
    [{ size: 4096, read, timeoutMs: 0 }, /timeoutMs is 0; it is an integer from 1 to 86400000/],
    [{ size: 4096, read, blocksize: 4096 }, /"blocksize" is no property; it is written blockSize/],
    [{ size: 4096, read, timeout_ms: 4096 }, /"timeout_ms" is no property; it is written timeoutMs/],
    [{ size: 4096, read, flush: read }, /flush makes no sense/],
    [{ size: 4096, read, writev: read }, /writev makes no sense/],
    [{ size: 4096, read, extents: [] }, /extents is ; it is a function/],
  ] as const) {
    assert.throws(() => defineDisk(definition as unknown as DiskDefinition), { code: 'EINVAL', message });
  }
});

test('what TypeScript lets nobody write', () => {
  const read = () => {};
  const wrong: (() => unknown)[] = [
    // @ts-expect-error: a size is a number
    () => defineDisk({ size: '1M', read }),
    // @ts-expect-error: there must be a read
    () => defineDisk({ size: 512 }),
    // @ts-expect-error: a misspelt property
    () => defineDisk({ size: 512, read, block_size: 512 }),
    // @ts-expect-error: bytes come from the buffer, they are not returned
    () => defineDisk({ size: 512, read: async () => new Uint8Array(512) }),
  ];
  assert.equal(wrong.length, 4);
});
