// The NBD target beside nbdkit's memory plugin: one server on one core, fio on the other, in turns. I/Os per second of the *server's* CPU time say what
// a server costs; the IOPS that the client sees may be the client's own limit, so its CPU use stands beside them.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FioJob, fio } from './fio.ts';
import { withFloor } from './floor.ts';
import { alternate, type Benchmark, type Row, row } from './harness.ts';
import { cli, freePort, runClient, Server } from './processes.ts';
import { cores } from './run-app.ts';

const size = '256M';
const seconds = Number(process.env.TSPDK_BENCH_FIO_SECONDS ?? 2);
const peerName = 'nbdkit memory';

/** A server and how clients reach it. */
interface Target {
  readonly server: Server;
  readonly uri: string;
}

type Transport = 'tcp' | 'unix';
type Start = (transport: Transport, dir: string, core: number, client: number) => Promise<Target>;

const startTspdk =
  (mode: 'adaptive' | 'poll'): Start =>
  async (transport, dir, core, client) => {
    const [at, address, uri] = await place(transport, join(dir, `tspdk-${mode}.sock`));
    const command = [process.execPath, cli, 'serve', size, '--nbd', at, '-m', `[${core}]`, '--no-rpc-server'];
    return ready(new Server(mode === 'poll' ? [...command, '--poll'] : command, { core }), address, uri, client);
  };

const startNbdkit: Start = async (transport, dir, core, client) => {
  const [, address, uri] = await place(transport, join(dir, 'nbdkit.sock'));
  const where = 'path' in address ? ['-U', address.path] : ['-i', '127.0.0.1', '-p', String(address.port)];
  return ready(new Server(['nbdkit', '-f', ...where, 'memory', size], { core }), address, uri, client);
};

/** bench/floor/nbd.c, on TCP only. */
const startFloor =
  (program: string): Start =>
  async (_, dir, core, client) => {
    const [, address, uri] = await place('tcp', dir);
    const port = (address as { port: number }).port;
    return ready(new Server([program, String(port), '256'], { core }), address, uri, client);
  };

async function place(
  transport: Transport,
  path: string,
): Promise<[string, { path: string } | { port: number }, string]> {
  if (transport === 'unix') return [`unix:${path}`, { path }, `nbd+unix:///disk?socket=${path}`];
  const port = await freePort();
  return [`127.0.0.1:${port}`, { port }, `nbd://127.0.0.1:${port}/disk`];
}

/** Waits for the server and writes its whole disk once, so that no read meets a hole. */
async function ready(server: Server, address: { path: string } | { port: number }, uri: string, client: number) {
  await server.listening(address);
  const fill = [
    '--name=fill',
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--rw=write',
    '--bs=1M',
    '--iodepth=4',
    `--size=${size}`,
  ];
  await runClient(['fio', ...fill], client);
  return { server, uri };
}

type Figures = Record<'iops' | 'perCpu' | 'p50' | 'p99' | 'p999' | 'clientCpu' | 'serverCpu', number>;

/** One run: the client's figures, and I/Os for each second of the server's CPU time. */
async function sample(target: Target, job: FioJob, client: number): Promise<Figures> {
  const before = target.server.cpuSeconds();
  const result = await fio(target.uri, job, client);
  const cpu = target.server.cpuSeconds() - before;
  const { iops, p50, p99, p999, clientCpu } = result;
  return { iops, p50, p99, p999, clientCpu, perCpu: result.ios / cpu, serverCpu: (cpu / job.seconds) * 100 };
}

interface Compared {
  readonly ours: Figures;
  readonly peer: Figures;
}

async function compare(ours: Target, peer: Target, job: FioJob, client: number): Promise<Compared> {
  // Once each beforehand: compiled code, warm caches.
  await sample(ours, { ...job, seconds: 1 }, client);
  await sample(peer, { ...job, seconds: 1 }, client);
  return alternate(
    () => sample(ours, job, client),
    () => sample(peer, job, client),
  );
}

function figure(name: string, compared: Compared, of: keyof Figures, unit: string, target?: number): Row {
  return row({
    name,
    value: compared.ours[of],
    unit,
    better: of === 'iops' || of === 'perCpu' ? 'higher' : 'lower',
    peer: { name: peerName, value: compared.peer[of] },
    ...(target === undefined ? {} : { target }),
  });
}

function latencies(name: string, compared: Compared): Row[] {
  return [
    figure(`${name}: latency p50`, compared, 'p50', 'µs'),
    figure(`${name}: latency p99`, compared, 'p99', 'µs'),
    figure(`${name}: latency p99.9`, compared, 'p999', 'µs'),
  ];
}

/** The client's share of its core says whether it was the limit. */
function throughput(name: string, compared: Compared, targets: { perCpu?: number; iops?: number }): Row[] {
  const busy = Math.round(compared.ours.clientCpu);
  const limit = busy >= 90 ? `, the client is the limit (${busy} % of its core)` : ` (client: ${busy} % of its core)`;
  return [
    figure(`${name}: I/Os per second of target CPU time`, compared, 'perCpu', 'I/O/s', targets.perCpu),
    figure(`${name}: IOPS${limit}`, compared, 'iops', 'I/O/s', targets.iops),
    ...latencies(name, compared),
  ];
}

const k4 = { blockBytes: 4096, seconds };
const k128 = { blockBytes: 131072, seconds };

async function overTransport(transport: Transport, say: (line: string) => void): Promise<Row[]> {
  const [core, client] = cores(2);
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-bench-'));
  const running: Server[] = [];
  const start = async (how: Start) => {
    const target = await how(transport, dir, core, client);
    running.push(target.server);
    return target;
  };
  const rows: Row[] = [];
  try {
    const ours = await start(startTspdk('adaptive'));
    const peer = await start(startNbdkit);
    for (const rw of ['randread', 'randwrite'] as const) {
      say(`${transport}, 4 KiB ${rw}, depth 32`);
      const compared = await compare(ours, peer, { ...k4, rw, depth: 32 }, client);
      rows.push(...throughput(`NBD ${transport} 4k ${rw} depth 32`, compared, { perCpu: 1.8, iops: 1.2 }));
    }
    for (const rw of ['read', 'write'] as const) {
      say(`${transport}, 128 KiB ${rw}, depth 8`);
      const compared = await compare(ours, peer, { ...k128, rw, depth: 8 }, client);
      rows.push(...throughput(`NBD ${transport} 128k ${rw} depth 8`, compared, { perCpu: 1.8 }));
    }
    say(`${transport}, 4 KiB randread, depth 1, adaptive`);
    const single = await compare(ours, peer, { ...k4, rw: 'randread', depth: 1 }, client);
    const name = `NBD ${transport} 4k randread depth 1`;
    rows.push(
      figure(`${name}, adaptive: IOPS`, single, 'iops', 'I/O/s', 1.1),
      ...latencies(`${name}, adaptive`, single),
    );
    await ours.server.stop();
    say(`${transport}, 4 KiB randread, depth 1, polling`);
    const job: FioJob = { ...k4, rw: 'randread', depth: 1 };
    const polled = await alternate(
      async () => {
        // A polling server takes its whole core, so it must be gone while the peer is measured there.
        const target = await start(startTspdk('poll'));
        try {
          await sample(target, { ...job, seconds: 1 }, client);
          return await sample(target, job, client);
        } finally {
          await target.server.stop();
        }
      },
      () => sample(peer, job, client),
    );
    rows.push(figure(`${name}, polling: IOPS`, polled, 'iops', 'I/O/s', 2), ...latencies(`${name}, polling`, polled));
    if (transport === 'tcp') rows.push(...(await floorOf(name, job, start, client, peer)));
    return rows;
  } finally {
    for (const server of running) await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** What a server in C that only polls reaches at depth 1, beside the same peer; no target. */
function floorOf(
  name: string,
  job: FioJob,
  start: (how: Start) => Promise<Target>,
  client: number,
  peer: Target,
): Promise<Row[]> {
  return withFloor('nbd', async (program) => {
    if (program === undefined) return [];
    const compared = await alternate(
      async () => {
        const target = await start(startFloor(program));
        try {
          return await sample(target, job, client);
        } finally {
          await target.server.stop();
        }
      },
      () => sample(peer, job, client),
    );
    return [figure(`(${name}, a polling server in C with nothing around it: IOPS)`, compared, 'iops', 'I/O/s')];
  });
}

export const nbd: Benchmark = {
  name: 'nbd',
  about: 'the NBD target on one core, fio on the other, beside nbdkit’s memory plugin; TCP',
  run: (say) => overTransport('tcp', say),
};

export const nbdUnix: Benchmark = {
  name: 'nbd-unix',
  about: 'the same over a unix socket',
  run: (say) => overTransport('unix', say),
};
