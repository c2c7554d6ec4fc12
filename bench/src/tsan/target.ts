// The kit's NBD target under fio, with the sanitizer and without: a program with an allocator, mailboxes and system calls of its own.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FioJob, fio } from '../fio.ts';
import { alternate } from '../harness.ts';
import { cli, Server } from '../processes.ts';
import { cores } from '../run-app.ts';
import { nodeArgs, type Under } from './run.ts';

const seconds = Number(process.env.TSPDK_BENCH_FIO_SECONDS ?? 2);
const jobs: readonly FioJob[] = [
  { rw: 'randread', blockBytes: 4096, depth: 32, seconds },
  { rw: 'randwrite', blockBytes: 4096, depth: 32, seconds },
];

export interface TargetFigures {
  /** Reads and writes a second, 4 KiB each, 32 at once. */
  readonly plain: number;
  readonly checked: number;
  readonly reports: number;
}

/** fio's requests are given, so wall time is the inverse of what it gets done in a second. */
export async function measureTarget(): Promise<TargetFigures> {
  const [core, client] = cores(2);
  const dir = mkdtempSync(join(tmpdir(), 'tsan-bench-'));
  const servers: Server[] = [];
  const start = async (under: Under) => {
    const path = join(dir, `${under}.sock`);
    const args = ['serve', '64M', '--nbd', `unix:${path}`, '-m', `[${core}]`, '--no-rpc-server'];
    const server = new Server([process.execPath, ...nodeArgs(under), cli, ...args], { core });
    servers.push(server);
    await server.listening({ path });
    return `nbd+unix:///disk?socket=${path}`;
  };
  try {
    const uris = { plain: await start('plain'), checked: await start('checked') };
    const sample = (under: Under) => async () => {
      let ms = 0;
      for (const job of jobs) ms += 1000 / (await fio(uris[under], job, client!)).iops;
      return { iops: (jobs.length * 1000) / ms };
    };
    for (const under of ['plain', 'checked'] as const) await sample(under)();
    const { ours, peer } = await alternate(sample('checked'), sample('plain'));
    const reports = servers[1]!.output.split('WARNING: ThreadSanitizer:').length - 1;
    return { plain: peer.iops, checked: ours.iops, reports };
  } finally {
    for (const server of servers) await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}
