// kill -9: of clients under load, which must cost the server nothing, and of the server under write load, which must cost no write that was
// acknowledged before a flush that was acknowledged.

import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { start } from './client.ts';
import type { Server } from './nbd-server.ts';
import { command, commandFlag, RawClient } from './raw-client.ts';
import { rpcCall } from './rpc.ts';
import { scratch } from './scratch.ts';
import { requiresServer, startServer } from './server.ts';
import { isTarget } from './target.ts';

const sizeBytes = 64 << 20;
const blockBytes = 4096;

test('clients killed under load leave the server as it was', async (t) => {
  if (!requiresServer(t, 'fio', 'nbdcopy')) return;
  const server = await startServer(t, { sizeBytes, reactors: 2 });
  for (let round = 0; round < 6; round++) {
    const load = ['--ioengine=nbd', `--uri=${server.uri}`, '--name=load', '--rw=randrw', '--bs=64k', '--iodepth=32'];
    const fio = start(t, 'fio', [
      ...load,
      '--size=64M',
      '--time_based',
      '--runtime=60',
      '--thread',
      '--eta=always',
      '--eta-newline=1',
    ]);
    const witness = await RawClient.open(server);
    // Under load when fio's own progress line says so.
    await fio.printed(/\[w=|\[r=|MiB\/s|KiB\/s/);
    fio.child.kill('SIGKILL');
    await fio.finished;
    // A connection that was there all the while, and a new one.
    for (const client of [witness, await RawClient.open(server)]) {
      const offset = round * blockBytes;
      const data = Buffer.alloc(blockBytes, round + 1);
      assert.equal((await client.request({ type: command.write, offset, data })).error, 0);
      assert.deepEqual((await client.request({ type: command.read, offset, length: blockBytes })).data, data);
      client.close();
    }
    await noConnections(server);
  }
  await server.stop();
});

/** Waits until the server itself says that nobody is connected any more. Others than tspdk cannot be asked. */
async function noConnections(server: Server): Promise<void> {
  if (!isTarget(server)) return;
  const until = performance.now() + 30_000;
  for (;;) {
    const left: readonly object[] = await rpcCall(server.rpcPath, 'nbd_get_connections');
    if (left.length === 0) return;
    if (performance.now() > until) assert.fail(`connections of clients that are gone: ${JSON.stringify(left)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const writers = 4;
const blocks = sizeBytes / blockBytes;

/** What each block must hold at least: a version that was acknowledged, and then made lasting by a flush or FUA. */
type Lasting = Map<number, number>;

/**
 * Writes to every fourth block from `first` on, each time with a higher version, until the server dies; versions above `from`. `acknowledged` is called for each write that was.
 */
async function writeUntilDeath(
  client: RawClient,
  first: number,
  from: number,
  lasting: Lasting,
  acknowledged: () => void,
): Promise<void> {
  const written: Lasting = new Map();
  try {
    for (let version = from + 1; ; version++) {
      const block = ((version * 7919) % (blocks / writers)) * writers + first;
      const flags = version % 50 === 0 ? commandFlag.fua : 0;
      const request = { type: command.write, flags, offset: block * blockBytes, data: stamped(block, version) };
      assert.equal((await client.request(request)).error, 0);
      if (flags !== 0) lasting.set(block, version);
      else written.set(block, version);
      if (version % 20 === 0) {
        assert.equal((await client.request({ type: command.flush })).error, 0);
        for (const [each, when] of written) lasting.set(each, when);
        written.clear();
      }
      acknowledged();
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
  } finally {
    client.close();
  }
}

async function assertLasting(server: Server, lasting: Lasting): Promise<void> {
  const client = await RawClient.open(server);
  for (const [block, version] of lasting) {
    const { error, data } = await client.request({
      type: command.read,
      offset: block * blockBytes,
      length: blockBytes,
    });
    assert.equal(error, 0);
    assert.equal(data.readUInt32LE(0), block);
    // A later write that was not acknowledged may have arrived as well.
    const found = data.readUInt32LE(4);
    assert(found >= version, `block ${block} holds version ${found}; ${version} was acknowledged`);
    assert.deepEqual(data, stamped(block, found), `block ${block} is torn`);
  }
  client.close();
}

function stamped(block: number, version: number): Buffer {
  const data = Buffer.alloc(blockBytes);
  for (let at = 0; at < blockBytes; at += 8) {
    data.writeUInt32LE(block, at);
    data.writeUInt32LE(version, at + 4);
  }
  return data;
}

for (const transport of ['unix', 'tcp'] as const) {
  test(`a server killed ten times under write load keeps what it said was lasting, ${transport}`, async (t) => {
    if (!requiresServer(t)) return;
    const file = join(scratch(t), 'disk');
    const fd = openSync(file, 'wx');
    ftruncateSync(fd, sizeBytes);
    closeSync(fd);
    const lasting: Lasting = new Map();
    const perRound = 10_000;
    for (let round = 1; round <= 10; round++) {
      const server = await startServer(t, { sizeBytes, file, transport, reactors: 2 });
      await assertLasting(server, lasting);
      const before = lasting.size;
      let left = 150 * round;
      let dying: Promise<void> | undefined;
      const acknowledged = (): void => {
        if (--left === 0) dying = server.kill();
      };
      const clients = await Promise.all(Array.from({ length: writers }, () => RawClient.open(server)));
      const load = clients.map((client, first) =>
        writeUntilDeath(client, first, perRound * round, lasting, acknowledged),
      );
      await Promise.all(load);
      await dying;
      assert(lasting.size > before, 'nothing new was made lasting');
    }
    const last = await startServer(t, { sizeBytes, file, transport });
    await assertLasting(last, lasting);
    await last.stop();
  });
}
