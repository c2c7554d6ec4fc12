/** Modules of one's own that find their disks on others: which disks they are shown, what they make on them, and what goes wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { bdevModule, WAIT_FOR_EXAMINE } from '../../../bdev/module.ts';
import { CLAIM_EXCL_WRITE } from '../../../bdev/shared-state.ts';
import { channelOf, open, runIo } from '../../../bdev/stub-setup.sim.ts';
import { log } from '../../../log/index.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../../rpc/index.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { defineDisk } from './define-disk.ts';
import { moduleFolder } from './disk-setup.sim.ts';
import { bdevModuleConfigCalls } from './examining-modules.ts';
import { registerDiskRpc } from './rpc.ts';

const file = moduleFolder();
/** What the modules tell. */
const seen: string[] = [];
(globalThis as { tspdkExamined?: string[] }).tspdkExamined = seen;

const SIZE = 16 * 1024;
const LABEL_AT = 700;

const ABOVE = `
  create({ options }, reactor) {
    const base = BaseBdev.open(reactor, options.base);
    return { sizeBytes: ${SIZE} - 4096, ioTypes: ['read', 'write'], bases: [base], data: base.ref };
  },
  attach({ data }, reactor) {
    const base = openBase(data, reactor);
    return {
      createChannel() {
        const channel = base.getIoChannel();
        return { submit: (io) => forwardIo(channel, io, io.byteOffset + 4096), close: () => channel.close() };
      },
      close: () => base.close(),
    };
  },`;

/** Makes a disk on each disk that says "LABEL name". */
const LABEL = `
  name: 'label',
  ${ABOVE}
  async examine(disk, reactor) {
    globalThis.tspdkExamined.push(disk.bdev.name + reactor.core);
    const [, name] = /^LABEL (\\w+)/.exec(Buffer.from(await disk.read(${LABEL_AT}, 12)).toString()) ?? [];
    if (name !== undefined) await disk.create({ name, options: { base: disk.bdev.name } });
  },`;

async function world(reactors = 1) {
  seen.length = 0;
  const cluster = await startCluster({ reactors });
  const rpc = new RpcRegistry();
  registerDiskRpc(rpc, { registry: () => cluster.bdevs, reactor: () => cluster.reactors[0] });
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params: object) => cluster.until((async () => rpc.call(method, params))());
  const examined = () => cluster.until(cluster.bdevs.waitForExamine());
  const names = () => cluster.bdevs.list().map(({ name }) => name);
  return { cluster, call, examined, names };
}

const labelled = (name: string) => {
  const memory = new Uint8Array(SIZE);
  memory.set(Buffer.from(`LABEL ${name}\n`), LABEL_AT);
  return memory;
};

/** A disk over `memory`, which outlives it. */
const put = (cluster: Cluster, name: string, memory: Uint8Array) => {
  const disk = defineDisk({
    size: memory.length,
    read: (offset, buffer) => buffer.set(memory.subarray(offset, offset + buffer.length)),
    write: (offset, buffer) => memory.set(buffer, offset),
  });
  return cluster.until(cluster.bdevs.create('disk', { name, disk }));
};

test('it is shown what is there and what comes, once each, but for its own and what is claimed; what it finds works on every core', async () => {
  const { cluster, call, examined, names } = await world(2);
  await malloc(cluster, 'Empty', 32);
  await put(cluster, 'Held', labelled('held'));
  const held = open(cluster, 'Held', false);
  held.claim({ type: CLAIM_EXCL_WRITE });
  const first = labelled('one');
  await put(cluster, 'A', first);
  await examined();
  assert.equal(await call('bdev_disk_load_module', { module: file('label.mjs', LABEL) }), true);
  await examined();
  assert.deepEqual(seen, ['Empty0', 'A0']);
  await put(cluster, 'B', labelled('two'));
  await examined();
  assert.deepEqual(seen, ['Empty0', 'A0', 'B0']);
  assert.deepEqual(names(), ['Empty', 'Held', 'A', 'one', 'B', 'two']);
  assert.throws(() => open(cluster, 'A'), /"A" is claimed/);
  // What the other core writes lies behind the label.
  const desc = cluster.on(1, () => open(cluster, 'one'));
  const buf = cluster.memory(512);
  buf.u8.fill(7);
  const channel = channelOf(cluster, desc);
  assert.equal(await runIo(cluster, (cb) => channel.write(buf, 0, 1024, 512, cb, null)), 0);
  assert.deepEqual([first[4096 + 1023], first[4096 + 1024], first[4096 + 1535]], [0, 7, 7]);
  desc.close();
  held.close();
  await cluster.close();
});

test('what was found goes and comes with its disk, and only the module is saved', async () => {
  const { cluster, call, examined, names } = await world();
  const module = file('comes-back.mjs', LABEL);
  await call('bdev_disk_load_module', { module, options: { some: 'thing' } });
  const memory = labelled('vol');
  await put(cluster, 'A', memory);
  await examined();
  const { spec } = cluster.bdevs.get('vol');
  assert.deepEqual(bdevModule('disk').configCalls(spec, cluster.reactors[0]), [WAIT_FOR_EXAMINE]);
  const url = new URL(`file://${module}`).href;
  const params = { module: url, options: { some: 'thing' } };
  assert.deepEqual(bdevModuleConfigCalls(cluster.reactors[0]), [{ method: 'bdev_disk_load_module', params }]);
  await cluster.until(cluster.bdevs.delete('A'));
  assert.deepEqual(names(), []);
  await put(cluster, 'A', memory);
  await examined();
  assert.deepEqual(names(), ['A', 'vol']);
  // One that is asked for by name is saved, as any.
  await put(cluster, 'Blank', new Uint8Array(SIZE));
  await call('bdev_disk_create', { name: 'byname', module, options: { base: 'Blank' } });
  const [saved] = bdevModule('disk').configCalls(cluster.bdevs.get('byname').spec, cluster.reactors[0]);
  assert.deepEqual(saved.params.options, { base: 'Blank' });
  await cluster.close();
});

test('where not all disks are examined it is shown those that bdev_examine names, before or after it is loaded', async () => {
  const { cluster, call, examined, names } = await world();
  await cluster.until(cluster.bdevs.setOptions({ bdev_auto_examine: false }));
  cluster.bdevs.allowExamine('A');
  for (const name of ['A', 'B', 'C']) await put(cluster, name, labelled(`on${name}`));
  await call('bdev_disk_load_module', { module: file('manual.mjs', LABEL) });
  await examined();
  assert.deepEqual(names(), ['A', 'B', 'C', 'onA']);
  cluster.bdevs.allowExamine('C');
  await examined();
  assert.deepEqual(seen, ['A0', 'C0']);
  assert.equal(cluster.bdevs.has('onC'), true);
  await cluster.close();
});

test('a module that is unloaded looks no more, and loaded again it is what its file then is; its disks stay', async () => {
  const { cluster, call, examined, names } = await world();
  const module = file('again.mjs', LABEL);
  await call('bdev_disk_load_module', { module });
  await assert.rejects(call('bdev_disk_load_module', { module }), { code: 'EEXIST' });
  await put(cluster, 'A', labelled('one'));
  await examined();
  await call('bdev_disk_unload_module', { module });
  await assert.rejects(call('bdev_disk_unload_module', { module }), { code: 'ENOENT', message: /again\.mjs" is not/ });
  await put(cluster, 'B', labelled('two'));
  await examined();
  assert.deepEqual(names(), ['A', 'one', 'B']);
  file('again.mjs', LABEL.replace('LABEL (', 'LABEL t('));
  await call('bdev_disk_load_module', { module });
  await examined();
  assert.deepEqual(names(), ['A', 'one', 'B', 'wo']);
  // Of its disks, those of the old version too, it is shown none.
  assert.deepEqual(seen, ['A0', 'B0']);
  await cluster.close();
});

test('what an examine throws is logged with its module and disk, and nothing ends', async (t) => {
  const { cluster, call, examined, names } = await world();
  const said: string[] = [];
  log.open((record) => void said.push(record.text));
  t.after(() => log.close());
  const broken = `name: 'broken', ${ABOVE} examine(disk) { throw new TypeError('no ' + disk.bdev.name); },`;
  await call('bdev_disk_load_module', { module: file('broken.mjs', broken) });
  const far = `name: 'far', ${ABOVE} examine: (disk) => disk.read(${SIZE - 1}, 2),`;
  await call('bdev_disk_load_module', { module: file('far.mjs', far) });
  const unclaimed = LABEL.replace(/create.*?attach/s, 'create: () => ({ sizeBytes: 512, ioTypes: ["read"] }), attach');
  await call('bdev_disk_load_module', { module: file('unclaimed.mjs', unclaimed) });
  await call('bdev_disk_load_module', { module: file('right.mjs', LABEL) });
  await put(cluster, 'A', labelled('vol'));
  await examined();
  assert.deepEqual(names(), ['A', 'vol']);
  const of = (name: string) => said.filter((line) => line.startsWith(`module "${name}": examine of bdev "A": `));
  assert.match(of('broken').join('\n'), /TypeError: no A\n.*broken\.mjs/);
  assert.match(of('far').join('\n'), /bdev "A": 2 bytes at 16383 to read; it has 16384/);
  assert.match(
    of('label').join('\n'),
    /bdev "vol" of module "label": it was found on bdev "A", and its bases are none/,
  );
  await cluster.close();
});

test('what is no module that examines is not loaded', async () => {
  const { cluster, call } = await world();
  const module = file('plain.mjs', `name: 'plain', ${ABOVE}`);
  const load = (url: string) => call('bdev_disk_load_module', { module: url });
  await assert.rejects(load(module), { code: 'EINVAL', message: /plain\.mjs" has no examine/ });
  await assert.rejects(load(file('throws.mjs', '...nothing')), { message: /failed to load: nothing is not defined/ });
  // Nothing is left of it: the same file, once it has one.
  file('plain.mjs', LABEL);
  await load(module);
  await cluster.close();
});
