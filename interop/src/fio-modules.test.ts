// fio checks what it has written through every kind of disk that carries data, all of them at once on one target of two reactors: those of a machine without io_uring on another.
// raid1 and raid5f are in raid.test.ts while members are replaced, remote exports in initiator.test.ts, RBD in rbd.test.ts.

import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeGpt, SPDK_GPT_PART_TYPE_GUID } from '../../packages/tspdk/dist/module/bdev/gpt/gpt-table.js';
import { describe, run } from './client.ts';
import { nbdUri } from './nbd-server.ts';
import { requires } from './requires.ts';
import { rpcCall } from './rpc.ts';
import { scratch } from './scratch.ts';
import { serverKind } from './server.ts';
import { startTarget, type Target } from './target.ts';

const MIB = 1 << 20;
const SIZE = 8 * MIB;
const block_size = 512;

type Call = <Result = unknown>(method: string, params?: object) => Promise<Result>;

/** A disk to be checked: made by calls, in a folder of the test's. Its name. */
type Make = (call: Call, dir: string) => Promise<string>;

let made = 0;

/** A memory disk of a name of its own. */
const malloc = (call: Call, bytes = SIZE, more: object = {}): Promise<string> =>
  call<string>('bdev_malloc_create', { name: `M${made++}`, num_blocks: bytes / block_size, block_size, ...more });

function newFile(dir: string, bytes = SIZE): string {
  const path = join(dir, `file${made++}`);
  const fd = openSync(path, 'w');
  ftruncateSync(fd, bytes);
  closeSync(fd);
  return path;
}

/** Files that were to be used with O_DIRECT, and are where that cannot be. */
const notDirect: string[] = [];

const file =
  (method: string, direct: boolean): Make =>
  async (call, dir) => {
    const name = await call<string>(method, { name: `F${made++}`, filename: newFile(dir), direct });
    type Info = { readonly direct: boolean };
    const [bdev] = await call<{ driver_specific: { aio?: Info; uring?: Info } }[]>('bdev_get_bdevs', { name });
    const { aio, uring } = bdev!.driver_specific;
    if ((aio ?? uring)?.direct === !direct) notDirect.push(name);
    return name;
  };

/** A disk on one memory disk. */
const over =
  (method: string, base: string, more: object = {}): Make =>
  async (call) =>
    call<string>(method, { name: `T${made++}`, [base]: await malloc(call), ...more });

const raid =
  (raid_level: string): Make =>
  async (call) => {
    const base_bdevs = [await malloc(call), await malloc(call), await malloc(call)];
    const name = `R${made++}`;
    await call('bdev_raid_create', { name, raid_level, strip_size_kb: 64, base_bdevs });
    return name;
  };

const kit = (path: string) => JSON.stringify(new URL(`../../packages/tspdk/dist/${path}`, import.meta.url).href);

/** A disk of a user's module. */
const module =
  (text: string): Make =>
  (call, dir) => {
    const path = join(dir, `module${made++}.mjs`);
    writeFileSync(path, text);
    return call<string>('bdev_disk_create', { name: `D${made++}`, module: path });
  };

const disk = `import { defineDisk } from ${kit('index.js')};
const memory = new Uint8Array(${SIZE});
export default defineDisk({
  size: ${SIZE},
  async read(offset, buffer) { buffer.set(memory.subarray(offset, offset + buffer.length)); },
  async write(offset, buffer) { memory.set(buffer, offset); },
});`;

const bdevModule = `import { defineBdevModule, dropSegment, IO_READ, IO_WRITE, shareSegment } from ${kit('index.js')};
export default defineBdevModule({
  name: 'memory',
  create: async (_, reactor) =>
    ({ sizeBytes: ${SIZE}, ioTypes: ['read', 'write'], data: await shareSegment(reactor, ${SIZE}) }),
  attach: ({ data }, reactor) => {
    const disk = reactor.segments.get(data);
    const submit = (io) => {
      for (let i = 0, at = io.byteOffset; i < io.iovs.count; at += io.iovs.bytes[i++]) {
        const [offset, bytes] = [io.iovs.offset[i], io.iovs.bytes[i]];
        const piece = io.iovs.segment[i].u8.subarray(offset, offset + bytes);
        if (io.type === IO_READ) piece.set(disk.u8.subarray(at, at + bytes));
        else disk.u8.set(piece, at);
      }
      io.complete(0);
    };
    return { createChannel: () => ({ submit }) };
  },
  destroy: ({ data }, reactor) => dropSegment(reactor, data),
});`;

async function partition(call: Call, dir: string): Promise<string> {
  const [bytes, first] = [SIZE + MIB, 64];
  const path = newFile(dir, bytes);
  const { head, tail } = makeGpt({ blockSizeBytes: 512, blocks: bytes / 512 }, 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b', [
    {
      typeGuid: SPDK_GPT_PART_TYPE_GUID,
      uniqueGuid: '00000000-0000-4000-8000-000000000001',
      firstLba: first,
      lastLba: first + SIZE / 512 - 1,
    },
  ]);
  const fd = openSync(path, 'r+');
  writeSync(fd, head, 0, head.length, 0);
  writeSync(fd, tail, 0, tail.length, bytes - tail.length);
  closeSync(fd);
  const name = await call<string>('bdev_uring_create', { name: `G${made++}`, filename: path, block_size: 512 });
  await call('bdev_wait_for_examine');
  return `${name}p1`;
}

const latency = { avg_read_latency: 50, p99_read_latency: 500, avg_write_latency: 50, p99_write_latency: 500 };

const disks: Record<string, Make> = {
  'aio-page-cache': file('bdev_aio_create', false),
  'aio-direct': file('bdev_aio_create', true),
  'uring-page-cache': file('bdev_uring_create', false),
  'uring-direct': file('bdev_uring_create', true),
  'metadata-in-blocks': (call) => malloc(call, SIZE, { md_size: 8, md_interleave: true, dif_type: 1 }),
  'metadata-apart': (call) => malloc(call, SIZE, { md_size: 16, md_interleave: false, dif_type: 2 }),
  passthru: over('bdev_passthru_create', 'base_bdev_name'),
  delay: over('bdev_delay_create', 'base_bdev_name', latency),
  error: async (call) => {
    const base_name = await malloc(call);
    await call('bdev_error_create', { base_name });
    return `EE_${base_name}`;
  },
  split: async (call) =>
    (await call<string[]>('bdev_split_create', { base_bdev: await malloc(call, 2 * SIZE), split_count: 2 }))[1]!,
  gpt: partition,
  logwrites: async (call) =>
    over('bdev_logwrites_create', 'base_bdev_name', { log_bdev_name: await malloc(call, 64 * MIB) })(call, ''),
  verify: async (call) =>
    over('bdev_verify_create', 'base_bdev_name', { mirror_bdev_name: await malloc(call) })(call, ''),
  raid0: raid('raid0'),
  concat: raid('concat'),
  defineDisk: module(disk),
  defineBdevModule: module(bdevModule),
};

/** What fio says of a job, as far as it matters. */
interface FioJob {
  readonly jobname: string;
  readonly error: number;
  readonly read: { readonly io_bytes: number };
  readonly write: { readonly io_bytes: number };
}

const LOOPS = 2;

/** Has fio write all of each export, in pieces of many sizes and in no order, and read it back, all exports at once. */
async function verify(t: TestContext, target: Target, names: readonly string[]): Promise<FioJob[]> {
  const common = [
    '[global]',
    'ioengine=nbd',
    'thread',
    'rw=randwrite',
    'bsrange=4k-64k',
    'iodepth=8',
    `size=${SIZE}`,
    `loops=${LOOPS}`,
    'verify=crc32c',
    'verify_fatal=1',
    'verify_backlog=64',
    'verify_state_save=0',
    'serialize_overlap=1',
  ];
  const jobs = names.flatMap((name) => [`[${name}]`, `uri=${nbdUri(target.address, name)}`]);
  const path = join(scratch(t), 'jobs.fio');
  writeFileSync(path, [...common, ...jobs, ''].join('\n'));
  const finished = await run('fio', ['--output-format=json', path], { cwd: scratch(t) });
  const { stdout } = finished;
  assert.match(stdout, /\{/, describe(finished));
  return (JSON.parse(stdout.slice(stdout.indexOf('{'), stdout.lastIndexOf('}') + 1)) as { jobs: FioJob[] }).jobs;
}

/** A target with `disks` exported, each under its key. */
async function serve(t: TestContext, kinds: Record<string, Make>, env: Record<string, string> = {}) {
  const target = await startTarget(t, { sizeBytes: MIB, reactors: 2, env });
  const call: Call = (method, params) => rpcCall(target.rpcPath, method, params);
  const dir = scratch(t);
  const bdevs = new Map<string, string>();
  for (const [name, make] of Object.entries(kinds)) {
    bdevs.set(name, await make(call, dir));
    await call('nbd_export_add', { name, bdev_name: bdevs.get(name) });
  }
  return { target, call, bdevs };
}

function check(jobs: readonly FioJob[], names: readonly string[]): void {
  assert.deepEqual(jobs.map(({ jobname }) => jobname).sort(), [...names].sort());
  for (const { jobname, error, read, write } of jobs) {
    assert.equal(error, 0, jobname);
    assert.equal(write.io_bytes, LOOPS * SIZE, jobname);
    assert.equal(read.io_bytes, LOOPS * SIZE, jobname);
  }
}

test('fio verifies what it has written through every kind of disk, and finds one byte that is another', async (t) => {
  if (serverKind !== 'tspdk') return t.skip('for tspdk only');
  if (!requires(t, 'fio')) return;
  const { target, call, bdevs } = await serve(t, disks);
  const names = Object.keys(disks);
  if (notDirect.length > 0) t.diagnostic('O_DIRECT is not possible here: files were used through the page cache');
  check(await verify(t, target, names), names);
  // As everybody knows it can.
  const fault = { op: 'read', action: 'corrupt', corrupt_offset: 1000, skip: 20, count: 1 };
  await call('fault_add', { name: bdevs.get('passthru'), ...fault });
  const jobs = await verify(t, target, ['passthru', 'delay']);
  const failed = jobs.filter(({ error }) => error !== 0).map(({ jobname }) => jobname);
  assert.deepEqual(failed, ['passthru']);
  await target.stop();
});

test('fio verifies a file on a target without io_uring', async (t) => {
  if (serverKind !== 'tspdk') return t.skip('for tspdk only');
  if (!requires(t, 'fio')) return;
  const kinds = { aio: file('bdev_aio_create', false), uring: file('bdev_uring_create', false), gpt: partition };
  const { target } = await serve(t, kinds, { TSPDK_NO_URING: '1' });
  check(await verify(t, target, Object.keys(kinds)), Object.keys(kinds));
  await target.stop();
});
