// `tspdk conform` as people run it: what it prints, its JSON, and its exit codes.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { allowedCores } from '../env/affinity.ts';

const cli = fileURLToPath(new URL('./cli.js', import.meta.url));
const api = JSON.stringify(new URL('../index.js', import.meta.url).href);
const dir = mkdtempSync(join(tmpdir(), 'tspdk-'));
after(() => rmSync(dir, { recursive: true }));

const run = (...args: string[]) => {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return spawnSync(process.execPath, [cli, 'conform', '--no-pin', ...args], { encoding: 'utf8', env });
};

/** A disk whose write is `write`. */
function disk(name: string, write: string): string {
  const path = join(dir, name);
  writeFileSync(
    path,
    `import { defineDisk } from ${api};
     const memory = new Uint8Array(1 << 20);
     export default ({ error }) => defineDisk({
       size: memory.length,
       async read(offset, buffer) { buffer.set(memory.subarray(offset, offset + buffer.length)); },
       async write(offset, buffer) { ${write} },
     });`,
  );
  return path;
}

test('a good disk: a line for each check, and exit code 0', () => {
  const { status, stdout, stderr } = run(disk('good.mjs', 'memory.set(buffer, offset);'));
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^ok {7}write-read +a block that is written reads back/m);
  assert.match(stdout, /^skipped {2}unmap +it does not offer unmap$/m);
  assert.match(stdout, /^\d\d passed, 0 failed, \d do not apply$/m);
});

test('a bad disk: what was expected and what came, and exit code 1; also as JSON, and of one check', () => {
  const path = disk('bad.mjs', 'if (offset !== 1024) memory.set(buffer, offset);');
  const { status, stdout } = run(path, '--only', 'kept', '--only', 'read-only');
  assert.equal(status, 1);
  assert.match(
    stdout,
    /^FAILED {3}kept +blocks written one by one.*\n {9}expected what was written .* byte 1024 of the disk is 0x..; got 0x00 \(5\d\d of \d+ bytes differ\)$/m,
  );
  assert.match(stdout, /^0 passed, 1 failed, 1 do not apply$/m);
  const json = run(path, '--only', 'kept', '--json-output');
  assert.equal(json.status, 1);
  const { failed, checks } = JSON.parse(json.stdout) as { failed: number; checks: { name: string; status: string }[] };
  assert.deepEqual([failed, checks.length, checks[0].name, checks[0].status], [1, 1, 'kept', 'failed']);
});

test('a fault on the command line makes a good disk fail', () => {
  const good = disk('good.mjs', 'memory.set(buffer, offset);');
  const { status, stdout } = run(good, '--only', 'write-read', '--fault', 'op=write,action=error,errno=ENOSPC,count=1');
  assert.equal(status, 1);
  assert.match(stdout, /expected write of 512 bytes at 0 to succeed; got ENOSPC \(-28\)/);
});

test('what cannot be checked is said, and what there is to check is listed', () => {
  assert.match(run('--list').stdout, /^removal +a disk that is removed under load/m);
  for (const [args, message] of [
    [[], /there is no DISK to check/],
    [['64M', '--only', 'unmapp'], /no check "unmapp"/],
    [['64M', '--option', 'a=b'], /"a" is no option of such a disk; only modules/],
    [['64M', '--fault', 'op=reed'], /op "reed", may be all, read/],
    [['64M', '-T', 'Raid0'], /either "64M" or --bdev Raid0/],
    [['-T', 'Raid0'], /name one, or one of --json CONFIG with -T/],
    [['-T', 'Raid0', '--json', 'c.json', '--direct'], /--direct: there is no DISK/],
  ] as const) {
    const { status, stderr } = run(...args);
    assert.equal(status, 1, args.join(' '));
    assert.match(stderr, message);
  }
});

test('a disk of a configuration, with a fault of its own', () => {
  const config = join(dir, 'config.json');
  const malloc = (name: string) => ({
    method: 'bdev_malloc_create',
    params: { name, block_size: 512, num_blocks: 16384 },
  });
  const raid = { name: 'Raid0', raid_level: 'raid0', strip_size_kb: 64, base_bdevs: ['M0', 'M1'] };
  const calls = [malloc('M0'), malloc('M1'), { method: 'bdev_raid_create', params: raid }];
  writeFileSync(config, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: calls }] }));
  const { status, stdout, stderr } = run('--json', config, '-T', 'Raid0', '--only', 'edges', '--only', 'removal');
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^ok {7}removal /m);
  const faulty = ['--only', 'write-read', '--fault', 'op=write,action=error,errno=ENOSPC', '--json-output'];
  const failed = run('--json', config, '-T', 'Raid0', ...faulty);
  assert.equal(failed.status, 1, failed.stderr);
  assert.equal((JSON.parse(failed.stdout) as { disk: string }).disk, 'Raid0');
  const none = run('--json', config, '-T', 'Raid1');
  assert.equal(none.status, 1);
  assert.match(none.stderr, /no bdev named "Raid1"/);
});

/** A module of one's own that is right but for `broken`, which stands in what it is, or in its channel. */
function moduleWith(name: string, broken: string, channel = ''): string {
  const path = join(dir, name);
  writeFileSync(
    path,
    `import { defineBdevModule } from ${api};
     export default defineBdevModule({
       name: 'null',
       create: () => ({ sizeBytes: 1 << 20, ioTypes: ['read', 'write', 'flush'] }),
       attach: () => ({ createChannel: () => ({ submit: (io) => io.complete(0), ${channel} }) }),
       ${broken}
     });`,
  );
  return path;
}

test('a module that never answers, cannot be used or ends the process: what is wrong is said, and the exit code is 1', () => {
  const never = 'new Promise(() => {})';
  const [exported, exits] = [join(dir, 'never.mjs'), disk('exits.mjs', 'process.exit(0);')];
  writeFileSync(exported, `export default () => ${never};`);
  for (const [path, message] of [
    [exported, /disk ".*never.mjs" has not been made within 1000 ms \(--io-timeout\)/],
    [
      moduleWith('destroy.mjs', `destroy: () => ${never},`),
      /the disk to be gone once nobody has it open within 1000 ms/,
    ],
    [moduleWith('create.mjs', 'create: () => null,'), /module "null": create gave null, not what the disk is/],
    [
      moduleWith('channel.mjs', 'attach: () => ({ createChannel: () => null }),'),
      /createChannel\(\) gave nothing with/,
    ],
    [
      moduleWith('status.mjs', '', 'submit: (io) => io.complete(5)'),
      /got 5, which is no status: 0 or a negative errno/,
    ],
    [exits, /the process ended before the checks did: something has called process.exit\(\)/],
  ] as const) {
    const only = path.endsWith('destroy.mjs') ? 'removal' : 'write-read';
    const { status, stdout, stderr } = run(path, '--no-data', '--io-timeout', '1', '--only', only);
    assert.equal(status, 1, path + stdout + stderr);
    assert.match(stdout + stderr, message);
  }
});

test('a module that never answers on another core is found', { skip: allowedCores().length < 2 && 'one core' }, () => {
  const attach = `attach: (_, { core, app }) => ({
    createChannel: () => ({ submit: (io) => { if (core === app.mainCore) io.complete(0); } }),
  }),`;
  const [a, b] = allowedCores();
  const path = moduleWith('other-core.mjs', attach);
  const { status, stdout, stderr } = run(
    path,
    '-m',
    `[${a},${b}]`,
    '--io-timeout',
    '1',
    '--only',
    'every-core',
    '--no-data',
  );
  assert.equal(status, 1, stdout + stderr);
  assert.match(stdout, new RegExp(`expected a read on core ${b} to end within 1000 ms`));
});

test('a channel whose close throws: the error is logged, and the disk goes all the same', () => {
  const path = moduleWith('close.mjs', '', 'close() { throw new Error("still busy"); }');
  const { status, stdout, stderr } = run(path, '--no-data', '--io-timeout', '5', '--only', 'removal');
  assert.equal(status, 0, stdout + stderr);
  assert.match(stderr, /disk "close.mjs": close of a channel: Error: still busy/);
});

test('SIGINT ends the checks: none follows, and the exit code is 1', async () => {
  const args = ['64M', '--fault', 'op=read,action=stuck,skip=100'];
  const child = spawn(process.execPath, [cli, 'conform', '--no-pin', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exit = once(child, 'exit');
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  for await (const text of child.stderr.setEncoding('utf8')) if (String(text).includes('(stuck)')) child.kill('SIGINT');
  assert.deepEqual(await exit, [1, null]);
  assert.match(said, /to succeed; got ENODEV \(-19\)/);
  assert.doesNotMatch(said, /removal/);
});
