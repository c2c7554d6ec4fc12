/** Modules of one's own with the whole contract: on several reactors, with options and data of theirs, and with everything in them that may be wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { faultRegistry } from '../../../bdev/faults/registry.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { bdevModule } from '../../../bdev/module.ts';
import { runIo } from '../../../bdev/stub-setup.sim.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import {
  type BdevModuleDefinition,
  defineBdevModule,
  type ModuleChannel,
  type ModuleIo,
  type NewModuleBdev,
} from './define-bdev-module.ts';
import { moduleFolder } from './disk-setup.sim.ts';
import { ioStatus, statusOfThrown } from './io-status.ts';

const file = moduleFolder();

const MEMORY = `
  name: 'memory',
  options: ({ blocks }) => {
    if (!(blocks > 0)) throw new Error('blocks is ' + blocks);
    return { blocks };
  },
  async create({ options }, reactor) {
    const segment = await shareSegment(reactor, options.blocks * 512);
    globalThis.tspdkModuleTaken = (globalThis.tspdkModuleTaken ?? 0) + 1;
    return { sizeBytes: options.blocks * 512, ioTypes: ['read', 'write', 'flush', 'unmap'], data: { segment } };
  },
  dumpInfo: ({ data, name }, reactor) => ({ name, first: reactor.segments.get(data.segment).u8[0] }),
  attach: ({ data, name }, reactor) => {
    attached++;
    if (attached > 1) throw new Error('each reactor loads its own');
    const memory = reactor.segments.get(data.segment);
    return {
      createChannel: () => ({
        submit(io) {
          let at = io.byteOffset;
          if (io.type === IO_UNMAP) memory.u8.fill(0, at, at + io.bytes);
          for (let i = 0; i < io.iovs.count; i++) {
            const [theirs, offset, bytes] = [io.iovs.segment[i], io.iovs.offset[i], io.iovs.bytes[i]];
            if (io.type === IO_READ) copyBytes(theirs, offset, memory, at, bytes);
            else copyBytes(memory, at, theirs, offset, bytes);
            at += bytes;
          }
          io.complete(0);
        },
      }),
    };
  },
  destroy: async ({ data }, reactor) => {
    globalThis.tspdkModuleTaken--;
    await dropSegment(reactor, data.segment);
  },`;
const taken = () => (globalThis as { tspdkModuleTaken?: number }).tspdkModuleTaken ?? 0;

const create = (cluster: Cluster, module: string, options: Record<string, unknown> = {}) =>
  cluster.until(cluster.bdevs.create('disk', { name: 'D', module, options }));

test('a module holds what was written from every core, each of which runs its own part', async () => {
  const module = file('memory.mjs', MEMORY);
  await fc.assert(
    fc.asyncProperty(modelBatches(512, 200), async (batches) => {
      const cluster = await startCluster({ reactors: 3 });
      const bdev = await create(cluster, module, { blocks: 512 });
      assert.equal(bdev.homeCore, -1);
      assert.equal(bdev.productName, 'memory');
      await runModel(cluster, bdev, new Uint8Array(512 * 512), batches);
      await cluster.close();
    }),
    { numRuns: 15 },
  );
  assert.equal(taken(), 0);
});

test('what it tells, and the call that makes it again', async () => {
  const cluster = await startCluster();
  const module = file('saved.mjs', MEMORY);
  const { spec } = await create(cluster, module, { blocks: 8 });
  const told = () => bdevModule('disk').dumpInfo?.(spec, cluster.reactors[0]) as { memory: { first: number } };
  assert.deepEqual(told().memory, { name: 'D', first: 0 });
  const desc = BdevDesc.open('D', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const buf = cluster.memory(512);
  buf.u8.fill(5);
  const channel = desc.getIoChannel();
  assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 0, 512, cb, null)), 0);
  assert.deepEqual(told().memory, { name: 'D', first: 5 }, 'as it is now');
  desc.close();
  const [{ method, params }] = bdevModule('disk').configCalls(spec, cluster.reactors[0]);
  assert.equal(method, 'bdev_disk_create');
  assert.deepEqual([params.name, params.options, 'core' in params], ['D', { blocks: 8 }, false]);
  await cluster.close();
});

test('a disk on a disk: I/O and resets are passed on, and it goes with its base', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await malloc(cluster, 'B', 64);
  const module = file(
    'above.mjs',
    `name: 'above',
     create({ options }, reactor) {
       const base = BaseBdev.open(reactor, options.base);
       return { sizeBytes: base.bdev.sizeBytes / 2, ioTypes: ['read', 'write'], bases: [base], data: base.ref };
     },
     attach(spec, reactor) {
       const base = openBase(spec.data, reactor);
       return {
         createChannel() {
           const channel = base.getIoChannel();
           return {
             submit: (io) => forwardIo(channel, io, io.byteOffset + 16384),
             reset: (done) => forwardReset([channel], done),
             close: () => channel.close(),
           };
         },
         close: () => base.close(),
       };
     },`,
  );
  await create(cluster, module, { base: 'B' });
  const buf = cluster.memory(1024);
  buf.u8.fill(7, 0, 512);
  const under = BdevDesc.open('B', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  const desc = BdevDesc.open('D', { write: true, reactor: cluster.reactors[1], onEvent: () => desc.close() });
  const statuses: number[] = [];
  const cb = (_: unknown, status: number) => void statuses.push(status);
  desc.getIoChannel().write(buf, 0, 1024, 512, cb, null);
  await cluster.untilTrue(() => statuses.length === 1);
  under.getIoChannel().read(buf, 512, 16384 + 1024, 512, cb, null);
  await cluster.untilTrue(() => statuses.length === 2);
  assert.deepEqual([statuses, buf.u8[512], buf.u8[1023]], [[0, 0], 7, 7]);
  // What others have under way on the base a reset above ends, too.
  const stuck = await cluster.until(faultRegistry(cluster.reactors[0]).add('B', 'op=read,action=stuck'));
  const below = under.getIoChannel();
  below.read(buf, 0, 0, 512, cb, null);
  desc.getIoChannel().reset(cb, null);
  await cluster.untilTrue(() => statuses.length === 4);
  assert.deepEqual(statuses.slice(2), [-125, 0]);
  await cluster.until(faultRegistry(cluster.reactors[0]).remove(stuck));
  under.close();
  await cluster.until(cluster.bdevs.delete('B'));
  await cluster.untilTrue(() => !cluster.bdevs.has('D'));
  await cluster.close();
});

const separate = (metadata: string) => `
  name: 'separate',
  async create({ options }, reactor) {
    const data = { blocks: await shareSegment(reactor, 64 * 512), beside: await shareSegment(reactor, 64 * 8) };
    return { sizeBytes: 64 * 512, ioTypes: ['read', 'write'], metadata: ${metadata}, data };
  },
  attach: ({ data }, reactor) => {
    const copy = (io, iovs, memory, at) => {
      for (let i = 0; i < iovs.count; i++) {
        const [theirs, offset, bytes] = [iovs.segment[i], iovs.offset[i], iovs.bytes[i]];
        if (io.type === IO_READ) copyBytes(theirs, offset, memory, at, bytes);
        else copyBytes(memory, at, theirs, offset, bytes);
        at += bytes;
      }
    };
    const [blocks, beside] = [reactor.segments.get(data.blocks), reactor.segments.get(data.beside)];
    return {
      createChannel: () => ({
        submit(io) {
          copy(io, io.iovs, blocks, io.byteOffset);
          if (io.mdIovs !== null) copy(io, io.mdIovs, beside, io.byteOffset / 64);
          io.complete(0);
        },
      }),
    };
  },
  dumpInfo: ({ data }) => data,
  destroy: async ({ data }, reactor) => {
    await dropSegment(reactor, data.blocks);
    await dropSegment(reactor, data.beside);
  },`;

test('metadata in memory of its own: protection information is the layer’s work, its bytes the disk’s', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const module = file('separate.mjs', separate('{ bytes: 8, interleaved: false, difType: 1 }'));
  const { spec } = await create(cluster, module);
  assert.deepEqual([spec.metadata?.bytes, spec.metadata?.difType, spec.metadata?.difIsHeadOfMd], [8, 1, false]);
  const info = bdevModule('disk').dumpInfo?.(spec, cluster.reactors[0]) as { separate: { blocks: number } };
  const desc = BdevDesc.open('D', { write: true, hideMetadata: true, reactor: cluster.reactors[1], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(4096);
  buf.u8.fill(3, 0, 2048);
  assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 5 * 512, 2048, cb, null)), 0);
  const read = () => runIo(cluster, (cb) => channel.read(buf, 2048, 5 * 512, 2048, cb, null));
  assert.equal(await read(), 0);
  assert.deepEqual(buf.u8.subarray(2048), buf.u8.subarray(0, 2048));
  cluster.reactors[0].segments.get(info.separate.blocks).u8[6 * 512] ^= 1;
  assert.equal(await read(), -5, 'a flipped bit is found');
  desc.close();
  await cluster.close();
});

test('other names, its uuid, another size, and what it does when it is there', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const body = (made: string) => `
    name: 'named',
    create: () => ({
      sizeBytes: 4096, ioTypes: ['read'], aliases: ['other'], uuid: '0f0f0f0f-0000-4000-8000-000000000001', data: { seen: new SharedArrayBuffer(8) },
    }),
    made(bdev, reactor) { ${made} },
    attach: ({ data }, { core }) => ({
      createChannel: () => ({ submit: (io) => io.complete(0) }),
      resize: (blocks) => { new Int32Array(data.seen)[core] = blocks; },
    }),
    dumpInfo: ({ data }) => ({ seen: [...new Int32Array(data.seen)] }),`;
  const there = file('named.mjs', body('globalThis.tspdkModuleMade = bdev.name + reactor.core;'));
  const bdev = await create(cluster, there);
  assert.equal((globalThis as { tspdkModuleMade?: string }).tspdkModuleMade, 'D0');
  assert.equal(cluster.bdevs.get('other'), bdev);
  assert.equal(cluster.bdevs.get('0f0f0f0f-0000-4000-8000-000000000001'), bdev);
  await cluster.until(cluster.bdevs.resize('D', 16));
  const told = () => bdevModule('disk').dumpInfo?.(bdev.spec, cluster.reactors[0]) as { named: unknown };
  assert.deepEqual(told().named, { seen: [16, 16] });
  await cluster.until(cluster.bdevs.delete('D'));
  await assert.rejects(create(cluster, file('unmade.mjs', body('throw new Error("not now");'))), {
    message: 'not now',
  });
  assert.equal(cluster.bdevs.has('other'), false);
  const mute = body('').replace(
    'dumpInfo: ({ data }) =>',
    'dumpInfo: () => { throw new Error("mute"); }, was: ({ data }) =>',
  );
  const { spec } = await create(cluster, file('mute.mjs', mute));
  const muted = bdevModule('disk').dumpInfo?.(spec, cluster.reactors[0]);
  assert.deepEqual(muted?.named, { error: 'mute' });
  await cluster.close();
});

test('a module may have one channel for all', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const module = file(
    'one-channel.mjs',
    `name: 'one-channel',
     create: () => ({ sizeBytes: 4096, ioTypes: ['read'] }),
     attach: () => ({
       createChannel: () => (globalThis.tspdkOneChannel ??= {
         submit: (io) => io.complete(0),
         reset: (done) => done(0),
       }),
     }),`,
  );
  await create(cluster, module);
  const descs = cluster.reactors.map((reactor) => BdevDesc.open('D', { write: false, reactor, onEvent: () => {} }));
  const channels = descs.map((desc) => desc.getIoChannel());
  for (const channel of channels) assert.equal(await runIo(cluster, (cb) => channel.reset(cb, null)), 0);
  for (const desc of descs) desc.close();
  await cluster.close();
});

test('a reset goes on to the disk, which says when and how it ended', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const module = file(
    'resets.mjs',
    `name: 'resets',
     create: () => ({ sizeBytes: 4096, ioTypes: ['read'], data: { asked: new SharedArrayBuffer(4) } }),
     attach: ({ data }) => ({
       createChannel: () => ({
         submit: (io) => io.complete(0),
         reset(done) {
           const turn = ++new Int32Array(data.asked)[0];
           if (turn === 1) { globalThis.tspdkModuleAgain = () => done(0); done(0); }
           if (turn === 2) globalThis.tspdkModuleReset = () => done(-28);
           if (turn === 3) throw Object.assign(new Error('stuck'), { code: 'ETIMEDOUT' });
         },
       }),
     }),
     dumpInfo: ({ data }) => ({ asked: new Int32Array(data.asked)[0] }),`,
  );
  const { spec } = await create(cluster, module);
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[1], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const reset = () => runIo(cluster, (cb) => channel.reset(cb, null));
  assert.equal(await reset(), 0);
  const later = globalThis as { tspdkModuleAgain?: () => void; tspdkModuleReset?: () => void };
  // A second end is none.
  cluster.on(1, () => later.tspdkModuleAgain?.());
  const second = reset();
  await cluster.untilTrue(() => later.tspdkModuleReset !== undefined);
  cluster.on(1, () => later.tspdkModuleReset?.());
  assert.deepEqual([await second, await reset()], [-28, -110]);
  const buf = cluster.memory(512);
  assert.equal(await runIo(cluster, (cb) => channel.read(buf, 0, 0, 512, cb, null)), 0, 'it goes on');
  assert.deepEqual(bdevModule('disk').dumpInfo?.(spec, cluster.reactors[0]).resets, { asked: 3 });
  desc.close();
  await cluster.close();
});

test('what is wrong with what a module gives is named, and nothing is left of it', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const withCreate = (made: string) =>
    `name: 'm', create: () => (${made}), attach: () => ({ createChannel: () => ({ submit() {} }) }),`;
  const cases: [string, string, RegExp][] = [
    [
      'size',
      withCreate('{ sizeBytes: 100, ioTypes: ["read"] }'),
      /sizeBytes is 100; it is a positive multiple of blockSizeBytes 512/,
    ],
    ['block', withCreate('{ sizeBytes: 1024, blockSizeBytes: 500, ioTypes: ["read"] }'), /blockSizeBytes is 500/],
    [
      'types',
      withCreate('{ sizeBytes: 1024, ioTypes: ["read", "trim"] }'),
      /ioTypes has "trim"; there are read, write, unmap/,
    ],
    ['noread', withCreate('{ sizeBytes: 1024, ioTypes: ["write"] }'), /a list with "read" in it/],
    [
      'home',
      withCreate('{ sizeBytes: 1024, ioTypes: ["read", "copy"], homeCore: 0 }'),
      /"copy", which a disk with a homeCore cannot take/,
    ],
    [
      'md',
      withCreate(
        '{ sizeBytes: 5200, blockSizeBytes: 520, ioTypes: ["read"], metadata: { bytes: 16, interleaved: true } }',
      ),
      /blockSizeBytes is 520; it is a multiple of 512, and 16 bytes of metadata/,
    ],
    [
      'mdzcopy',
      withCreate('{ sizeBytes: 1024, ioTypes: ["read", "zcopy"], metadata: { bytes: 8, interleaved: false } }'),
      /"zcopy", which a disk with metadata cannot take/,
    ],
    [
      'pi',
      withCreate('{ sizeBytes: 1024, ioTypes: ["read"], metadata: { bytes: 4, interleaved: false, difType: 1 } }'),
      /"D": /,
    ],
    [
      'data',
      withCreate('{ sizeBytes: 1024, ioTypes: ["read"], data: { f() {} } }'),
      /its data does not cross to other reactors/,
    ],
    [
      'backend',
      "name: 'm', create: () => ({ sizeBytes: 512, ioTypes: ['read'] }), attach: () => ({}),",
      /attach gave nothing with createChannel/,
    ],
    ['options', MEMORY, /blocks is undefined/],
  ];
  for (const [name, body, message] of cases) {
    await assert.rejects(create(cluster, file(`${name}.mjs`, body)), { message }, name);
    assert.equal(cluster.bdevs.has('D'), false);
  }
  assert.equal(taken(), 0);
  // The same name is free again, and a channel is checked when it is made.
  const types = "['read', 'zcopy']";
  await create(
    cluster,
    file(
      'zcopy.mjs',
      `name: 'm', create: () => ({ sizeBytes: 512, ioTypes: ${types} }), attach: () => ({ createChannel: () => ({ submit() {} }) }),`,
    ),
  );
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  assert.throws(() => desc.getIoChannel(), /ioTypes has "zcopy", and its channel no zcopy/);
  desc.close();
  await cluster.close();
});

test('definitions of modules are checked', () => {
  const whole = { name: 'm', create() {}, attach() {} };
  for (const [change, message] of [
    [{ name: '' }, /name is ""; it is 1 to 64 letters/],
    [{ name: 7 }, /name is 7/],
    [{ create: undefined }, /create of module "m" is missing/],
    [{ attach: 1 }, /attach of module "m" is missing/],
    [{ destroy: 1 }, /destroy of module "m" is 1; it is a function/],
    [{ examine: true }, /examine of module "m" is true; it is a function/],
    [{ dumpInfo: {} }, /dumpInfo of module "m" is \[object Object\]; it is a function/],
  ] as const) {
    const definition = { ...whole, ...change } as unknown as BdevModuleDefinition<unknown, unknown>;
    assert.throws(() => defineBdevModule(definition), { code: 'EINVAL', message });
  }
});

test('what is thrown has the status that it names, or that of its cause', () => {
  const coded = (code: string, cause?: unknown) => Object.assign(new Error(code, { cause }), { code });
  const cases: [unknown, number][] = [
    [coded('ENOSPC'), -28],
    [coded('EROFS'), -30],
    [coded('EPERM'), -1],
    [coded('ETIMEDOUT'), -110],
    [new TypeError('fetch failed', { cause: coded('ECONNREFUSED') }), -111],
    [AbortSignal.abort().reason, -125],
    [new DOMException('late', 'TimeoutError'), -110],
    [coded('ENOMEM'), -5],
    [coded('ERR_INVALID_ARG_TYPE'), -5],
    [coded('toString'), -5],
    ['text', -5],
    [undefined, -5],
  ];
  if (process.platform === 'linux') cases.push([coded('EDQUOT'), -122], [coded('ENOTCONN'), -107]);
  for (const [thrown, status] of cases) assert.equal(statusOfThrown(thrown), status, String(thrown));
  assert.equal(ioStatus('ENOSPC'), -28);
});

test('what TypeScript lets nobody write of a module', () => {
  const whole = {
    name: 'm',
    create: () => ({ sizeBytes: 512, ioTypes: ['read' as const], data: { segment: 1 } }),
  };
  const backend = (submit: (io: ModuleIo) => void) => ({ createChannel: () => ({ submit }) });
  const found = {
    ...whole,
    attach: () => backend(() => {}),
    options: (said: Readonly<Record<string, unknown>>) => ({ base: String(said.base), at: Number(said.at) }),
  };
  const wrong: (() => unknown)[] = [
    // @ts-expect-error: a status is 0 or what ioStatus gave, not an errno
    () => defineBdevModule({ ...whole, attach: () => backend((io) => io.complete(28)) }),
    // @ts-expect-error: nor a name
    () => defineBdevModule({ ...whole, attach: () => backend((io) => io.complete('EIO')) }),
    () =>
      backend((io) => {
        // @ts-expect-error: what is not the disk's is not changed
        io.bytes = 0;
      }),
    // @ts-expect-error: attach gets the data that create gave
    () => defineBdevModule({ ...whole, attach: ({ data }) => backend(() => data.memory) }),
    () => {
      // @ts-expect-error: no such type of I/O
      const made: NewModuleBdev<number> = { sizeBytes: 512, ioTypes: ['trim'], data: 1 };
      return made;
    },
    () => {
      // @ts-expect-error: a copy is not carried to a home core
      const made: NewModuleBdev<number> = { sizeBytes: 512, ioTypes: ['read', 'copy'], homeCore: 0, data: 1 };
      return made;
    },
    () => {
      const metadata = { bytes: 8, interleaved: false };
      // @ts-expect-error: nor is metadata
      const made: NewModuleBdev<number> = { sizeBytes: 512, ioTypes: ['read'], homeCore: 0, metadata, data: 1 };
      return made;
    },
    // @ts-expect-error: a reset ends with a status, not an error
    (): ModuleChannel => ({ submit: () => {}, reset: (done) => done(new Error('no')) }),
    () =>
      defineBdevModule({
        ...whole,
        attach: () => backend(() => {}),
        // @ts-expect-error: what it tells is told of the data that create gave
        dumpInfo: ({ data }) => ({ at: data.memory }),
      }),
    () =>
      defineBdevModule({
        ...found,
        // @ts-expect-error: what is found has the options that create gets
        examine: (disk) => void disk.create({ name: 'part', options: { base: disk.bdev.name } }),
      }),
    () =>
      defineBdevModule({
        ...found,
        // @ts-expect-error: who looks at a disk does not write to it
        examine: (disk) => void disk.write(0, new Uint8Array(512)),
      }),
  ];
  const right = defineBdevModule({
    ...whole,
    attach: ({ data }) => backend((io) => io.complete(data.segment === 1 ? 0 : ioStatus('ENOSPC'))),
  });
  const finds = defineBdevModule({
    ...found,
    examine: (disk) => void disk.create({ name: 'part', options: { base: disk.bdev.name, at: 0 } }),
  });
  assert.deepEqual([wrong.length, right.name, finds.name], [11, 'm', 'm']);
});
