// The RBD disk against a real Ceph cluster: what it writes the `rbd` command and fio's rbd engine read, and the other way round; the property every disk that
// carries data is put to; and a cluster that stands still.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { type Cluster, startCluster } from '../../packages/tspdk/dist/bdev/cluster.sim.js';
import { BdevDesc, bdevRegistry, IO_FLAG_FUA } from '../../packages/tspdk/dist/bdev/index.js';
import { modelBatches, runModel } from '../../packages/tspdk/dist/bdev/model.sim.js';
import { conform, conformSubsystem } from '../../packages/tspdk/dist/conform/index.js';
import { ffi } from '../../packages/tspdk/dist/env/ffi.js';
import { doorbellFd, setDoorbellFd } from '../../packages/tspdk/dist/event/fabric.js';
import { App } from '../../packages/tspdk/dist/event/index.js';
import { log } from '../../packages/tspdk/dist/log/index.js';
import { bdevSubsystem } from '../../packages/tspdk/dist/module/bdev/index.js';
import { rbdModule, resizeRbd } from '../../packages/tspdk/dist/module/bdev/rbd/rbd-bdev.js';
import { rbdClusters } from '../../packages/tspdk/dist/module/bdev/rbd/rbd-clusters.js';
import { type Ceph, startCeph } from './ceph.ts';
import { run, runOk, type Scope } from './client.ts';
import { writePattern } from './pattern.ts';
import { requires } from './requires.ts';
import { rpcCall } from './rpc.ts';
import { scratch } from './scratch.ts';
import { startTarget, type Target } from './target.ts';

const MIB = 1 << 20;
const cli = fileURLToPath(new URL('../../packages/tspdk/dist/app/cli.js', import.meta.url));

const ends: (() => void | Promise<void>)[] = [];
/** What the cluster ends with: a hook that a test adds would be that test's. */
const file: Scope = { after: (fn) => void ends.push(fn) };
after(async () => {
  for (const end of ends.reverse()) await end();
});
let started: Promise<Ceph> | undefined;

/** The file's cluster, started by the first who asks; null, and the test is skipped, where it cannot be. */
async function withCeph(t: TestContext, ...programs: readonly Parameters<typeof requires>[1][]): Promise<Ceph | null> {
  if (ffi === null) {
    t.skip('librbd is reached through FFI, which is not there');
    return null;
  }
  if (!requires(t, 'ceph-mon', 'ceph-osd', 'ceph', 'rbd', ...programs)) return null;
  started ??= startCeph(file);
  return started;
}

/** A target with the image "rbd/NAME" as its disk, on the last of two reactors. */
async function serve(t: TestContext, cluster: Ceph, image: string, sizeBytes: number): Promise<Target> {
  const bdevs = [
    { method: 'bdev_rbd_register_cluster', params: { name: 'c', config_file: cluster.conf } },
    {
      method: 'bdev_rbd_create',
      params: { name: 'disk', pool_name: 'rbd', rbd_name: image, block_size: 512, cluster_name: 'c' },
    },
  ];
  return await startTarget(t, { sizeBytes, transport: 'tcp', reactors: 2, bdevs });
}

/** Two reactors of this process, with something for librbd to ring. */
async function reactors(t: TestContext, count = 2): Promise<Cluster> {
  const cluster = await startCluster({ reactors: count });
  for (const reactor of cluster.reactors) {
    const fd = ffi!.eventfd(0, 0x800);
    setDoorbellFd(reactor.fabric, reactor.index, fd);
    t.after(() => void ffi!.close(fd));
  }
  return cluster;
}

async function end(cluster: Cluster): Promise<void> {
  await cluster.close();
  await rbdClusters(cluster.reactors[0]!).fini();
}

function params({ conf }: Ceph, image: string, config: Record<string, string> = {}) {
  const host = /^mon_host = (.*)$/m.exec(readFileSync(conf, 'utf8'))![1]!;
  const none = { auth_client_required: 'none', auth_cluster_required: 'none', auth_service_required: 'none' };
  return {
    name: 'R',
    pool_name: 'rbd',
    rbd_name: image,
    block_size: 4096,
    config: { mon_host: host, ...none, ...config },
  };
}

type Submit = (done: (ctx: unknown, status: number) => void) => number;

/** One I/O; its status. */
async function statusOf(kit: Cluster, submit: Submit): Promise<number | null> {
  let ended: number | null = null;
  const done = (_: unknown, status: number) => {
    ended = status;
  };
  assert.equal(submit(done), 0);
  await kit.untilTrue(() => ended !== null);
  return ended;
}

/** By default a discard leaves what does not fill a granule of 64 KiB. */
const exactDiscards = { rbd_discard_granularity_bytes: '4096' };

test('what the rbd command imports is read, and what is written it exports', async (t) => {
  const cluster = await withCeph(t, 'nbdcopy');
  if (cluster === null) return;
  const dir = scratch(t);
  const [there, back, other, exported] = ['there', 'back', 'other', 'exported'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
    string,
  ];
  writePattern(there, 24 * MIB, 3);
  writePattern(other, 24 * MIB, 5);
  await cluster.rbd('import', there, 'moved');
  const target = await serve(t, cluster, 'moved', 24 * MIB);
  await runOk('nbdcopy', ['--connections=4', '--requests=32', target.uri, back]);
  assert.equal(await runOk('cmp', [there, back]), '');
  await runOk('nbdcopy', ['--connections=4', '--requests=32', '--flush', other, target.uri]);
  // The target has the image open, and everything flushed is there for others.
  await cluster.rbd('export', 'moved', exported);
  assert.equal(await runOk('cmp', [other, exported]), '');
  await target.stop();
});

test('a command line takes an image by its name, with Ceph’s configuration or with options of its own', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '16M', 'named');
  const { mon_host, ...none } = params(cluster, 'named').config;
  const words = Object.entries({ user_id: 'admin', mon_host, ...none }).map(
    ([key, value]) => `${key}=${encodeURIComponent(value)}`,
  );
  const program = (...args: string[]) => [cli, ...args, '--no-pin'];
  const said = await runOk(process.execPath, program('conform', '--only', 'edges', 'rbd:rbd/named'), {
    env: cluster.env,
  });
  assert.match(said, /^1 passed, 0 failed/m);
  const result = await runOk(
    process.execPath,
    program('perf', '-w', 'verify', '--ios', '50', '--json-output', `rbd:rbd/named?${words.join('&')}`),
  );
  assert.equal((JSON.parse(result) as { results: unknown[] }).results.length, 1);
});

test('fio verifies over NBD what it has written with its rbd engine, and the other way round', async (t) => {
  const cluster = await withCeph(t, 'fio');
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '32M', 'verified');
  const target = await serve(t, cluster, 'verified', 32 * MIB);
  const direct = ['--ioengine=rbd', '--clientname=admin', '--pool=rbd', '--rbdname=verified'];
  const served = ['--ioengine=nbd', `--uri=${target.uri}`, '--thread'];
  const job = (seed: number) => ['--name=x', '--size=32M', '--bs=16k', '--iodepth=16', `--randseed=${seed}`];
  const verify = ['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0'];
  const fio = (...args: readonly string[]) => runOk('fio', args, { env: cluster.env, cwd: scratch(t) });
  for (const [writer, reader, seed] of [
    [direct, served, 1],
    [served, direct, 2],
  ] as const) {
    await fio(...writer, ...job(seed), ...verify, '--rw=randwrite', '--do_verify=0', '--end_fsync=1');
    const said = await fio(
      ...reader,
      ...job(seed),
      ...verify,
      '--rw=randread',
      '--verify_only',
      '--output-format=json',
    );
    const [{ read, error }] = JSON.parse(said.slice(said.indexOf('{'))).jobs;
    assert.equal(error, 0);
    assert.equal(read.io_bytes, 32 * MIB);
  }
  await target.stop();
});

test('a target says what it stands on, saves it, and makes it again', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '8M', 'saved');
  const first = await serve(t, cluster, 'saved', 8 * MIB);
  const call = <R>(method: string, args?: object) => rpcCall<R>(first.rpcPath, method, args);
  const [{ uuid, driver_specific }] = await call<[{ uuid: string; driver_specific: object }]>('bdev_get_bdevs');
  assert.deepEqual(driver_specific, { rbd: { pool_name: 'rbd', rbd_name: 'saved', cluster_name: 'c' } });
  const info = { cluster_name: 'c', config_file: cluster.conf };
  assert.deepEqual(await call('bdev_rbd_get_clusters_info'), [info]);
  assert.deepEqual(await call('bdev_rbd_get_clusters_info', { name: 'c' }), info);
  await assert.rejects(call('bdev_rbd_get_clusters_info', { name: 'd' }), /no Ceph cluster \\?"d\\?"/);
  await assert.rejects(call('bdev_rbd_unregister_cluster', { name: 'c' }), /in use by 1 disk/);
  await assert.rejects(call('bdev_rbd_register_cluster', { name: 'c', config_file: cluster.conf }), /already/);
  const { config } = await call<{ config: readonly { method: string }[] }>('framework_get_config', {
    name: 'bdev',
  }).then((calls) => ({ config: calls as unknown as readonly { method: string }[] }));
  assert.match(await cluster.rbd('status', 'saved'), /watcher=/);
  await call('bdev_rbd_delete', { name: 'disk' });
  assert.match(await cluster.rbd('status', 'saved'), /Watchers: none/);
  assert.equal(await call('bdev_rbd_unregister_cluster', { name: 'c' }), true);
  assert.deepEqual(await call('bdev_rbd_get_clusters_info'), []);
  await first.stop();
  const again = await startTarget(t, {
    sizeBytes: 8 * MIB,
    bdevs: config.filter(({ method }) => method.startsWith('bdev_rbd')),
  });
  const [bdev] = await rpcCall<[{ uuid: string; num_blocks: number }]>(again.rpcPath, 'bdev_get_bdevs');
  assert.equal(bdev.uuid, uuid);
  assert.equal(bdev.num_blocks, 16384);
  await again.stop();
});

test('a target that is stopped in the middle of the load of a client ends in order', async (t) => {
  const cluster = await withCeph(t, 'fio');
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '32M', 'stopped');
  const target = await serve(t, cluster, 'stopped', 32 * MIB);
  const load = ['--name=x', '--ioengine=nbd', `--uri=${target.uri}`, '--thread', '--rw=randrw', '--bs=4k'];
  const fio = run('fio', [...load, '--iodepth=32', '--time_based', '--runtime=30', '--size=32M']);
  const writes = async () => {
    const { bdevs } = await rpcCall<{ bdevs: [{ num_write_ops: number }] }>(target.rpcPath, 'bdev_get_iostat');
    return bdevs[0].num_write_ops;
  };
  while ((await writes()) < 500);
  // Fails when the exit code is not 0: what is left behind makes it 1.
  await target.stop();
  await fio;
});

test('an image does what every disk must', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '8M', '--object-size', '512K', 'checked');
  const options = {
    cores: [0, 1],
    pin: false,
    signals: false,
    subsystems: [bdevSubsystem, conformSubsystem],
  };
  const failed: string[] = [];
  const rc = await App.start(options, async (app) => {
    await bdevRegistry(app.reactor).create('rbd', params(cluster, 'checked', exactDiscards));
    const { results } = await conform(app.reactor, 'R');
    for (const { name, status, message } of results) if (status === 'failed') failed.push(`${name}: ${message}`);
    const ok = results.filter(({ status }) => status === 'ok').map(({ name }) => name);
    assert.ok(ok.includes('write-read'), `${ok}`);
    t.diagnostic(`${ok.length} of ${results.length} checks apply`);
    app.stop(0);
  });
  assert.deepEqual(failed, []);
  assert.equal(rc, 0, 'a leak would make it 1');
});

test('an image holds what was written, whatever the order, place and memory', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  const bytes = 4 * MIB;
  let images = 0;
  await fc.assert(
    fc.asyncProperty(modelBatches(1024, 400), async (batches) => {
      const image = `model${images++}`;
      // Objects that are smaller than the largest I/O.
      await cluster.rbd('create', '--size', '4M', '--object-size', '512K', image);
      const kit = await reactors(t);
      const disk = params(cluster, image, exactDiscards);
      const bdev = await kit.until(kit.bdevs.create(rbdModule.name, disk));
      assert.equal(bdev.homeCore, 1);
      assert.equal(bdev.limits.optimalIoBoundaryBlocks, 128);
      const model = new Uint8Array(bytes);
      await runModel(kit, bdev, model, batches);
      await end(kit);
      const path = join(scratch(t), image);
      await cluster.rbd('export', image, path);
      assert.equal(Buffer.compare(readFileSync(path), model), 0, 'the image itself, when the disk is gone');
    }),
    // To shrink would take minutes: an image is made for each try.
    { numRuns: 4, endOnFailure: true },
  );
});

test('a flush and a write with FUA are with the cluster when they complete; another write may be in the cache', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '4M', 'durable');
  const kit = await reactors(t, 1);
  const cache = { rbd_cache_policy: 'writeback', rbd_cache_max_dirty_age: '3600' };
  await kit.until(kit.bdevs.create('rbd', params(cluster, 'durable', cache)));
  const desc = BdevDesc.open('R', { write: true, reactor: kit.reactors[0]!, onEvent: () => {} });
  const channel = desc.getIoChannel();
  const memory = kit.memory(4096);
  memory.u8.fill(7);
  const io = async (submit: Submit) => assert.equal(await statusOf(kit, submit), 0);
  /** What others see of the first three blocks. */
  const seen = async () => {
    const path = join(scratch(t), 'seen');
    await cluster.rbd('export', 'durable', path);
    const image = readFileSync(path);
    return [image[0], image[4096], image[8192]];
  };
  // librbd writes through until the first flush.
  await io((done) => channel.flush(0, 4 * MIB, done, null));
  await io((done) => channel.write(memory, 0, 0, 4096, done, null));
  assert.deepEqual(await seen(), [0, 0, 0]);
  await io((done) => channel.write(memory, 0, 4096, 4096, done, null, IO_FLAG_FUA));
  assert.equal((await seen())[1], 7);
  await io((done) => channel.write(memory, 0, 8192, 4096, done, null));
  assert.equal((await seen())[2], 0);
  await io((done) => channel.flush(0, 4 * MIB, done, null));
  assert.deepEqual(await seen(), [7, 7, 7]);
  // A core that sleeps would have been woken.
  const count = ffi!.calloc(8);
  assert.equal(ffi!.read(doorbellFd(kit.reactors[0]!.fabric, 0), count, 8), 8);
  ffi!.free(count);
  channel.close();
  kit.forget(memory);
  desc.close();
  await end(kit);
});

test('a disk follows its image when that grows, whoever has made it grow', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '8M', 'grown');
  const kit = await reactors(t, 1);
  const bdev = await kit.until(kit.bdevs.create(rbdModule.name, params(cluster, 'grown')));
  const sizes: number[] = [];
  const onEvent = () => void sizes.push(bdev.sizeBytes / MIB);
  const desc = BdevDesc.open('R', { write: true, reactor: kit.reactors[0]!, onEvent });
  await kit.until(resizeRbd(kit.reactors[0]!, 'R', 16));
  assert.deepEqual(sizes, [16]);
  assert.match(await cluster.rbd('info', 'grown'), /size 16 MiB/);
  await assert.rejects(kit.until(resizeRbd(kit.reactors[0]!, 'R', 16)), /16 MiB is not more/);
  await cluster.rbd('resize', '--size', '24M', 'grown');
  await kit.untilTrue(() => sizes.length === 2);
  assert.deepEqual(sizes, [16, 24]);
  desc.close();
  await end(kit);
});

test('what cannot be reached or is not there is said', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  const kit = await reactors(t, 1);
  const made = (change: object) => kit.until(kit.bdevs.create('rbd', { ...params(cluster, 'none'), ...change }));
  await assert.rejects(made({}), { code: 'ENOENT', message: /image "rbd\/none"/ });
  await assert.rejects(made({ pool_name: 'puddle' }), { code: 'ENOENT', message: /pool "puddle"/ });
  await assert.rejects(made({ config: undefined, cluster_name: 'c' }), { code: 'ENOENT', message: /cluster "c"/ });
  await assert.rejects(made({ block_size: 1000 }), { code: 'EINVAL', message: /block size 1000/ });
  await assert.rejects(made({ config: { no_such_option: '1' } }), { message: /option no_such_option = "1"/ });
  await assert.rejects(made({ config: { mon_host: 1 } }), { code: 'EINVAL', message: /mon_host is no string/ });
  const nobody = { mon_host: '[v2:127.0.0.1:1]', client_mount_timeout: '1', auth_client_required: 'none' };
  await assert.rejects(made({ config: nobody }), {
    code: 'ETIMEDOUT',
    message: /connecting to the Ceph cluster as user "admin"/,
  });
  const register = rbdClusters(kit.reactors[0]!).register({ name: 'c', config_file: '/no/such/file' });
  await assert.rejects(kit.until(register), { code: 'ENOENT', message: /\/no\/such\/file/ });
  assert.deepEqual(rbdClusters(kit.reactors[0]!).info(undefined), []);
  await end(kit);
});

test('disks without a name have different ones, also when they are made at once', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '8M', 'nameless');
  const kit = await reactors(t, 1);
  const { name: _, ...disk } = { ...params(cluster, 'nameless'), read_only: true };
  const make = () => kit.bdevs.create('rbd', disk).then(({ name }) => name);
  const broken = kit.bdevs.create('rbd', { ...disk, rbd_name: 'none' }).catch(() => 'none');
  const names = await kit.until(Promise.all([broken, make(), make()]));
  assert.deepEqual(names.sort(), ['Ceph1', 'Ceph2', 'none']);
  await kit.until(kit.bdevs.delete('Ceph1'));
  assert.deepEqual([await kit.until(make()), await kit.until(make())], ['Ceph0', 'Ceph1']);
  await end(kit);
});

test('a disk that the cluster has expelled fails its I/O; its removal says what is lost, and leaves nothing', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '8M', 'expelled');
  const kit = await reactors(t, 1);
  const clusters = rbdClusters(kit.reactors[0]!);
  const { config, ...disk } = params(cluster, 'expelled');
  const cache = { rbd_cache_policy: 'writeback', rbd_cache_max_dirty_age: '3600' };
  await kit.until(clusters.register({ name: 'c', config_param: { ...config, ...cache } }));
  await kit.until(kit.bdevs.create('rbd', { ...disk, cluster_name: 'c' }));
  const desc = BdevDesc.open('R', { write: true, reactor: kit.reactors[0]!, onEvent: () => {} });
  const channel = desc.getIoChannel();
  const memory = kit.memory(4096);
  const io = (submit: Submit) => statusOf(kit, submit);
  assert.equal(await io((done) => channel.flush(0, 4096, done, null)), 0);
  assert.equal(await io((done) => channel.write(memory, 0, 0, 4096, done, null)), 0);
  await cluster.expel('expelled');
  assert.equal(await io((done) => channel.read(memory, 0, 4 * MIB, 4096, done, null)), -108);
  channel.close();
  kit.forget(memory);
  desc.close();
  const said: string[] = [];
  log.open(({ text }) => void said.push(text));
  await kit.until(kit.bdevs.delete('R')).finally(() => log.close());
  assert.match(said.join('\n'), /bdev "R": image "rbd\/expelled" could not be written back, .*: errno 108/);
  await kit.until(clusters.unregister('c'));
  await end(kit);
});

test('a read-only disk takes no writes', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '8M', 'fixed');
  const kit = await reactors(t, 1);
  const disk = { ...params(cluster, 'fixed'), read_only: true };
  const bdev = await kit.until(kit.bdevs.create('rbd', disk));
  assert.equal(bdev.writable, false);
  assert.throws(() => BdevDesc.open('R', { write: true, reactor: kit.reactors[0]!, onEvent: () => {} }), {
    code: 'EROFS',
  });
  await end(kit);
});

/** One read at `at`, and how it ended: null while it is under way. */
function read(kit: Cluster, desc: BdevDesc, at: number): { status: number | null } {
  const memory = kit.memory(4096);
  const channel = desc.getIoChannel();
  const result: { status: number | null } = { status: null };
  const rc = channel.read(
    memory,
    0,
    at,
    4096,
    (_, status) => {
      result.status = status;
      channel.close();
      kit.forget(memory);
    },
    null,
  );
  assert.equal(rc, 0);
  return result;
}

test('I/O waits for a cluster that stands still, and so does the end of the disk', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '8M', 'frozen');
  const kit = await reactors(t, 1);
  await kit.until(kit.bdevs.create('rbd', params(cluster, 'frozen')));
  const desc = BdevDesc.open('R', { write: true, reactor: kit.reactors[0]!, onEvent: () => desc.close() });
  const some = async () => {
    for (let i = 0; i < 1000; i++) await kit.until(Promise.resolve());
  };
  await cluster.freeze();
  try {
    const first = read(kit, desc, 0);
    await some();
    assert.equal(first.status, null);
    cluster.thaw();
    await kit.untilTrue(() => first.status !== null);
    assert.equal(first.status, 0);
    await cluster.freeze();
    const second = read(kit, desc, 4 * MIB);
    // It is librbd's when the removal begins.
    kit.turns();
    let gone = false;
    const removal = kit.bdevs.delete('R').then(() => {
      gone = true;
    });
    await some();
    assert.equal(second.status, null);
    assert.equal(gone, false);
    cluster.thaw();
    await kit.until(removal);
    // What the layer makes of an answer of a disk that goes.
    assert.equal(second.status, -19);
  } finally {
    cluster.thaw();
  }
  await end(kit);
});

test('with rados_osd_op_timeout I/O fails instead, and works again when the cluster does', async (t) => {
  const cluster = await withCeph(t);
  if (cluster === null) return;
  await cluster.rbd('create', '--size', '8M', 'timed');
  const kit = await reactors(t, 1);
  await kit.until(kit.bdevs.create('rbd', params(cluster, 'timed', { rados_osd_op_timeout: '2' })));
  const desc = BdevDesc.open('R', { write: true, reactor: kit.reactors[0]!, onEvent: () => {} });
  await cluster.freeze();
  try {
    const late = read(kit, desc, 4096);
    await kit.untilTrue(() => late.status !== null);
    assert.equal(late.status, -110);
  } finally {
    cluster.thaw();
  }
  const next = read(kit, desc, 4096);
  await kit.untilTrue(() => next.status !== null);
  assert.equal(next.status, 0);
  desc.close();
  await end(kit);
});
