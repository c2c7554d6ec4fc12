// What multi-conn and an acknowledged write promise: it is there for every later read, on whichever connection and reactor, whole.
//
// Each lane owns a piece of the disk, so that no two requests ever overlap in flight: what comes back wrong here is the server's doing. fio cannot say that
// of its own checks.

import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Server } from './nbd-server.ts';
import { PipelinedClient } from './pipelined-client.ts';
import { random } from './random.ts';
import { command, commandFlag } from './raw-client.ts';
import { scratch } from './scratch.ts';
import { requiresServer, startServer } from './server.ts';

const laneBytes = 512 << 10;
const lanes = 96;
const sizeBytes = lanes * laneBytes;
const connections = 4;
const seconds = 8;

/** One lane: writes, zeroes or trims a random range, then reads it, or more, on any connection, and compares with its own copy. */
async function runLane(
  clients: readonly PipelinedClient[],
  lane: number,
  pick: (below: number) => number,
  until: number,
): Promise<number> {
  const base = lane * laneBytes;
  const model = Buffer.alloc(laneBytes);
  const any = () => clients[pick(clients.length)]!;
  let checks = 0;
  assert.equal((await any().request({ type: command.write, offset: base, data: model })).error, 0);
  // At least once, however little time there was: each lane is to be looked at.
  do {
    const [start, end] = range(pick);
    const zero = pick(8) === 0;
    if (zero) model.fill(0, start, end);
    else model.fill(1 + pick(255), start, end);
    // A word of its own every 512 bytes, so that a shift or an older version shows.
    for (let at = start; !zero && at < end; at += 512) model.writeUInt32LE(pick(0x7fffffff), at);
    const change = zero
      ? { type: command.writeZeroes, flags: pick(2) === 0 ? commandFlag.noHole : 0, length: end - start }
      : {
          type: command.write,
          flags: pick(16) === 0 ? commandFlag.fua : 0,
          data: Buffer.from(model.subarray(start, end)),
        };
    assert.equal((await any().request({ ...change, offset: base + start })).error, 0);
    const [from, to] = pick(4) === 0 ? range(pick) : [start, end];
    const { error, data } = await any().request({ type: command.read, offset: base + from, length: to - from });
    assert.equal(error, 0);
    if (!data.equals(model.subarray(from, to))) {
      const at = data.findIndex((byte, index) => byte !== model[from + index]);
      assert.fail(
        `lane ${lane}: wrong from byte ${base + from + at} on, after ${checks} good reads; last change ${start}-${end}`,
      );
    }
    checks++;
  } while (performance.now() < until);
  return checks;
}

/** A range within a lane: mostly small, whole 512-byte blocks. */
function range(pick: (below: number) => number): [start: number, end: number] {
  const blocks = laneBytes / 512;
  const count = 1 + pick(pick(3) === 0 ? blocks : 64);
  const start = pick(blocks - count + 1);
  return [start * 512, (start + count) * 512];
}

async function check(server: Server, seed: number): Promise<void> {
  const clients: PipelinedClient[] = [];
  for (let i = 0; i < connections; i++) clients.push(await PipelinedClient.open(server));
  const until = performance.now() + seconds * 1000;
  const pick = random(seed);
  const counts = await Promise.all(
    Array.from({ length: lanes }, (_, lane) => runLane(clients, lane, random(pick(0x7fffffff)), until)),
  );
  for (const client of clients) client.close();
  assert(counts.every((count) => count > 0));
  console.log(`${counts.reduce((sum, count) => sum + count)} reads compared`);
}

for (const disk of ['memory', 'file'] as const) {
  for (const transport of ['unix', 'tcp'] as const) {
    test(`what was written is read: ${disk} disk, ${transport}, ${connections} connections, 2 reactors`, async (t) => {
      if (!requiresServer(t)) return;
      const seed = Number(process.env.TSPDK_SEED ?? Date.now() % 0x7fffffff);
      console.log(`TSPDK_SEED=${seed}`);
      const file = join(scratch(t), 'disk');
      const fd = openSync(file, 'wx');
      ftruncateSync(fd, sizeBytes);
      closeSync(fd);
      const server = await startServer(t, { sizeBytes, transport, reactors: 2, ...(disk === 'file' ? { file } : {}) });
      await check(server, seed);
      await server.stop();
    });
  }
}
