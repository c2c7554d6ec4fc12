// `tspdk serve` as people run it: the command itself, each kind of disk, and what it says when it cannot.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseNbdAddress } from '../nbd/index.ts';
import { SocketClient } from '../nbd/socket-client.sim.ts';

const cli = fileURLToPath(new URL('./cli.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'tspdk-'));
after(() => rmSync(dir, { recursive: true }));

/** Starts `serve`, runs `body` with the URIs it prints, stops it by SIGINT; resolves with the exit code. */
async function withServe(args: string[], body: (uris: string[]) => Promise<void>): Promise<number | null> {
  const child = spawn(process.execPath, [cli, 'serve', '--no-pin', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let said = '';
  try {
    for await (const part of child.stdout.setEncoding('utf8')) {
      said += part as string;
      if (said.includes('stop:')) break;
    }
    assert.match(said, /nbdinfo 'nbd/);
    await body([...said.matchAll(/^ {2}(nbd\S+)$/gm)].map((match) => match[1]));
  } finally {
    child.kill('SIGINT');
  }
  return exit;
}

async function enter(uri: string): Promise<SocketClient> {
  const { address, exportName } = parseNbdAddress(uri);
  return SocketClient.enter(address, exportName);
}

test('memory, on TCP and a unix socket, under a name', async () => {
  const path = join(dir, 'a.sock');
  const rc = await withServe(['4M', '--nbd', ':0', '--nbd', `unix:${path}`, '--name', 'mine'], async (uris) => {
    assert.equal(uris.length, 2);
    assert.equal(uris[1], `nbd+unix:///mine?socket=${path}`);
    const [tcp, unix] = [await enter(uris[0]), await enter(uris[1])];
    assert.equal(tcp.sizeBytes, 4 * 1024 * 1024);
    await tcp.write(4096, new Uint8Array(4096).fill(7));
    assert.ok((await unix.read(4096, 4096)).every((byte) => byte === 7));
    await Promise.all([tcp.disconnect(), unix.disconnect()]);
  });
  assert.equal(rc, 0);
});

test('a file, and a file that must not be written', async () => {
  const path = join(dir, 'disk.img');
  writeFileSync(path, new Uint8Array(1024 * 1024));
  const rc = await withServe([path, '--nbd', ':0'], async ([uri]) => {
    const client = await enter(uri);
    await client.write(512, new Uint8Array(512).fill(9), 1);
    await client.write(0x10000, new Uint8Array(300 * 1024).fill(5));
    assert.ok((await client.read(0x10000, 300 * 1024)).every((byte) => byte === 5));
    await client.disconnect();
  });
  assert.equal(rc, 0);
  const data = readFileSync(path);
  assert.ok(data.subarray(512, 1024).every((byte) => byte === 9));
  assert.equal(data[1024], 0);
  const again = await withServe([path, '--read-only', '--nbd', ':0'], async ([uri]) => {
    const client = await enter(uri);
    assert.equal(client.flags & 2, 2);
    assert.equal((await client.ask({ type: 1, data: new Uint8Array(512) })).error, 1);
    assert.equal((await client.read(512, 512))[0], 9);
    await client.disconnect();
  });
  assert.equal(again, 0);
});

test('a disk that a module defines', async () => {
  const path = join(dir, 'striped.mjs');
  const api = new URL('../module/bdev/disk/define-disk.js', import.meta.url).href;
  writeFileSync(
    path,
    `import { defineDisk } from '${api}';
     export default defineDisk({ size: 65536, blockSize: 512, async read(offset, data) { data.fill(offset / 512); } });`,
  );
  const rc = await withServe([path, '--nbd', ':0'], async ([uri]) => {
    const client = await enter(uri);
    assert.equal(client.sizeBytes, 65536);
    assert.equal(client.flags & 2, 2, 'it cannot be written, so the export is read-only');
    assert.ok((await client.read(512 * 3, 512)).every((byte) => byte === 3));
    await client.disconnect();
  });
  assert.equal(rc, 0);
});

test('a module of the user with the whole contract serves clients on several reactors', async () => {
  const path = join(dir, 'shared.mjs');
  const api = JSON.stringify(new URL('../index.js', import.meta.url).href);
  writeFileSync(
    path,
    `import { copyBytes, defineBdevModule, dropSegment, IO_READ, shareSegment } from ${api};
     export default defineBdevModule({
       name: 'shared',
       async create({ options }, reactor) {
         const segment = await shareSegment(reactor, Number(options.size));
         return { sizeBytes: Number(options.size), ioTypes: ['read', 'write', 'flush'], data: { segment, cores: new SharedArrayBuffer(64) } };
       },
       attach({ data }, reactor) {
         const memory = reactor.segments.get(data.segment);
         const cores = new Uint8Array(data.cores);
         return { createChannel: () => ({
           submit(io) {
             let at = io.byteOffset;
             for (let i = 0; i < io.iovs.count; i++) {
               const bytes = io.iovs.bytes[i];
               if (io.type === IO_READ) copyBytes(io.iovs.segment[i], io.iovs.offset[i], memory, at, bytes);
               else copyBytes(memory, at, io.iovs.segment[i], io.iovs.offset[i], bytes);
               at += bytes;
             }
             // The last block tells which reactors have served.
             cores[reactor.index] = 1;
             memory.u8.set(cores, memory.sizeBytes - 64);
             io.complete(0);
           },
         }) };
       },
       destroy: ({ data }, reactor) => dropSegment(reactor, data.segment),
     });`,
  );
  const args = [path, '--nbd', ':0', '--cpumask', '0x3', '--option', 'size=1048576'];
  const rc = await withServe(args, async ([uri]) => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => enter(uri)));
    assert.equal(clients[0].sizeBytes, 1 << 20);
    for (const [i, client] of clients.entries()) await client.write(i * 4096, new Uint8Array(4096).fill(i + 1));
    for (const client of clients) {
      for (let i = 0; i < clients.length; i++) {
        assert.ok((await client.read(i * 4096, 4096)).every((byte) => byte === i + 1));
      }
    }
    const served = (await clients[0].read((1 << 20) - 512, 512)).subarray(448, 450);
    // Without FFI all connections stay on the app core.
    if (process.env.TSPDK_NO_FFI !== '1') assert.deepEqual([...served], [1, 1]);
    await Promise.all(clients.map((client) => client.disconnect()));
  });
  assert.equal(rc, 0);
});

test('timers and sockets that a module leaves keep no thread, and no process', async () => {
  const path = join(dir, 'timers.mjs');
  const api = new URL('../module/bdev/disk/define-disk.js', import.meta.url).href;
  writeFileSync(
    path,
    `import { createServer } from 'node:net';
     import { defineDisk } from '${api}';
     setInterval(() => {}, 1000);
     createServer().listen(0, '127.0.0.1');
     export default defineDisk({ size: 65536, read(offset, data) { data.fill(1); } });`,
  );
  for (const cpumask of ['0x1', '0x3']) {
    const rc = await withServe([path, '--nbd', ':0', '--cpumask', cpumask], async ([uri]) => {
      const client = await enter(uri);
      assert.equal((await client.read(0, 512))[0], 1);
      await client.disconnect();
    });
    assert.equal(rc, 0);
  }
});

test('faults on the command line', async () => {
  const rule = 'op=write,action=error,errno=ENOSPC,count=1';
  const rc = await withServe(
    ['1M?fault=op=read,action=error,count=1', '--nbd', ':0', '--fault', rule],
    async ([uri]) => {
      const client = await enter(uri);
      assert.equal((await client.ask({ type: 1, data: new Uint8Array(512) })).error, 28);
      await client.write(0, new Uint8Array(512).fill(3));
      await assert.rejects(client.read(0, 512));
      assert.equal((await client.read(0, 512))[0], 3);
      await client.disconnect();
    },
  );
  assert.equal(rc, 0);
});

test('what cannot be served is said in one line', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [cli, 'serve', '--no-pin', ...args], { encoding: 'utf8' });
  const cases: [string[], RegExp][] = [
    [[], /there is no DISK/],
    [[join(dir, 'missing.img')], /missing\.img": no such file/],
    [['64M', '128M'], /one DISK at a time/],
    [['100'], /multiple of 512/],
    [['64M', '--nbd', 'nbds://x'], /TLS/],
    [['64M', '--nbd', join(dir, 'no', 'such', 'dir', 's')], /no\/such\/dir/],
    [['64M', '--wrong'], /--wrong/],
    [['64M', '--watch'], /--watch: "64M" is no module/],
    [['64M', '--fault', 'op=x'], /op "x", may be all/],
  ];
  for (const [args, message] of cases) {
    const { status, stderr } = run(...args);
    assert.equal(status, 1, args.join(' '));
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /\n\s+at /, 'no stack');
  }
  assert.match(run('--help').stdout, /usage: tspdk serve DISK/);
});
