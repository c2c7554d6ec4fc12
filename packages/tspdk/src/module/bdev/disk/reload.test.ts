/** A disk's file loaded again: what is under way ends with the old code, what comes meanwhile goes to the new, and what does not fit changes nothing. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { BdevDesc } from '../../../bdev/desc.ts';
import { defineDisk } from './define-disk.ts';
import './disk-bdev.ts';
import { reloadDisk } from './reload.ts';

const dir = mkdtempSync(join(tmpdir(), 'tspdk-reload-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const definePath = new URL('./define-disk.js', import.meta.url).href;

/** What the disk's code waits for; the test lets it go on. */
interface Gate {
  release: (() => void)[];
  closed: string[];
  /** The version that was loaded last. */
  loaded: number;
}
const gate = (globalThis as { tspdkReloadGate?: Gate }).tspdkReloadGate ?? { release: [], closed: [], loaded: 0 };
(globalThis as { tspdkReloadGate?: Gate }).tspdkReloadGate = gate;

function write(path: string, value: number, more = '', size = 4096): void {
  writeFileSync(
    path,
    `import { defineDisk } from ${JSON.stringify(definePath)};
     const gate = globalThis.tspdkReloadGate;
     gate.loaded = ${value};
     export default defineDisk({
       size: ${size},
       async read(offset, buffer) {
         if (offset === 0) await new Promise((resolve) => gate.release.push(resolve));
         buffer.fill(${value});
       },
       close() { gate.closed.push('${value}'); },
       ${more}
     });`,
  );
}

async function setUp(name: string) {
  gate.release = [];
  gate.closed = [];
  gate.loaded = 0;
  const path = join(dir, name);
  write(path, 1);
  const cluster = await startCluster({ reactors: 2 });
  await cluster.until(cluster.bdevs.create('disk', { name: 'D', module: pathToFileURL(path).href }));
  const events: string[] = [];
  const onEvent = (event: string) => void events.push(event);
  const desc = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(4096);
  const done: string[] = [];
  const read = (at: number, to: number) =>
    channel.read(buf, to, at, 512, (_, status) => void done.push(`${at} ${status} ${buf.u8[to]}`), `read ${at}`);
  return { path, cluster, desc, channel, buf, done, read, events };
}

const reload = (cluster: Cluster) => cluster.until(reloadDisk(cluster.reactors[0], 'D'));

test('what has begun ends with the old code, what comes meanwhile waits for the new, and the old is closed after that', async () => {
  const { path, cluster, desc, done, read, events } = await setUp('a.mjs');
  read(0, 0);
  await cluster.untilTrue(() => gate.release.length === 1);
  write(path, 2, '', 8192);
  const reloaded = reload(cluster);
  // Until the new one is loaded the old one serves.
  read(512, 512);
  await cluster.untilTrue(() => done.length === 1);
  assert.deepEqual(done, ['512 0 1']);
  await cluster.untilTrue(() => gate.loaded === 2);
  // From here on there are promises only.
  for (let i = 0; i < 50; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    cluster.turns();
  }
  read(1024, 1024);
  for (let i = 0; i < 20; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    cluster.turns();
  }
  assert.deepEqual([done.length, gate.closed], [1, []], 'it waits, as the old one has something under way');
  gate.release[0]();
  assert.equal(await reloaded, 8192);
  await cluster.untilTrue(() => done.length === 3);
  assert.deepEqual(done.slice(1).sort(), ['0 0 1', '1024 0 2']);
  assert.deepEqual(gate.closed, ['1']);
  assert.deepEqual(events, ['resize']);
  assert.equal(desc.bdev.sizeBytes, 8192);
  read(7680, 0);
  await cluster.untilTrue(() => done.length === 4);
  assert.equal(done[3], '7680 0 2');
  desc.close();
  await cluster.close();
  assert.deepEqual(gate.closed, ['1', '2']);
});

test('what waits can be aborted', async () => {
  const { path, cluster, desc, channel, done, read } = await setUp('b.mjs');
  read(0, 0);
  await cluster.untilTrue(() => gate.release.length === 1);
  write(path, 2);
  const reloaded = reload(cluster);
  await cluster.untilTrue(() => gate.loaded === 2);
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    cluster.turns();
  }
  const home = BdevDesc.open('D', { write: false, reactor: cluster.reactors[1], onEvent: () => {} });
  const own = home.getIoChannel();
  const ends: number[] = [];
  own.read(cluster.memory(512), 0, 1024, 512, (_, status) => void ends.push(status), 'mine');
  cluster.turns();
  assert.equal(own.abort('mine'), 1);
  cluster.turns();
  assert.deepEqual(ends, [-125]);
  gate.release[0]();
  await reloaded;
  await cluster.untilTrue(() => done.length === 1);
  assert.deepEqual([done, ends], [['0 0 1'], [-125]], 'it ended once');
  home.close();
  channel.close();
  desc.close();
  await cluster.close();
});

test('a version that does not load or does not fit leaves the old one serving', async () => {
  const { path, cluster, desc, done, read } = await setUp('c.mjs');
  const cases: [() => void, RegExp][] = [
    [() => writeFileSync(path, 'function broken() { throw new Error("oops"); }\nbroken();\n'), /c\.mjs.*oops/],
    [() => writeFileSync(path, 'export default 1;'), /it must say: export default defineDisk/],
    [() => write(path, 9, 'blockSize: 1024,'), /blockSize 1024 where clients know 512/],
    [() => write(path, 9, '', 2048), /"D" is open and cannot shrink from 8 to 4 blocks/],
  ];
  for (const [change, message] of cases) {
    change();
    await assert.rejects(reload(cluster), (error: Error) => {
      assert.match(error.message, message);
      if (error.message.includes('oops')) assert.match(error.stack ?? '', /^Error: oops\n\s+at broken \(.*c\.mjs:1:/);
      return true;
    });
    done.length = 0;
    read(512, 0);
    await cluster.untilTrue(() => done.length === 1);
    assert.deepEqual(done, ['512 0 1']);
  }
  // Those that loaded and did not fit are closed.
  assert.deepEqual(gate.closed, ['9', '9']);
  write(path, 3);
  await reload(cluster);
  read(512, 0);
  await cluster.untilTrue(() => done.length === 2);
  assert.equal(done[1], '512 0 3');
  desc.close();
  // Nobody has it open: it may shrink.
  write(path, 4, '', 512);
  assert.equal(await reload(cluster), 512);
  assert.equal(cluster.bdevs.get('D').sizeBytes, 512);
  await cluster.close();
});

test('a disk may not lose what clients count on, and one without a file is not reloaded', async () => {
  const cluster = await startCluster();
  const path = join(dir, 'd.mjs');
  write(path, 1, 'write() {},');
  await cluster.until(cluster.bdevs.create('disk', { name: 'D', module: path }));
  write(path, 2);
  await assert.rejects(reload(cluster), { code: 'EINVAL', message: /it has no write any more/ });
  // One may come that has a flush: what asks for FUA must get as far as that.
  assert.equal(cluster.bdevs.get('D').volatileCache, true);
  await cluster.until(cluster.bdevs.create('disk', { name: 'M', disk: defineDisk({ size: 512, read() {} }) }));
  assert.equal(cluster.bdevs.get('M').volatileCache, false);
  await assert.rejects(cluster.until(reloadDisk(cluster.reactors[0], 'M')), {
    code: 'ENOTSUP',
    message: /has no file/,
  });
  await cluster.close();
});

test('a version that does not finish loading gives way to the next, and is closed if it comes after all', async () => {
  const { path, cluster, desc, done, read } = await setUp('g.mjs');
  const late = globalThis as { tspdkReloadLate?: () => void };
  write(path, 2);
  appendFileSync(path, '\nawait new Promise((resolve) => { globalThis.tspdkReloadLate = resolve; });');
  const stuck = assert.rejects(reload(cluster), { code: 'ECANCELED', message: /disk "D": a newer version/ });
  await cluster.untilTrue(() => late.tspdkReloadLate !== undefined);
  write(path, 3);
  assert.equal(await reload(cluster), 4096);
  read(512, 0);
  await cluster.untilTrue(() => done.length === 1);
  assert.deepEqual([done, gate.closed], [['512 0 3'], ['1']]);
  late.tspdkReloadLate?.();
  await stuck;
  assert.deepEqual(gate.closed, ['1', '2']);
  read(512, 0);
  await cluster.untilTrue(() => done.length === 2);
  assert.equal(done[1], '512 0 3');
  desc.close();
  await cluster.close();
});

test('two versions at once, and the older still waits for its turn: both are served, in turn, and closed', async () => {
  const { path, cluster, desc, done, read } = await setUp('h.mjs');
  read(0, 0);
  await cluster.untilTrue(() => gate.release.length === 1);
  write(path, 2);
  const first = reload(cluster);
  await cluster.untilTrue(() => gate.loaded === 2);
  for (let i = 0; i < 50; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    cluster.turns();
  }
  write(path, 3);
  const second = reload(cluster);
  await cluster.untilTrue(() => gate.loaded === 3);
  gate.release[0]();
  assert.deepEqual(await Promise.all([first, second]), [4096, 4096]);
  read(512, 512);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done, ['0 0 1', '512 0 3']);
  assert.deepEqual(gate.closed, ['1', '2']);
  desc.close();
  await cluster.close();
});

test('a close that does not settle is told, and holds neither a new size up nor a later version', async () => {
  const path = join(dir, 'i.mjs');
  const cluster = await startCluster({ reactors: 2 });
  write(path, 1, 'close: () => new Promise((resolve) => gate.release.push(resolve)),');
  await cluster.until(cluster.bdevs.create('disk', { name: 'D', module: path, timeout_ms: 1000 }));
  gate.release = [];
  write(path, 2, '', 8192);
  const { nowUs } = cluster.clock;
  const reloaded = reload(cluster);
  await cluster.untilTrue(() => gate.release.length === 1 && cluster.bdevs.get('D').sizeBytes === 8192);
  assert.ok(cluster.clock.nowUs < nowUs + 1_000_000, 'the size is told before the time of the close is over');
  cluster.clock.nowUs += 1_000_000;
  assert.equal(await reloaded, 8192);
  write(path, 3, '', 8192);
  assert.equal(await reload(cluster), 8192);
  assert.equal(gate.loaded, 3);
  await cluster.close();
});

test('a disk that goes while its new version loads: each is closed once', async () => {
  const { path, cluster, desc } = await setUp('k.mjs');
  const late = globalThis as { tspdkReloadGone?: () => void };
  write(path, 2);
  appendFileSync(path, '\nawait new Promise((resolve) => { globalThis.tspdkReloadGone = resolve; });');
  const gone = assert.rejects(reload(cluster), { code: 'ENODEV' });
  await cluster.untilTrue(() => late.tspdkReloadGone !== undefined);
  desc.close();
  await cluster.until(cluster.bdevs.delete('D', 'disk'));
  late.tspdkReloadGone?.();
  await gone;
  assert.deepEqual(gate.closed, ['1', '2']);
  await cluster.close();
});

test('a disk that somebody opens while a smaller version loads keeps its size, and its code', async () => {
  const { path, cluster, desc } = await setUp('s.mjs');
  desc.close();
  const late = globalThis as { tspdkReloadSmaller?: () => void };
  write(path, 2, '', 512);
  appendFileSync(path, '\nawait new Promise((resolve) => { globalThis.tspdkReloadSmaller = resolve; });');
  const refused = assert.rejects(reload(cluster), { code: 'EBUSY', message: /cannot shrink from 8 to 1 blocks/ });
  await cluster.untilTrue(() => late.tspdkReloadSmaller !== undefined);
  const opened = BdevDesc.open('D', { write: false, reactor: cluster.reactors[0], onEvent: () => {} });
  late.tspdkReloadSmaller?.();
  await refused;
  assert.deepEqual(gate.closed, ['2']);
  const buf = cluster.memory(512);
  const values: number[] = [];
  opened.getIoChannel().read(buf, 0, 3584, 512, () => void values.push(buf.u8[0]), null);
  await cluster.untilTrue(() => values.length === 1);
  assert.deepEqual(values, [1]);
  opened.close();
  await cluster.close();
});

test('a CommonJS file is loaded again too, and each disk of it is an instance of its own', async () => {
  const cluster = await startCluster();
  const [reactor] = cluster.reactors;
  const brand = "Symbol.for('tspdk.disk')";
  const write = (path: string, value: number, exported: string) =>
    writeFileSync(
      path,
      `let held = ${value};
       const disk = { size: 4096, blockSize: 512, read(_, buffer) { buffer.fill(held); }, write(_, buffer) { held = buffer[0]; } };
       Object.defineProperty(disk, ${brand}, { value: true });
       ${exported}`,
    );
  const buf = cluster.memory(512);
  const ask = async (name: string, change?: number) => {
    const desc = BdevDesc.open(name, { write: true, reactor, onEvent: () => {} });
    const channel = desc.getIoChannel();
    let status = 1;
    const onDone = (_: unknown, rc: number) => {
      status = rc;
    };
    if (change !== undefined) buf.u8.fill(change);
    if (change === undefined) channel.read(buf, 0, 0, 512, onDone, null);
    else channel.write(buf, 0, 0, 512, onDone, null);
    await cluster.untilTrue(() => status !== 1);
    assert.equal(status, 0);
    desc.close();
    return buf.u8[0];
  };
  const forms = {
    'e.cjs': 'module.exports = disk;',
    // As TypeScript writes it for a package that is not of type module.
    'f.cjs': "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = disk;",
  };
  for (const [file, exported] of Object.entries(forms)) {
    const path = join(dir, file);
    write(path, 1, exported);
    await cluster.until(cluster.bdevs.create('disk', { name: 'D', module: path }));
    await cluster.until(cluster.bdevs.create('disk', { name: 'E', module: path }));
    await ask('D', 7);
    assert.deepEqual([await ask('D'), await ask('E')], [7, 1], 'two disks of one file share nothing');
    write(path, 2, exported);
    await reload(cluster);
    assert.equal(await ask('D'), 2);
    for (const name of ['D', 'E']) await cluster.until(cluster.bdevs.delete(name, 'disk'));
  }
  await cluster.close();
});
