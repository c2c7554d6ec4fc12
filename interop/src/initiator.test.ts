// Remote exports of other servers as disks of tspdk, exported again: QEMU's tools and fio see through both; the server is killed under load and started again.

import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runOk, start } from './client.ts';
import { nbdUri } from './nbd-server.ts';
import { writePattern } from './pattern.ts';
import { findProgram, requires } from './requires.ts';
import { rpcCall } from './rpc.ts';
import { scratch } from './scratch.ts';
import { serverKind, startServer } from './server.ts';
import { startTarget } from './target.ts';

const sizeBytes = 64 << 20;

/** tspdk with the export of `remote` as its disk. */
function through(t: TestContext, uri: string, reactors: 1 | 2 = 2) {
  const disk = { method: 'bdev_nbd_create', params: { name: 'disk', uri, reconnect_delay_ms: 50, io_timeout_sec: 60 } };
  return startTarget(t, { sizeBytes, reactors, bdevs: [disk] });
}

for (const kind of ['nbdkit', 'qemu-nbd'] as const) {
  test(`an export of ${kind} is a disk: converted onto, compared, zeroed, at odd places`, async (t) => {
    if (serverKind !== 'tspdk' || !requires(t, kind, 'qemu-img', 'qemu-io')) return;
    const file = join(scratch(t), 'disk');
    writePattern(file, sizeBytes, 0);
    const remote = await startServer(t, { sizeBytes, file, transport: 'tcp' }, kind);
    const server = await through(t, remote.uri);
    const raw = join(scratch(t), 'raw');
    writePattern(raw, sizeBytes, 5);
    await runOk('qemu-img', ['convert', '-n', '-m', '16', '-W', '-f', 'raw', '-O', 'raw', raw, server.uri]);
    await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', raw, server.uri]);
    const commands = [
      'write -P 7 512 1M',
      'read -P 7 512 1M',
      'write -z 64k 128k',
      'read -P 0 64k 128k',
      'discard 4M 1M',
      'flush',
    ];
    const output = await runOk('qemu-io', ['-f', 'raw', '-d', 'unmap', server.uri], {
      input: `${commands.join('\n')}\n`,
    });
    assert.doesNotMatch(output, /failed/, output);
    await server.stop();
    // What was flushed is in the other server's file.
    await runOk('qemu-io', ['-f', 'raw', '-c', 'read -P 0 64k 128k', '-c', 'read -P 7 192k 512k', file]);
    await remote.stop();
  });
}

test('the remote server is killed under a load that verifies, and started again', async (t) => {
  if (serverKind !== 'tspdk' || !requires(t, 'nbdkit', 'fio')) return;
  const dir = scratch(t);
  const file = join(dir, 'disk');
  writeFileSync(file, '');
  await runOk('truncate', ['-s', String(sizeBytes), file]);
  const path = join(dir, 'remote.sock');
  const serve = () => {
    // What a killed one leaves is in the next one's way.
    rmSync(path, { force: true });
    return start(t, findProgram('nbdkit')!, [
      '--foreground',
      '--newstyle',
      '-U',
      path,
      '--exit-with-parent',
      'file',
      file,
    ]);
  };
  const remoteUri = nbdUri({ path }, '');
  let remote = serve();
  await untilServing(t, remoteUri);
  const server = await through(t, remoteUri);
  const job = [
    '--rw=randrw',
    '--bs=4k',
    '--iodepth=16',
    '--size=32M',
    '--verify=crc32c',
    '--verify_backlog=64',
    '--verify_fatal=1',
  ];
  const load = start(t, 'fio', [
    '--ioengine=nbd',
    `--uri=${server.uri}`,
    '--name=load',
    '--thread',
    '--serialize_overlap=1',
    '--verify_state_save=0',
    ...job,
    '--time_based',
    '--runtime=12',
    '--eta=always',
    '--eta-newline=1',
  ]);
  for (let round = 0; round < 4; round++) {
    const reads = await ops(server);
    while ((await ops(server)) < reads + 200) await new Promise((resolve) => setImmediate(resolve));
    remote.child.kill('SIGKILL');
    await remote.finished;
    remote = serve();
  }
  const finished = await load.finished;
  assert.equal(finished.code, 0, finished.stdout + finished.stderr);
  await server.stop();
  remote.child.kill('SIGTERM');
  await remote.finished;
});

/** I/Os that the disk has done. */
async function ops({ rpcPath }: { readonly rpcPath: string }): Promise<number> {
  type Stat = { readonly bdevs: readonly { readonly num_read_ops: number; readonly num_write_ops: number }[] };
  const { bdevs } = await rpcCall<Stat>(rpcPath, 'bdev_get_iostat', { names: ['disk'] });
  return bdevs[0]!.num_read_ops + bdevs[0]!.num_write_ops;
}

/** nbdkit does not say when it is ready. */
async function untilServing(t: TestContext, uri: string): Promise<void> {
  for (;;) {
    const probe = start(t, 'qemu-img', ['info', '-f', 'raw', uri]);
    if ((await probe.finished).code === 0) return;
  }
}
