// `npm run soak [-- MINUTES]`: one target, two reactors, and everything that clients do, over and over; what grows is printed each round and, at the
// end, must not have grown. Not part of npm test: a leak of a few bytes a connection takes longer to show than a test may take.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runOk, start } from './client.ts';
import type { Server } from './nbd-server.ts';
import { writePattern } from './pattern.ts';
import { command, RawClient } from './raw-client.ts';
import { scratch } from './scratch.ts';
import { requiresServer, startServer } from './server.ts';

const minutes = Number(process.env.TSPDK_SOAK_MINUTES ?? 10);
const sizeBytes = 256 << 20;
/** Rounds in which caches fill and code is compiled; growth counts from there. */
const warmupRounds = 3;
const growthMiBMax = 64;
/** One more or less may be open at the moment of looking. */
const growthDescriptorsMax = 4;

interface Held {
  readonly residentMiB: number;
  readonly descriptors: number;
  readonly threads: number;
}

test(`${minutes} minutes of clients leave nothing behind`, async (t) => {
  if (!requiresServer(t, 'fio', 'nbdcopy', 'qemu-io')) return;
  const dir = scratch(t);
  const image = join(dir, 'image');
  writePattern(image, sizeBytes, 9);
  const server = await startServer(t, { sizeBytes, reactors: 2 });
  const until = performance.now() + minutes * 60_000;
  let base: Held | undefined;
  let last = await heldAtRest(server);
  for (let round = 1; performance.now() < until || round <= warmupRounds + 1; round++) {
    await runOk('nbdcopy', ['--connections=4', '--requests=64', image, server.uri]);
    await runOk('nbdcopy', ['--connections=4', '--requests=64', server.uri, join(dir, 'back')]);
    await runOk('cmp', [image, join(dir, 'back')]);
    await verify(server, dir);
    await comeAndGo(server, 300);
    await dieUnderLoad(t, server);
    last = await heldAtRest(server);
    console.log(
      `round ${round}: ${last.residentMiB.toFixed(1)} MiB, ${last.descriptors} descriptors, ${last.threads} threads`,
    );
    if (round === warmupRounds) base = last;
  }
  assert(base !== undefined);
  assert(last.residentMiB - base.residentMiB < growthMiBMax, `grew by ${last.residentMiB - base.residentMiB} MiB`);
  assert(
    last.descriptors - base.descriptors <= growthDescriptorsMax,
    `${last.descriptors - base.descriptors} more descriptors`,
  );
  assert(last.threads <= base.threads, `${last.threads - base.threads} more threads`);
  await server.stop();
});

async function verify(server: Server, dir: string): Promise<void> {
  const job = [
    '--name=soak',
    '--ioengine=nbd',
    '--verify_state_save=0',
    `--uri=${server.uri}`,
    '--rw=randrw',
    '--bsrange=4k-128k',
    '--iodepth=32',
  ];
  const checks = [
    '--verify=crc32c',
    '--verify_fatal=1',
    '--verify_backlog=256',
    '--randrepeat=0',
    '--thread',
    '--serialize_overlap=1',
  ];
  await runOk('fio', [...job, ...checks, '--size=64M', '--time_based', '--runtime=5'], { cwd: dir });
}

async function comeAndGo(server: Server, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const client = await RawClient.open(server);
    await client.request({ type: command.read, offset: i * 4096, length: 4096 });
    // Half of them leave without a word.
    if (i % 2 === 0) client.sendRequest({ type: command.disconnect });
    client.close();
  }
}

async function dieUnderLoad(t: Parameters<typeof start>[0], server: Server): Promise<void> {
  const reader = start(t, 'nbdcopy', ['--connections=4', '--requests=64', server.uri, 'null:']);
  await new Promise((resolve) => setTimeout(resolve, 300));
  reader.child.kill('SIGKILL');
  await reader.finished;
}

/** What the server holds once it has seen that the last client is gone: when the number of descriptors no longer changes. */
async function heldAtRest(server: Server): Promise<Held> {
  const until = performance.now() + 10_000;
  let now = held(server);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = now;
    now = held(server);
    if (now.descriptors === before.descriptors || performance.now() > until) return now;
  }
}

function held({ pid }: Server): Held {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    residentMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: Number(/Threads:\s+(\d+)/.exec(status)?.[1]),
  };
}
