// The disks of docs/disks-of-your-own.md: each does what every disk must, and what the page shows of them is what they are.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Disk } from 'tspdk';
import { checkPage } from '../_page.ts';
import { startObjectServer } from './object-server.ts';

const MIB = 1024 * 1024;
const root = fileURLToPath(new URL('../../../', import.meta.url));
const cli = join(root, 'packages', 'tspdk', 'dist', 'app', 'cli.js');
const dir = mkdtempSync(join(tmpdir(), 'tspdk-examples-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const fileOf = (name: string) => fileURLToPath(new URL(`./${name}.js`, import.meta.url));
const conform = (name: string, ...args: string[]) => conformWith(fileOf(name), ...args);

/** Beside this one: the server of objects runs here meanwhile. */
async function conformWith(...args: string[]): Promise<string> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, [cli, 'conform', '--no-pin', ...args], { env });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0, said);
  return said;
}

test('ram', async () => {
  assert.match(await conform('ram', '-m', '0x3'), /^24 passed, 0 failed, 4 do not apply$/m);
});

test('computed', async () => {
  assert.match(await conform('computed'), /^ok {7}read-only/m);
});

test('shared-memory, on two reactors', async () => {
  const said = await conform('shared-memory', '-m', '0x3', '--option', 'size=8M');
  for (const check of ['zero-copy', 'every-core', 'vectored']) assert.match(said, new RegExp(`^ok {7}${check} `, 'm'));
});

test('object-store: its objects are in the store', async () => {
  const { server, url, objects } = await startObjectServer(0);
  try {
    assert.match(await conform('object-store', '--option', `url=${url}/d`), /^ok {7}unmap /m);
    // The first and the last one were written to.
    assert.ok(objects.has('/d/0') && objects.has('/d/1023'));
    assert.equal(objects.get('/d/0')?.length, 65536);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('object-store: a request ends when all its parts have, though one has failed', async () => {
  let late = false;
  // The first object fails at once, the second comes after its error has been heard.
  const server = createServer(async (asked, answer) => {
    if (asked.url === '/0') return void answer.writeHead(507).end();
    for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
    late = true;
    answer.end(Buffer.alloc(65536, 'x'));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { default: make } = (await import(fileOf('object-store'))) as { default: (options: object) => Disk };
    const buffer = new Uint8Array(2 * 65536);
    const read = make({ url }).read(0, buffer, { signal: new AbortController().signal }) as Promise<void>;
    await assert.rejects(read, { code: 'ENOSPC' });
    assert.equal(late, true, 'the second part is still to come, and the buffer is somebody else’s');
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('sqlite: its rows are in the file', async (t) => {
  const name = 'node:sqlite';
  const sqlite = (await import(name).catch(() => null)) as { DatabaseSync: new (file: string) => unknown } | null;
  if (sqlite === null) return t.skip(`no node:sqlite in Node ${process.versions.node}: use 22.5 or newer`);
  const file = join(dir, 'disk.db');
  assert.match(await conform('sqlite', '--option', `file=${file}`), /^ok {7}flush /m);
  assert.ok(existsSync(file));
});

test('sqlite: a flush that another program keeps from its checkpoint is an error', async (t) => {
  const name = 'node:sqlite';
  interface Db {
    exec(sql: string): void;
    prepare(sql: string): { get(): unknown };
    close(): void;
  }
  const sqlite = (await import(name).catch(() => null)) as { DatabaseSync: new (file: string) => Db } | null;
  if (sqlite === null) return t.skip(`no node:sqlite in Node ${process.versions.node}: use 22.5 or newer`);
  const file = join(dir, 'busy.db');
  const { default: make } = (await import(fileOf('sqlite'))) as { default: (options: object) => Promise<Disk> };
  const disk = await make({ file });
  const request = { signal: new AbortController().signal };
  const other = new sqlite.DatabaseSync(file);
  other.exec('BEGIN');
  other.prepare('SELECT count(*) FROM pages').get();
  disk.write?.(0, new Uint8Array(4096).fill(1), request);
  assert.throws(() => disk.flush?.(request), { code: 'EIO' });
  other.exec('COMMIT');
  disk.flush?.(request);
  other.close();
  disk.close?.();
});

test('mbr: the partitions that sfdisk made are found, and each keeps to itself', async (t) => {
  const image = join(dir, 'partitioned.img');
  writeFileSync(image, Buffer.alloc(8 * MIB, 'x'));
  const table = 'label: dos\nstart=2048, size=4096, type=83\nstart=6144, size=6144, type=83\nstart=12288, type=5\n';
  const made = spawnSync('sfdisk', ['--quiet', image], { input: table, encoding: 'utf8' });
  if (made.error !== undefined) return t.skip('needs sfdisk: apt-get install fdisk');
  assert.equal(made.status, 0, made.stderr);
  const before = readFileSync(image);
  const config = join(dir, 'mbr.json');
  const calls = [
    { method: 'bdev_disk_load_module', params: { module: fileOf('mbr') } },
    { method: 'bdev_aio_create', params: { name: 'Disk', filename: image, block_size: 512 } },
    { method: 'bdev_wait_for_examine', params: {} },
  ];
  writeFileSync(config, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: calls }] }));
  const said = await conformWith('--json', config, '-T', 'Diskp2', '-m', '0x3');
  for (const check of ['every-core', 'vectored', 'removal']) assert.match(said, new RegExp(`^ok {7}${check} `, 'm'));
  const after = readFileSync(image);
  const [start, end] = [3 * MIB, 6 * MIB];
  assert.ok(!after.subarray(start, end).equals(before.subarray(start, end)), 'the second was written to');
  for (const [from, to] of [
    [0, start],
    [end, 8 * MIB],
  ]) {
    assert.ok(after.subarray(from, to).equals(before.subarray(from, to)), `bytes ${from} to ${to} are as they were`);
  }
  // There are those two.
  await assert.rejects(conformWith('--json', config, '-T', 'Diskp3'), /Diskp3/);
});

test('what the page shows is in the files, line by line', () => checkPage('disks-of-your-own.md', 15));
