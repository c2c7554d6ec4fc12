/** Modules of one's own with the whole contract: on several reactors, with options and data of theirs, and with everything in them that may be wrong. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { modelBatches, runModel } from '../../../bdev/model.sim.ts';
import { bdevModule } from '../../../bdev/module.ts';
import '../malloc/malloc-bdev.ts';
import {
  type BdevModuleDefinition,
  defineBdevModule,
  type ModuleIo,
  type NewModuleBdev,
} from './define-bdev-module.ts';
import './disk-bdev.ts';
import { ioStatus, statusOfThrown } from './io-status.ts';

const dir = mkdtempSync(join(tmpdir(), 'tspdk-module-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
const imports = `
  import { defineBdevModule, forwardIo } from ${here('./define-bdev-module.js')};
  import { BaseBdev, openBase, shareSegment, dropSegment, IO_READ, IO_UNMAP } from ${here('../../../bdev/index.js')};
  import { copyBytes } from ${here('../../../env/segment.js')};`;

/** A file that holds a module; `body` is the text of its definition. */
function file(name: string, body: string): string {
  const path = join(dir, name);
  writeFileSync(path, `${imports}\nlet attached = 0;\nexport default defineBdevModule({ ${body} });`);
  return path;
}

const MEMORY = `
  name: 'memory',
  options: ({ blocks }) => {
    if (!(blocks > 0)) throw new Error('blocks is ' + blocks);
    return { blocks };
  },
  async create({ options }, reactor) {
    const segment = await shareSegment(reactor, options.blocks * 512);
    globalThis.tspdkModuleTaken = (globalThis.tspdkModuleTaken ?? 0) + 1;
    return { sizeBytes: options.blocks * 512, ioTypes: ['read', 'write', 'flush', 'unmap'], data: { segment }, info: { segment } };
  },
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
  const info = bdevModule('disk').dumpInfo?.(spec, cluster.reactors[0]) as { memory: { segment: number } };
  assert.equal(typeof info.memory.segment, 'number');
  const [{ method, params }] = bdevModule('disk').configCalls(spec, cluster.reactors[0]);
  assert.equal(method, 'bdev_disk_create');
  assert.deepEqual([params.name, params.options, 'core' in params], ['D', { blocks: 8 }, false]);
  await cluster.close();
});

test('a disk on a disk: I/O is passed on, and it goes with its base', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await cluster.until(cluster.bdevs.create('malloc', { name: 'B', block_size: 512, num_blocks: 64 }));
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
           return { submit: (io) => forwardIo(channel, io, io.byteOffset + 16384), close: () => channel.close() };
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
  under.close();
  await cluster.until(cluster.bdevs.delete('B'));
  await cluster.untilTrue(() => !cluster.bdevs.has('D'));
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
  ];
  const right = defineBdevModule({
    ...whole,
    attach: ({ data }) => backend((io) => io.complete(data.segment === 1 ? 0 : ioStatus('ENOSPC'))),
  });
  assert.deepEqual([wrong.length, right.name], [5, 'm']);
});
