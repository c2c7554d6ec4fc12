/** Partitions as disks: found when a disk is made, or asked for; from tables of our own and from sgdisk's. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { faultRegistry, WAIT_FOR_EXAMINE } from '../../../bdev/index.ts';
import { describeBdev } from '../../../bdev/rpc.ts';
import { channelOf, open, runIo } from '../../../bdev/stub-setup.sim.ts';
import { type LogRecord, log } from '../../../log/index.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../../rpc/index.ts';
import '../file/file-bdev.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { createSplit } from '../split/split-bdev.ts';
import { examineGpt, gptModule } from './gpt-bdev.ts';
import { makeGpt, type NewGptPartition, SPDK_GPT_PART_TYPE_GUID, SPDK_GPT_PART_TYPE_GUID_OLD } from './gpt-table.ts';
import { registerGptRpc } from './rpc.ts';

const DISK = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b';
const LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4';
const BLOCKS = 8192;
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

const three: NewGptPartition[] = [
  { typeGuid: SPDK_GPT_PART_TYPE_GUID, uniqueGuid: uuid(1), firstLba: 64, lastLba: 1023, name: 'first' },
  { typeGuid: LINUX, uniqueGuid: uuid(2), firstLba: 1024, lastLba: 2047, name: 'root' },
  { typeGuid: SPDK_GPT_PART_TYPE_GUID_OLD, uniqueGuid: uuid(3), firstLba: 2048, lastLba: 4095 },
];

async function world() {
  const cluster = await startCluster();
  cluster.bdevs.examineHooks.push(examineGpt);
  const rpc = new RpcRegistry();
  registerGptRpc(rpc, { registry: () => cluster.bdevs });
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params: object) => cluster.until((async () => rpc.call(method, params))());
  const names = () => cluster.bdevs.list().map(({ name }) => name);
  return { cluster, call, names };
}

async function put(cluster: Cluster, name: string, at: number, bytes: Uint8Array): Promise<void> {
  const desc = open(cluster, name);
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(bytes.length);
  buf.u8.set(bytes);
  assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, at, bytes.length, cb, null)), 0);
  desc.close();
  cluster.forget(buf);
}

/** A memory disk with a table, which has not been looked at since. */
async function partitioned(cluster: Cluster, name: string, partitions = three): Promise<void> {
  await malloc(cluster, name, BLOCKS);
  await cluster.until(cluster.bdevs.waitForExamine());
  const { head, tail } = makeGpt({ blockSizeBytes: 512, blocks: BLOCKS }, DISK, partitions);
  await put(cluster, name, 0, head);
  await put(cluster, name, BLOCKS * 512 - tail.length, tail);
}

test('partitions of SPDK’s types appear when a disk is made, the older one a block short; the rest of the disk is claimed', async () => {
  const { cluster, names } = await world();
  await partitioned(cluster, 'M');
  await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('M')));
  assert.deepEqual(names(), ['M', 'Mp1', 'Mp3']);
  assert.deepEqual([cluster.bdevs.get('Mp1').blocks, cluster.bdevs.get('Mp3').blocks], [960, 2047]);
  assert.deepEqual(describeBdev(cluster.bdevs.get(uuid(1))).driver_specific, {
    gpt: {
      base_bdev: 'M',
      offset_blocks: 64,
      partition_type_guid: SPDK_GPT_PART_TYPE_GUID,
      unique_partition_guid: uuid(1),
      partition_name: 'first',
    },
  });
  assert.throws(() => open(cluster, 'M'), { code: 'EPERM' });
  await put(cluster, 'Mp3', 512, new Uint8Array(512).fill(9));
  const base = open(cluster, 'M', false);
  const buf = cluster.memory(512);
  const below = channelOf(cluster, base);
  assert.equal(await runIo(cluster, (cb) => below.read(buf, 0, 2049 * 512, 512, cb, null)), 0);
  assert.equal(buf.u8[0], 9);
  base.close();
  assert.equal(
    cluster.bdevs.configCalls().some(({ method }) => method === 'bdev_gpt_create'),
    false,
  );
  await cluster.until(cluster.bdevs.delete('M'));
  assert.deepEqual(names(), [], 'they go with their disk');
  await cluster.close();
});

test('somebody else’s partitions appear when they are asked for, and go again', async () => {
  const { cluster, call, names } = await world();
  await partitioned(cluster, 'M', three.slice(1, 2));
  await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('M')));
  assert.deepEqual(names(), ['M']);
  assert.deepEqual(await call('bdev_gpt_create', { base_bdev: 'M' }), ['Mp1']);
  assert.equal(cluster.bdevs.get('Mp1').blocks, 1024);
  assert.deepEqual(
    cluster.bdevs.configCalls().filter(({ method }) => method === 'bdev_gpt_create'),
    [{ method: 'bdev_gpt_create', params: { base_bdev: 'M' } }],
  );
  assert.equal(await call('bdev_gpt_delete', { base_bdev: 'M' }), true);
  assert.deepEqual(names(), ['M']);
  await cluster.until(createSplit(cluster.reactors[0], { base_bdev: 'M', split_count: 1 }));
  await assert.rejects(call('bdev_gpt_create', { base_bdev: 'M' }), { code: 'EPERM', message: /"M" is claimed/ });
  await assert.rejects(call('bdev_gpt_delete', { base_bdev: 'M' }), { code: 'ENOENT' });
  await malloc(cluster, 'E', 64);
  await assert.rejects(call('bdev_gpt_create', { base_bdev: 'E' }), /"E" has no GUID partition table/);
  await partitioned(cluster, 'N', []);
  await assert.rejects(call('bdev_gpt_create', { base_bdev: 'N' }), /"N" has no partitions/);
  await cluster.close();
});

test('a partition that cannot be a disk: there are none of the others either, and the disk is free', async () => {
  const { cluster, call, names } = await world();
  // The second has the uuid of the first.
  await partitioned(cluster, 'M', [three[0], { ...three[1], uniqueGuid: uuid(1) }]);
  await assert.rejects(call('bdev_gpt_create', { base_bdev: 'M' }), { code: 'EEXIST' });
  assert.deepEqual(names(), ['M']);
  assert.equal(cluster.bdevs.get('M').shared.claim, 0);
  await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('M')));
  assert.deepEqual(names(), ['M', 'Mp1'], 'of SPDK’s type there is one');
  assert.deepEqual(
    gptModule.configCalls?.(cluster.bdevs.get('Mp1').spec, cluster.reactors[0]),
    [WAIT_FOR_EXAMINE],
    'what was found comes by itself',
  );
  await cluster.close();
});

test('those that have been found stay when all are asked for, before, while and after the disk is looked at; what is saved does the same again', async () => {
  const { cluster, call, names } = await world();
  const all = ['M', 'Mp1', 'Mp2', 'Mp3'];
  const saved = () => cluster.bdevs.configCalls().filter(({ method }) => method === 'bdev_gpt_create');
  await partitioned(cluster, 'M');
  const asked = { base_bdev: 'M' };
  await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('M')));
  assert.deepEqual([names(), saved()], [['M', 'Mp1', 'Mp3'], []]);
  assert.deepEqual(await call('bdev_gpt_create', asked), all.slice(1));
  assert.deepEqual(names().sort(), all);
  assert.deepEqual(saved(), [{ method: 'bdev_gpt_create', params: asked }], 'though the first has been found');
  assert.deepEqual(await call('bdev_gpt_create', asked), all.slice(1), 'nothing is missing');
  for (const turns of [0, 1, 2, 4, 8]) {
    await call('bdev_gpt_delete', asked);
    const looked = cluster.bdevs.examine(cluster.bdevs.get('M'));
    for (let i = 0; i < turns; i++) {
      cluster.round();
      await null;
    }
    assert.deepEqual(await call('bdev_gpt_create', asked), all.slice(1));
    await cluster.until(looked);
    assert.deepEqual(names().sort(), all);
  }
  await call('bdev_gpt_delete', asked);
  const twice = await Promise.all([call('bdev_gpt_create', asked), call('bdev_gpt_create', asked)]);
  assert.deepEqual(twice, [all.slice(1), all.slice(1)]);
  await cluster.close();
});

test('the backup table serves when the first is broken, and what is wrong is said; a disk that cannot be read, or is claimed, is left alone', async () => {
  const records: LogRecord[] = [];
  log.open((record) => records.push(record));
  try {
    const { cluster, names } = await world();
    await partitioned(cluster, 'M');
    await put(cluster, 'M', 512, new Uint8Array(512).fill(1));
    await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('M')));
    assert.deepEqual(names(), ['M', 'Mp1', 'Mp3']);
    assert.match(records.map(({ text }) => text).join('\n'), /bdev "M": the primary table is broken/);
    await partitioned(cluster, 'Both');
    await put(cluster, 'Both', 512, new Uint8Array(512).fill(1));
    await put(cluster, 'Both', (BLOCKS - 1) * 512, new Uint8Array(512).fill(1));
    await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('Both')));
    assert.match(records.at(-1)?.text ?? '', /"Both": its partitions: .*both partition tables are broken/);
    await partitioned(cluster, 'Bad');
    await cluster.until(faultRegistry(cluster.reactors[0]).add('Bad', 'op=read,action=error'));
    await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('Bad')));
    assert.match(records.at(-1)?.text ?? '', /"Bad": its partitions: .*512 bytes at 0 cannot be read \(-5\)/);
    // What it stands on has begun to go; it has not yet.
    await partitioned(cluster, 'Going');
    await cluster.until(faultRegistry(cluster.reactors[0]).add('Going', 'op=read,action=error,errno=ENODEV'));
    const said = records.length;
    await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('Going')));
    assert.equal(records.slice(said).filter(({ level }) => level === 'ERROR').length, 0);
    await partitioned(cluster, 'Claimed');
    await cluster.until(createSplit(cluster.reactors[0], { base_bdev: 'Claimed', split_count: 1 }));
    const before = records.length;
    await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('Claimed')));
    assert.equal(records.length, before);
    await cluster.close();
  } finally {
    log.close();
  }
});

/** A file disk "G" of partitions whose places (first and last block) and uuids are given, and which the file may be given again behind its back. */
async function imageWorld() {
  const dir = mkdtempSync(join(tmpdir(), 'gpt-'));
  const filename = join(dir, 'disk');
  const all = await world();
  const rewrite = (places: readonly (readonly [number, number, string])[]): void => {
    const partitions = places.map(([firstLba, lastLba, uniqueGuid]) => ({
      typeGuid: LINUX,
      uniqueGuid,
      firstLba,
      lastLba,
    }));
    const { head, tail } = makeGpt({ blockSizeBytes: 512, blocks: BLOCKS }, DISK, partitions);
    const bytes = new Uint8Array(BLOCKS * 512);
    bytes.set(head);
    bytes.set(tail, bytes.length - tail.length);
    writeFileSync(filename, bytes);
  };
  const places = () =>
    all.cluster.bdevs
      .list()
      .slice(1)
      .map(({ name, blocks, spec }) => [name, (spec.data as { offsetBlocks: number }).offsetBlocks, blocks]);
  const close = async () => {
    await all.cluster.close();
    rmSync(dir, { recursive: true });
  };
  return { ...all, filename, rewrite, places, close };
}

test('what is there and not as the table has it now is named, and nothing is made beside it until it has been removed', async () => {
  const { cluster, call, filename, rewrite, places, close } = await imageWorld();
  const first = [64, 127, uuid(1)] as const;
  const second = [128, 191, uuid(2)] as const;
  rewrite([first, second]);
  await cluster.until(cluster.bdevs.create('aio', { name: 'G', filename }));
  const asked = { base_bdev: 'G' };
  assert.deepEqual(await call('bdev_gpt_create', asked), ['Gp1', 'Gp2']);
  const before = [
    ['Gp1', 64, 64],
    ['Gp2', 128, 64],
  ];
  assert.deepEqual(places(), before);
  const moved = [300, 400, uuid(2)] as const;
  const third = [128, 191, uuid(3)] as const;
  const lies = `bdev "Gp2" lies in blocks 128 to 191 (${uuid(2)}), and the table of "G" now has`;
  const comes = 'bdev_gpt_delete comes first';
  for (const [table, has] of [
    [[first, moved, third], `it in blocks 300 to 400 (${uuid(2)})`],
    [[first, [300, 363, uuid(2)], third], `it in blocks 300 to 363 (${uuid(2)})`],
    [[first, [128, 190, uuid(2)], [300, 400, uuid(4)]], `it in blocks 128 to 190 (${uuid(2)})`],
    [[first, [128, 191, uuid(5)], [300, 400, uuid(4)]], `it in blocks 128 to 191 (${uuid(5)})`],
    [[first], 'no such partition'],
  ] as const) {
    rewrite(table);
    await assert.rejects(call('bdev_gpt_create', asked), { code: 'EEXIST', message: `${lies} ${has}: ${comes}` });
    assert.deepEqual(places(), before);
  }
  rewrite([first, second, [300, 400, uuid(3)]]);
  assert.deepEqual(await call('bdev_gpt_create', asked), ['Gp1', 'Gp2', 'Gp3']);
  assert.deepEqual(places(), [...before, ['Gp3', 300, 101]]);
  rewrite([first, moved, third]);
  await assert.rejects(call('bdev_gpt_create', asked), { code: 'EEXIST' });
  await call('bdev_gpt_delete', asked);
  assert.deepEqual(await call('bdev_gpt_create', asked), ['Gp1', 'Gp2', 'Gp3']);
  assert.deepEqual(places(), [
    ['Gp1', 64, 64],
    ['Gp2', 300, 101],
    ['Gp3', 128, 64],
  ]);
  await close();
});

test('disks that are asked for while they go are made when they have gone, and those that somebody keeps are not answered', async () => {
  const { cluster, call, names } = await world();
  const all = ['M', 'Mp1', 'Mp2', 'Mp3'];
  const asked = { base_bdev: 'M' };
  await partitioned(cluster, 'M');
  await call('bdev_gpt_create', asked);
  const both = await Promise.all([call('bdev_gpt_delete', asked), call('bdev_gpt_create', asked)]);
  assert.deepEqual([both, names().sort()], [[true, all.slice(1)], all]);
  const again = await Promise.allSettled([call('bdev_gpt_delete', asked), call('bdev_gpt_delete', asked)]);
  assert.deepEqual([again[0].status, again[1].status === 'rejected' && again[1].reason.code], ['fulfilled', 'ENOENT']);
  assert.deepEqual(await Promise.all([call('bdev_gpt_create', asked), call('bdev_gpt_delete', asked)]), [
    all.slice(1),
    true,
  ]);
  assert.deepEqual(names(), ['M']);
  await call('bdev_gpt_create', asked);
  const kept = open(cluster, 'Mp2');
  const going = cluster.bdevs.delete('Mp2');
  await assert.rejects(call('bdev_gpt_create', asked), { code: 'ENODEV', message: 'bdev "Mp2" is being removed' });
  kept.close();
  await cluster.until(going);
  assert.deepEqual(await call('bdev_gpt_create', asked), all.slice(1));
  await cluster.close();
});

test('a disk as sgdisk partitions it', async (t) => {
  if (spawnSync('sgdisk', ['--version']).error !== undefined) return t.skip('needs sgdisk: apt-get install gdisk');
  const dir = mkdtempSync(join(tmpdir(), 'gpt-'));
  const file = join(dir, 'disk');
  writeFileSync(file, new Uint8Array(BLOCKS * 512));
  const args = [
    '-n',
    '1:2048:+1M',
    '-t',
    `1:${SPDK_GPT_PART_TYPE_GUID}`,
    '-u',
    `1:${uuid(7)}`,
    '-c',
    '1:data',
    '-n',
    '2:0:0',
  ];
  const made = spawnSync('sgdisk', [...args, file], { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  const { cluster, call, names } = await world();
  await malloc(cluster, 'M', BLOCKS);
  await cluster.until(cluster.bdevs.waitForExamine());
  await put(cluster, 'M', 0, readFileSync(file));
  rmSync(dir, { recursive: true });
  await cluster.until(cluster.bdevs.examine(cluster.bdevs.get('M')));
  assert.deepEqual(names(), ['M', 'Mp1']);
  const { blocks, spec } = cluster.bdevs.get(uuid(7));
  assert.deepEqual([blocks, (spec.data as { offsetBlocks: number }).offsetBlocks], [2048, 2048]);
  await call('bdev_gpt_delete', { base_bdev: 'M' });
  assert.deepEqual(await call('bdev_gpt_create', { base_bdev: 'M' }), ['Mp1', 'Mp2']);
  await cluster.close();
});
