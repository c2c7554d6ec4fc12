/** Disks of one's own: data from every core, errors, promises that never settle, modules that do not load. */
// Disks made of async functions: what users write, well and badly, on their home core and from others.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { Extents } from '../../../bdev/extents.ts';
import { IO_UNMAP, IO_WRITE, IO_WRITE_ZEROES } from '../../../bdev/io-type.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { IoVecs } from '../../../env/iovecs.ts';
import { type DiskDefinition, type DiskRequest, defineDisk } from './define-disk.ts';
import { inMemory, slowDisk } from './disk-setup.sim.ts';
import './disk-bdev.ts';

const dir = mkdtempSync(join(tmpdir(), 'tspdk-disk-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const definePath = new URL('./define-disk.js', import.meta.url).href;

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

test('a function that answers by promise has its answer heard before the next turn; one that answers at once costs nobody a turn', async () => {
  for (const answersLater of [true, false]) {
    const cluster = await startCluster();
    const [reactor] = cluster.reactors;
    await inMemory(cluster, { size: 4096, read: () => (answersLater ? Promise.resolve() : undefined) });
    const desc = BdevDesc.open('D', { write: false, reactor, onEvent: () => {} });
    const channel = desc.getIoChannel();
    reactor.promised = false;
    const done = cluster.until(new Promise((resolve) => channel.read(cluster.memory(512), 0, 0, 512, resolve, null)));
    assert.equal(reactor.promised, answersLater);
    await done;
    desc.close();
    await cluster.close();
  }
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

test('whatever is thrown fails its own I/O alone, also what cannot be looked at', async () => {
  const fails = () => {
    throw new Error('a getter');
  };
  const thrown: unknown[] = [
    Object.create(null),
    { toString: fails },
    Object.defineProperty({}, 'code', { get: fails }),
    Object.defineProperty(new Error('x'), 'stack', { get: fails }),
    Object.assign(new Error('x'), { stack: 5 }),
    new Proxy({}, { get: fails, getPrototypeOf: fails }),
    Symbol('x'),
    undefined,
  ];
  const cluster = await startCluster();
  await inMemory(cluster, {
    size: 512 * thrown.length * 2,
    read(offset) {
      const at = offset / 512;
      if (at % 2 === 1) return Promise.reject(thrown[(at - 1) / 2]);
      throw thrown[at / 2];
    },
    extents: () => {
      throw thrown[0];
    },
  });
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(512);
  const statuses: number[] = [];
  for (let at = 0; at < thrown.length * 2; at++) {
    channel.read(buf, 0, at * 512, 512, (_, status) => void statuses.push(status), null);
    await cluster.untilTrue(() => statuses.length === at + 1);
  }
  assert.deepEqual(statuses, new Array(thrown.length * 2).fill(-5));
  assert.equal(channel.blockStatus(0, 512, new Extents(1)), -5);
  desc.close();
  await cluster.close();
});

test('what answers like a promise, badly, ends its own I/O alone, and once', async () => {
  let slow = () => {};
  let twice = () => {};
  const like = (then: PropertyDescriptor) => Object.defineProperty({}, 'then', then) as Promise<void>;
  const cluster = await startCluster();
  await inMemory(cluster, {
    size: 4096,
    read: (offset, buffer) => {
      const fails = () => {
        throw Object.assign(new Error('then'), { code: 'ENOSPC' });
      };
      switch (offset) {
        case 0:
          return like({ value: fails });
        case 512:
          return like({ get: fails });
        case 1024: {
          const settlesTwice = (settled: () => void) => {
            twice = settled;
            settled();
          };
          return like({ value: settlesTwice });
        }
        default:
          return new Promise<void>((resolve) => {
            slow = () => {
              buffer.fill(9);
              resolve();
            };
          });
      }
    },
  });
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(512);
  const statuses: number[] = [];
  const read = (at: number) => channel.read(buf, 0, at, 512, (_, status) => void statuses.push(status), null);
  for (const [i, at] of [0, 512, 1024].entries()) {
    read(at);
    await cluster.untilTrue(() => statuses.length === i + 1);
  }
  assert.deepEqual(statuses, [-28, -28, 0]);
  // Its object may serve the next I/O.
  read(1536);
  twice();
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    cluster.turns();
  }
  assert.equal(statuses.length, 3, 'another I/O has ended by the second settling');
  slow();
  await cluster.untilTrue(() => statuses.length === 4);
  assert.deepEqual([statuses[3], buf.u8[0]], [0, 9]);
  desc.close();
  await cluster.close();
});

test('a signal that is asked for after the request was given up has aborted', async () => {
  let request: DiskRequest | null = null;
  const cluster = await startCluster();
  await inMemory(cluster, {
    size: 4096,
    read: (_offset, _buffer, theirs) => {
      request = theirs;
      return new Promise<void>(() => {});
    },
  });
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const statuses: number[] = [];
  channel.read(cluster.memory(512), 0, 0, 512, (_, status) => void statuses.push(status), 'mine');
  cluster.turns();
  assert.equal(channel.abort('mine'), 1);
  await cluster.untilTrue(() => statuses.length === 1);
  const { signal } = request as unknown as DiskRequest;
  assert.equal(signal.aborted, true);
  assert.match((signal.reason as Error).message, /disk "D": read was given up/);
  desc.close();
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

test('a disk that was loaded and could not be made is closed; one of the program itself is the program’s', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const module = join(dir, 'taken.mjs');
  writeFileSync(
    module,
    `import { defineDisk } from ${JSON.stringify(definePath)};
     export default defineDisk({ size: 1024, read() {}, close() { globalThis.tspdkTestTaken = (globalThis.tspdkTestTaken ?? 0) + 1; } });`,
  );
  const closed = () => (globalThis as { tspdkTestTaken?: number }).tspdkTestTaken ?? 0;
  await cluster.until(cluster.bdevs.create('disk', { name: 'D', module }));
  const taken = { code: 'EEXIST' };
  await assert.rejects(cluster.until(cluster.bdevs.create('disk', { name: 'D', module })), taken);
  assert.equal(closed(), 1);
  let own = 0;
  const disk = defineDisk({ size: 1024, read() {}, close: () => void own++ });
  await assert.rejects(cluster.until(cluster.bdevs.create('disk', { name: 'D', disk })), taken);
  assert.equal(own, 0);
  await cluster.until(cluster.bdevs.delete('D', 'disk'));
  assert.equal(closed(), 2);
  await cluster.close();
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
    [{ size: 2 ** 53, read }, /size is 9007199254740992; .* below 2\^53/],
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
    // @ts-expect-error: it is a Uint8Array, without the methods of a Buffer
    () => defineDisk({ size: 512, read: (_: number, buffer: Buffer) => void buffer.writeInt8(1) }),
    // @ts-expect-error: nor in a method
    () => defineDisk({ size: 512, read, write(_: number, _buffer: Buffer) {} }),
  ];
  assert.equal(wrong.length, 6);
});
