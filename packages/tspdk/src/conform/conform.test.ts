/** The conformance suite over every kind of disk of the kit, and over disks that are broken, each in its own way, which it must find by name. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { BdevDesc, bdevRegistry, dropSegment } from '../bdev/index.ts';
import { allowedCores } from '../env/affinity.ts';
import { App, type AppOptions } from '../event/index.ts';
import { type DiskDefinition, defineDisk } from '../module/bdev/disk/define-disk.ts';
import { makeGpt, SPDK_GPT_PART_TYPE_GUID } from '../module/bdev/gpt/gpt-table.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { raidLevelOf } from '../module/bdev/raid/raid-level.ts';
import { raidRegistry } from '../module/bdev/raid/raid-registry.ts';
import { createSplit } from '../module/bdev/split/split-bdev.ts';
import { iobufSubsystem } from '../module/rpc/iobuf.ts';
import { nbdSubsystem, nbdTarget } from '../nbd/index.ts';
import { CHECKS, type CheckResult, type ConformOptions, conform, conformSubsystem } from './index.ts';

const dir = mkdtempSync(join(tmpdir(), 'tspdk-conform-'));
after(() => rmSync(dir, { recursive: true, force: true }));

/** What the suite says of the disk that `make` makes, on `reactors` cores. */
async function check(
  make: (app: App) => Promise<string>,
  options: ConformOptions = {},
  reactors = 1,
): Promise<readonly CheckResult[]> {
  let results: readonly CheckResult[] = [];
  const appOptions: AppOptions = {
    cores: allowedCores().slice(0, reactors),
    pin: false,
    signals: false,
    subsystems: [iobufSubsystem, bdevSubsystem, nbdSubsystem, conformSubsystem],
  };
  const rc = await App.start(appOptions, async (app) => {
    const report = await conform(app.reactor, await make(app), { timeoutMs: 20_000, ...options });
    results = report.results;
    assert.equal(report.stuck, false);
    app.stop(0);
  });
  assert.equal(rc, 0, 'a leak would make it 1');
  return results;
}

/** Has reactors that start meanwhile do without io_uring. */
async function withoutRing<T>(run: () => Promise<T>): Promise<T> {
  const before = process.env.TSPDK_NO_URING;
  process.env.TSPDK_NO_URING = '1';
  try {
    return await run();
  } finally {
    if (before === undefined) delete process.env.TSPDK_NO_URING;
    else process.env.TSPDK_NO_URING = before;
  }
}

const named = (results: readonly CheckResult[], status: CheckResult['status']) =>
  results.filter((result) => result.status === status).map(({ name }) => name);

const failures = (results: readonly CheckResult[]) =>
  results.filter(({ status }) => status === 'failed').map(({ name, message }) => `${name}: ${message}`);

const SIZE = 4 * 1024 * 1024;

async function malloc(app: App, block = 512): Promise<string> {
  await bdevRegistry(app.reactor).create('malloc', { name: 'Base', block_size: block, num_blocks: SIZE / block });
  return 'Base';
}

async function file(app: App, params: object): Promise<string> {
  const filename = join(dir, 'disk.img');
  writeFileSync(filename, '');
  truncateSync(filename, SIZE);
  return (await bdevRegistry(app.reactor).create('uring', { name: 'File', filename, ...params })).name;
}

/** A RAID disk of memory disks, the last `missing` of which are not there. */
const raid = (level: string, members: number, more: { superblock?: boolean; missing?: number } = {}) => {
  const { superblock = false, missing = 0 } = more;
  return async (app: App) => {
    const baseBdevs = Array.from({ length: members }, (_, i) => (i < members - missing ? `M${i}` : ''));
    for (const name of baseBdevs) {
      if (name === '') continue;
      const params = { name, block_size: 512, num_blocks: (SIZE + (superblock ? 1 << 20 : 0)) / 512 };
      await bdevRegistry(app.reactor).create('malloc', params);
    }
    const stripSizeKb = level === 'raid1' ? 0 : 4;
    const params = { name: 'R', level: raidLevelOf(level), stripSizeKb, baseBdevs, superblock, uuid: undefined };
    await raidRegistry(app.reactor).create(params);
    return 'R';
  };
};

/** A partition of a memory disk. */
async function partition(app: App): Promise<string> {
  const [name, blocks] = ['Whole', 2 * (SIZE / 512)];
  await bdevRegistry(app.reactor).create('malloc', { name, block_size: 512, num_blocks: blocks });
  // It must not find half a table.
  await bdevRegistry(app.reactor).waitForExamine();
  const first = {
    typeGuid: SPDK_GPT_PART_TYPE_GUID,
    uniqueGuid: '00000000-0000-4000-8000-000000000001',
    name: 'first',
  };
  const { head, tail } = makeGpt({ blockSizeBytes: 512, blocks }, 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b', [
    { ...first, firstLba: 64, lastLba: 63 + SIZE / 512 },
  ]);
  const { id } = await app.shareSegment(32768);
  const memory = app.reactor.segments.get(id);
  const desc = BdevDesc.open(name, { write: true, reactor: app.reactor, onEvent: () => {} });
  const channel = desc.getIoChannel();
  for (const [at, bytes] of [
    [0, head],
    [blocks * 512 - tail.length, tail],
  ] as const) {
    memory.u8.set(bytes);
    await new Promise((resolve) => channel.write(memory, 0, at, bytes.length, resolve, null));
  }
  desc.close();
  await dropSegment(app.reactor, id);
  await bdevRegistry(app.reactor).examine(bdevRegistry(app.reactor).get(name));
  return `${name}p1`;
}

/** An export of the same application's target as a disk. */
async function remote(app: App): Promise<string> {
  const bdevName = await malloc(app);
  const target = nbdTarget(app);
  await target.addExport({ name: 'disk', bdevName });
  const { port } = await target.startServer({ host: '127.0.0.1', port: 0 }, 'tcp');
  const uri = `nbd://127.0.0.1:${port}/disk`;
  return (await bdevRegistry(app.reactor).create('nbd', { name: 'Remote', uri })).name;
}

/** A memory disk whose blocks have metadata. */
const withMetadata = (md_interleave: boolean, dif_type: number) => async (app: App) => {
  const format = { block_size: 512, md_size: 8, md_interleave, dif_type, num_blocks: SIZE / 512 };
  return (await bdevRegistry(app.reactor).create('malloc', { name: 'M', ...format })).name;
};

/** A disk over the memory disk. */
const above = (kind: string, params: object) => async (app: App) => {
  const base_bdev_name = await malloc(app);
  return (await bdevRegistry(app.reactor).create(kind, { name: 'Top', base_bdev_name, ...params })).name;
};

/** A disk in the program's memory, with some of its functions replaced. */
function userDisk(change: (memory: Uint8Array) => Partial<DiskDefinition> = () => ({})): DiskDefinition {
  const memory = new Uint8Array(SIZE);
  const zero = async (offset: number, length: number) => void memory.fill(0, offset, offset + length);
  return {
    size: SIZE,
    async read(offset, buffer) {
      if (offset % 4096 === 0) await pause(0);
      buffer.set(memory.subarray(offset, offset + buffer.length));
    },
    async write(offset, buffer) {
      memory.set(buffer, offset);
    },
    async flush() {},
    trim: zero,
    zero,
    ...change(memory),
  };
}

const user = (definition: DiskDefinition) => async (app: App) =>
  (await bdevRegistry(app.reactor).create('disk', { name: 'User', disk: defineDisk(definition) })).name;

interface Special {
  /** Checks that do not apply, besides those of what few disks have. */
  readonly lacks?: readonly string[];
  /** False: on reactors without io_uring. */
  readonly ring?: boolean;
}

const NO_COMPARE = ['compare', 'compare-and-write', 'copy'];

/** What it is, how it is made, on how many reactors it is checked. */
const DISKS: [string, (app: App) => Promise<string>, number?, Special?][] = [
  ['malloc', malloc],
  ['malloc on two reactors', malloc, 2],
  ['malloc with blocks of 4096', (app) => malloc(app, 4096)],
  ['file', (app) => file(app, {}), 2],
  ['file, direct', (app) => file(app, { direct: true })],
  [
    'file without io_uring',
    (app) => {
      assert.equal(app.reactor.ring, null);
      return file(app, {});
    },
    2,
    { ring: false },
  ],
  ['passthru', above('passthru', {}), 2],
  ['error without a rule', above('error', { base_name: 'Base' })],
  [
    'delay',
    above('delay', { avg_read_latency: 10, p99_read_latency: 20, avg_write_latency: 10, p99_write_latency: 20 }),
  ],
  ['disk', user(userDisk()), 2],
  [
    'a part of a split',
    async (app) => {
      await malloc(app);
      return (await createSplit(app.reactor, { base_bdev: 'Base', split_count: 2 }))[1];
    },
    2,
  ],
  [
    'verify',
    async (app) => {
      const registry = bdevRegistry(app.reactor);
      await registry.create('malloc', { name: 'Mirror', block_size: 512, num_blocks: SIZE / 512 });
      const bases = { base_bdev_name: await malloc(app), mirror_bdev_name: 'Mirror' };
      return (await registry.create('verify', { name: 'Top', ...bases })).name;
    },
    2,
  ],
  [
    'logwrites',
    async (app) => {
      const registry = bdevRegistry(app.reactor);
      await registry.create('malloc', { name: 'Log', block_size: 512, num_blocks: 262144 });
      const bases = { base_bdev_name: await malloc(app), log_bdev_name: 'Log' };
      return (await registry.create('logwrites', { name: 'Top', ...bases })).name;
    },
  ],
  ['raid0', raid('raid0', 3), 2],
  ['concat', raid('concat', 2)],
  ['raid1 with a superblock', raid('raid1', 2, { superblock: true }), 2],
  ['raid1 with one member left', raid('raid1', 2, { missing: 1 })],
  ['raid5f with a superblock', raid('raid5f', 3, { superblock: true }), 2, { lacks: ['unmap'] }],
  ['raid5f with a member missing', raid('raid5f', 4, { missing: 1 }), 1, { lacks: ['unmap'] }],
  ['a GPT partition', partition, 2],
  ['an NBD export', remote, 2],
  ['malloc with metadata in its blocks, protected', withMetadata(true, 1), 2, { lacks: NO_COMPARE }],
  ['malloc with metadata apart, protected', withMetadata(false, 3), 1, { lacks: NO_COMPARE }],
  ['malloc with metadata that is the user’s', withMetadata(true, 0), 1, { lacks: NO_COMPARE }],
];

for (const [what, make, reactors = 1, { lacks = [], ring = true } = {}] of DISKS) {
  test(`${what}: every check passes`, async () => {
    const results = await (ring ? check(make, {}, reactors) : withoutRing(() => check(make, {}, reactors)));
    assert.deepEqual(failures(results), []);
    assert.deepEqual(
      results.map(({ name }) => name),
      CHECKS.map(({ name }) => name),
    );
    const skipped = named(results, 'skipped');
    for (const name of skipped) {
      assert.ok(
        ['read-only', 'zero-copy', 'parts-of-blocks', ...(reactors === 1 ? ['every-core'] : []), ...lacks].includes(
          name,
        ),
        `${name} was skipped`,
      );
    }
  });
}

test('null: data does not matter', async () => {
  const results = await check(
    async (app) =>
      (await bdevRegistry(app.reactor).create('null', { name: 'N', block_size: 512, num_blocks: 8192 })).name,
  );
  assert.deepEqual(failures(results), []);
  assert.ok(named(results, 'ok').includes('out-of-range'));
});

test('a read-only disk passes what applies to it', async () => {
  const results = await check(user({ size: SIZE, read: (offset, buffer) => void buffer.fill(offset / 512) }));
  assert.deepEqual(failures(results), [
    'read: expected a block alone, the same as in a longer read: byte 512 of the disk is 0x00; got 0x01 (512 of 512 bytes differ)',
  ]);
  const good = await check(
    user({
      size: SIZE,
      read: (offset, buffer) => {
        for (let i = 0; i < buffer.length; i++) buffer[i] = (offset + i) >>> 9;
      },
    }),
  );
  assert.deepEqual(failures(good), []);
  for (const name of ['read', 'read-only', 'out-of-range', 'reset', 'abort', 'removal']) {
    assert.ok(named(good, 'ok').includes(name), name);
  }
});

/** What is broken, and the checks that must find it, with what they say. */
const BROKEN: [string, (memory: Uint8Array) => Partial<DiskDefinition>, Record<string, RegExp>][] = [
  [
    'loses a write now and then',
    (memory) => {
      let writes = 0;
      return {
        async write(offset, buffer) {
          if (++writes % 50 !== 0) memory.set(buffer, offset);
        },
      };
    },
    { kept: /what was written to .* bytes at 0: byte \d+ of the disk is/ },
  ],
  [
    'is off by one block',
    (memory) => ({
      async write(offset, buffer) {
        memory.set(buffer.subarray(0, Math.min(buffer.length, SIZE - offset - 512)), offset + (offset > 0 ? 512 : 0));
      },
    }),
    { edges: /byte \d+ of the disk/, neighbours: /and nothing else changed: byte/ },
  ],
  [
    'writes one byte too many',
    (memory) => ({
      async write(offset, buffer) {
        memory.set(buffer, offset);
        if (offset + buffer.length < SIZE) memory[offset + buffer.length] ^= 1;
      },
    }),
    { neighbours: /512 bytes written at 0, and nothing else changed: byte 512 of the disk/ },
  ],
  [
    'reads short',
    (memory) => ({
      async read(offset, buffer) {
        buffer.set(memory.subarray(offset, offset + buffer.length - (buffer.length > 65536 ? 512 : 0)));
      },
    }),
    { lengths: /what was written to .* bytes at 0: byte \d+ of the disk is .*; got 0x5a \(\d+ of/ },
  ],
  ['does not zero', () => ({ zero() {} }), { 'write-zeroes': /zeroes after write zeroes of 512 bytes at 512/ }],
  [
    'zeroes too much',
    (memory) => ({ zero: (offset, length) => void memory.fill(0, offset, offset + length + 512) }),
    { 'write-zeroes': /what was written to 512 bytes at 1024/ },
  ],
  ['does not unmap', () => ({ trim() {} }), { unmap: /zeroes after unmap of 512 bytes at 512/ }],
  [
    'fails every flush',
    () => ({
      flush() {
        throw Object.assign(new Error('no'), { code: 'ENOSPC' });
      },
    }),
    { flush: /expected flush of a block to succeed; got ENOSPC \(-28\)/, fua: /expected write of .* to succeed/ },
  ],
  [
    'mixes up reads that are under way at once',
    (memory) => {
      let last = 0;
      return {
        async read(offset, buffer) {
          last = offset;
          await pause(0);
          buffer.set(memory.subarray(last, last + buffer.length));
        },
      };
    },
    { concurrent: /what was written to/ },
  ],
];

for (const [what, change, expected] of BROKEN) {
  test(`a disk that ${what} is found`, async () => {
    const only = [...Object.keys(expected), 'abort'];
    const results = await check(user(userDisk(change)), { only });
    const failed = new Map(
      results.filter(({ status }) => status === 'failed').map((each) => [each.name, each.message ?? '']),
    );
    for (const [name, message] of Object.entries(expected)) {
      assert.ok(failed.has(name), `${name} did not find it`);
      assert.match(failed.get(name) ?? '', message);
    }
    assert.ok(!failed.has('abort'), 'what is not broken passes');
  });
}

test('an I/O that never ends is a failure, and so is what comes after it', async () => {
  let results: readonly CheckResult[] = [];
  let release = (): void => {};
  const appOptions: AppOptions = { pin: false, signals: false, subsystems: [iobufSubsystem, bdevSubsystem] };
  const forever = new Promise<void>((resolve) => {
    release = resolve;
  });
  await App.start(appOptions, async (app) => {
    const name = await user(userDisk(() => ({ read: () => forever })))(app);
    const report = await conform(app.reactor, name, { timeoutMs: 50, only: ['read', 'edges'] });
    assert.equal(report.stuck, true);
    results = report.results;
    release();
    app.stop(0);
  });
  assert.deepEqual(named(results, 'failed'), ['read', 'edges']);
  assert.match(results[0].message ?? '', /expected read of \d+ bytes at 0 to end within 50 ms; it has not ended/);
});

test('a check that does not exist is named', async () => {
  await assert.rejects(check(malloc, { only: ['readd'] }), {
    code: 'EINVAL',
    message: /no check "readd"; there are read, write-read/,
  });
});
