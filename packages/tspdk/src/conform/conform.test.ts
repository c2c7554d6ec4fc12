/** The conformance suite over every kind of disk of the kit, and over disks that are broken, each in its own way, which it must find by name. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { bdevRegistry } from '../bdev/index.ts';
import { allowedCores } from '../env/affinity.ts';
import { App, type AppOptions } from '../event/index.ts';
import { type DiskDefinition, defineDisk } from '../module/bdev/disk/define-disk.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { createSplit } from '../module/bdev/split/split-bdev.ts';
import { iobufSubsystem } from '../module/rpc/iobuf.ts';
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
    subsystems: [iobufSubsystem, bdevSubsystem, conformSubsystem],
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

const DISKS: [string, (app: App) => Promise<string>, number?][] = [
  ['malloc', malloc],
  ['malloc on two reactors', malloc, 2],
  ['malloc with blocks of 4096', (app) => malloc(app, 4096)],
  ['file', (app) => file(app, {}), 2],
  ['file, direct', (app) => file(app, { direct: true })],
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
];

for (const [what, make, reactors = 1] of DISKS) {
  test(`${what}: every check passes`, async () => {
    const results = await check(make, {}, reactors);
    assert.deepEqual(failures(results), []);
    assert.deepEqual(
      results.map(({ name }) => name),
      CHECKS.map(({ name }) => name),
    );
    const skipped = named(results, 'skipped');
    for (const name of skipped) {
      assert.ok(
        ['read-only', 'zero-copy', 'parts-of-blocks', ...(reactors === 1 ? ['every-core'] : [])].includes(name),
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
    { neighbours: /1 blocks written from block 0 on, and nothing else changed: byte 512 of the disk/ },
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
