// `tspdk perf` as people run it: kinds of disks, configuration, output, exit codes, RPC, Ctrl-C, and wrong flags.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PerfResult } from '../perf/index.ts';
import { RpcClient } from '../rpc/index.ts';
import { PERF_FLAGS } from './perf-flags.ts';

const cli = fileURLToPath(new URL('./cli.js', import.meta.url));
const defineDisk = new URL('../module/bdev/disk/define-disk.js', import.meta.url).href;
const dir = mkdtempSync(join(tmpdir(), 'tspdk-'));
after(() => rmSync(dir, { recursive: true }));

const perf = (...args: string[]) =>
  spawnSync(process.execPath, [cli, 'perf', '--no-pin', ...args], { encoding: 'utf8' });

function performed(...args: string[]): PerfResult {
  const { status, stdout, stderr } = perf('--json-output', ...args);
  assert.equal(status, 0, stderr);
  assert.equal(stdout.trimEnd().split('\n').length, 1, stdout);
  return JSON.parse(stdout) as PerfResult;
}

/** A disk module whose functions are `body`; `memory` is its data. */
function diskModule(name: string, body: string): string {
  const path = join(dir, name);
  writeFileSync(
    path,
    `import { defineDisk } from '${defineDisk}';
     const memory = new Uint8Array(65536);
     let reads = 0;
     export default defineDisk({ size: 65536, blockSize: 512, ${body} });`,
  );
  return path;
}

test('memory, a disk that keeps nothing, a file and a module', () => {
  const file = join(dir, 'disk.img');
  writeFileSync(file, new Uint8Array(1024 * 1024));
  const ram = diskModule(
    'ram.mjs',
    'async read(at, data) { data.set(memory.subarray(at, at + data.length)); }, async write(at, data) { memory.set(data, at); }',
  );
  for (const [disk, name] of [
    ['1M', 'Malloc0'],
    ['null:1M', 'Null0'],
    [file, 'disk.img'],
    [ram, 'ram.mjs'],
  ]) {
    const { results, total } = performed(disk, '-w', 'randrw', '-M', '70', '-q', '4', '-o', '4k', '--ios', '500');
    assert.equal(results.length, 1);
    const { job, status, workload, percentage, queue_depth, io_size, io_completed } = results[0];
    assert.deepEqual(
      { job, status, workload, percentage, queue_depth, io_size, io_completed },
      {
        job: name,
        status: 'finished',
        workload: 'randrw',
        percentage: 70,
        queue_depth: 4,
        io_size: 4096,
        io_completed: 500,
      },
    );
    assert.equal(total.io_failed, 0);
  }
  assert.notEqual(
    readFileSync(file).findIndex((byte) => byte !== 0),
    -1,
    'what was written is on the file',
  );
});

test('disks of a configuration, all or one of them, on every core', () => {
  const config = join(dir, 'config.json');
  const create = (name: string) => ({
    method: 'bdev_malloc_create',
    params: { name, num_blocks: 2048, block_size: 512 },
  });
  writeFileSync(config, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: [create('A'), create('B')] }] }));
  const names = (result: PerfResult) => result.results.map(({ job, core }) => `${job}${core}`);
  const on = ['--json', config, '--ios', '100', '-m', '0x3'];
  assert.deepEqual(names(performed(...on)), ['A0', 'B1']);
  assert.deepEqual(names(performed(...on, '-C', '-w', 'write')), ['A0', 'A1', 'B0', 'B1']);
  assert.deepEqual(names(performed(...on, '-T', 'B', '-w', 'verify')), ['B0']);
});

test('the table and the percentiles are for people', () => {
  const { stdout, status } = perf('1M', '--ios', '200', '-l', '-F', '1.2');
  assert.equal(status, 0);
  assert.match(stdout, /^Malloc0 on core 0: randread, depth 32, I\/O size 4096$/m);
  assert.match(stdout, /^Malloc0 +0 +[\d.]+ +[\d.]+ +[\d.]+ +0\.00 +0\.00 /m);
  assert.match(stdout, /^Total /m);
  assert.match(stdout, /^ +99\.90000% : +[\d.]+ us$/m);
});

test('verify: a disk that changes one bit makes the exit code 1, and the line says where', () => {
  const liar = diskModule(
    'liar.mjs',
    `async read(at, data) { data.set(memory.subarray(at, at + data.length)); if (++reads === 30) data[77] ^= 4; },
     async write(at, data) { memory.set(data, at); }`,
  );
  const { status, stdout, stderr } = perf(liar, '-w', 'verify', '-o', '1024', '-q', '4');
  assert.equal(status, 1);
  const told =
    /bdev "liar\.mjs": at offset (\d+) stands ([0-9a-f]{32}), ([0-9a-f]{32}) was written there; 1 of the 1024/.exec(
      stderr,
    );
  assert.ok(told !== null, stderr);
  assert.equal(Number(told[1]) % 1024, 77);
  assert.equal(Number.parseInt(told[2].slice(0, 2), 16) ^ Number.parseInt(told[3].slice(0, 2), 16), 4);
  assert.match(stdout, /verifying bytes 0 to 65535, failed/);
});

test('an I/O that fails makes the exit code 1', () => {
  const broken = diskModule('broken.mjs', 'async read(at) { if (at === 8192) throw new Error("bad sector"); }');
  const { status, stderr } = perf(broken, '-w', 'read', '-q', '1');
  assert.equal(status, 1);
  assert.match(stderr, /bdev "broken\.mjs": read of 4096 bytes at offset 8192 failed: EIO \(-5\)/);
});

test('Ctrl-C in the middle: the results so far, and a clean end', async () => {
  const child = spawn(process.execPath, [
    cli,
    'perf',
    '--no-pin',
    '1M',
    '-t',
    '3600',
    '--json-output',
    '-r',
    join(dir, 'int.sock'),
  ]);
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  const exit = once(child, 'exit');
  const client = await connectSoon(join(dir, 'int.sock'));
  for (let reads = 0; reads === 0; ) {
    const stat = (await client.call('bdev_get_iostat')) as { bdevs: { num_read_ops: number }[] };
    reads = stat.bdevs[0]?.num_read_ops ?? 0;
  }
  client.close();
  child.kill('SIGINT');
  assert.equal((await exit)[0], 0);
  const { results, total } = JSON.parse(out) as PerfResult;
  assert.equal(results[0].status, 'terminated');
  assert.ok(total.io_completed > 0);
});

/** As soon as the application listens and has all its disks. */
async function connectSoon(path: string): Promise<RpcClient> {
  for (;;) {
    try {
      const client = await RpcClient.connect(path);
      await client.call('framework_wait_init');
      return client;
    } catch (error) {
      if ((error as { code?: string }).code === undefined) throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

test('-z waits for perform_tests, again and again, and Ctrl-C ends it', async () => {
  const path = join(dir, 'z.sock');
  const child = spawn(process.execPath, [cli, 'perf', '--no-pin', '1M', '-z', '--ios', '300', '-r', path]);
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  const exit = once(child, 'exit');
  const client = await connectSoon(path);
  for (const workload_type of ['write', 'verify', 'randread']) {
    const { results } = (await client.call('perform_tests', { workload_type, queue_depth: 2 })) as PerfResult;
    assert.equal(results[0].workload, workload_type);
    assert.ok(results[0].io_completed >= 300);
  }
  client.close();
  child.kill('SIGINT');
  assert.equal((await exit)[0], 0);
  assert.match(out, /^waiting for perform_tests on .*z\.sock$/m);
  assert.equal(out.match(/^Total /gm)?.length, 3);
});

test('wrong arguments: one clear line, exit code 1, no stack', () => {
  const cases: [string[], RegExp][] = [
    [[], /there is no disk to test/],
    [['1M', '2M'], /one DISK at a time; "2M" is one too many/],
    [['100'], /multiple of 512/],
    [['null:'], /disk "null:": what follows "null:" is not a size/],
    [['null:100'], /multiple of 512/],
    [['1M', '-w', 'foo'], /no workload "foo"; one of: read write randread/],
    [['1M', '-q', '0'], /--queue-depth 0: not a whole number of at least 1/],
    [['1M', '-q', '99999'], /queue depth 99999: not a whole number from 1 to 16384/],
    [['1M', '-o', 'x'], /--io-size x: not a size/],
    [['1M', '-o', '1000'], /I\/O size 1000: bdev "Malloc0" has blocks of 512 bytes/],
    [['1M', '-t', '-1'], /--time -1: not a number of seconds/],
    [['1M', '-t', '0'], /time 0: not a whole number from 1/],
    [['1M', '-M', '50'], /--rwmixread 50: workload "randread" has no mix/],
    [['1M', '-w', 'rw', '-M', '101'], /percentage of reads 101/],
    [['1M', '-w', 'read', '-F', '1'], /--zipf 1: workload "read" draws no places/],
    [['1M', '-F', 'x'], /--zipf x: not a number/],
    [['1M', '-X'], /no timeout/],
    [['1M', '-T', 'Malloc7'], /no bdev named "Malloc7"/],
    [['1M', '--seed', '1.5'], /--seed 1\.5/],
    [['1M', '--nonsense'], /unknown flag --nonsense/],
  ];
  for (const [args, message] of cases) {
    const { status, stderr } = perf(...args);
    assert.equal(status, 1, args.join(' '));
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /\n\s+at /, 'no stack');
  }
});

test('help tells every flag and workload', () => {
  const { stdout, status } = perf('--help');
  assert.equal(status, 0);
  for (const { name } of PERF_FLAGS) assert.ok(stdout.includes(`--${name}`), name);
  for (const name of ['randread', 'verify', 'write_zeroes']) assert.match(stdout, new RegExp(`^  ${name} `, 'm'));
});
