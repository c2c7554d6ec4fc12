// The target at rest and at its start: idle CPU, resident memory, time to the first RPC answer, RPC calls a second, allocation per I/O.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fio } from './fio.ts';
import { heapBytes } from './gc-trace.ts';
import { alternate, type Benchmark, median, type Row, row } from './harness.ts';
import { cli, Server } from './processes.ts';
import { cores, pause } from './run-app.ts';

const runs = 5;

/** A `tspdk tgt` with two reactors and no disks. */
function startTgt(socket: string): Server {
  const mask = `[${cores(2).join(',')}]`;
  return new Server([process.execPath, cli, 'tgt', '-m', mask, '-r', socket]);
}

/** One call, one answer, on an open connection. */
function call(socket: Socket, method: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (bytes: Buffer) => {
      text += bytes;
      let answer: { result?: unknown; error?: { message: string } };
      try {
        answer = JSON.parse(text);
      } catch {
        return;
      }
      socket.off('data', onData);
      if (answer.error === undefined) resolve(answer.result);
      else reject(new Error(answer.error.message));
    };
    socket.on('data', onData);
    socket.write(JSON.stringify({ jsonrpc: '2.0', id: 1, method }));
  });
}

/** Connects as soon as somebody listens. */
async function connectSoon(path: string): Promise<Socket> {
  for (const deadline = performance.now() + 20_000; performance.now() < deadline; ) {
    const socket = connect(path);
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (connected) return socket;
    await pause(1);
  }
  throw new Error(`nobody listens on ${path}`);
}

async function rest(dir: string): Promise<{ cpu: number; mib: number; calls: number }> {
  const path = join(dir, 'rest.sock');
  const server = startTgt(path);
  try {
    const socket = await connectSoon(path);
    await call(socket, 'spdk_get_version');
    await pause(1000);
    const before = server.restingCpuSeconds();
    await pause(4000);
    const cpu = ((server.restingCpuSeconds() - before) / 4) * 100;
    const mib = server.residentMib();
    for (const until = performance.now() + 500; performance.now() < until; ) await call(socket, 'spdk_get_version');
    let calls = 0;
    const started = performance.now();
    while (performance.now() - started < 1000) {
      await call(socket, 'spdk_get_version');
      calls++;
    }
    const perSecond = (calls * 1000) / (performance.now() - started);
    socket.destroy();
    return { cpu, mib, calls: perSecond };
  } finally {
    await server.stop();
  }
}

async function firstAnswerMs(dir: string): Promise<number> {
  const path = join(dir, 'first.sock');
  const started = performance.now();
  const server = startTgt(path);
  try {
    const socket = await connectSoon(path);
    await call(socket, 'spdk_get_version');
    const ms = performance.now() - started;
    socket.destroy();
    return ms;
  } finally {
    await server.stop();
  }
}

async function bareNodeMs(): Promise<number> {
  const started = performance.now();
  await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit');
  return performance.now() - started;
}

/**
 * Bytes on the JS heap for each I/O, everything counted: also what the loop around the data path takes for each slice (an immediate, which Node
 * allocates) and for each reading of the clock. The I/Os' own share is estimated as the rise from a shallow queue to a deep one, for each I/O
 * more; a loop that turns less often when it is busy can hide a few bytes, so it is the whole that the target is for.
 */
async function allocation(dir: string): Promise<{ whole: number; own: number; ios: number }> {
  const [core, client] = cores(2);
  const path = join(dir, 'gc.sock');
  const node = [process.execPath, '--trace-gc', '--max-semi-space-size=1'];
  const serve = ['serve', '256M', '--nbd', `unix:${path}`, '-m', `[${core}]`, '--no-rpc-server', '--poll'];
  const server = new Server([...node, cli, ...serve], { core });
  const uri = `nbd+unix:///disk?socket=${path}`;
  const run = async (depth: number, seconds: number) => {
    server.output = '';
    const { ios, iops } = await fio(uri, { rw: 'randread', blockBytes: 4096, depth, seconds }, client);
    const { bytes, seconds: between } = heapBytes(server.output);
    return { ios, iops, perSecond: bytes / between };
  };
  try {
    await server.listening({ path });
    await run(32, 3);
    const deep = await run(32, 8);
    const shallow = await run(1, 4);
    const own = (deep.perSecond - shallow.perSecond) / (deep.iops - shallow.iops);
    return { whole: deep.perSecond / deep.iops, own, ios: deep.ios };
  } finally {
    await server.stop();
  }
}

export const target: Benchmark = {
  name: 'target',
  about: 'the target at rest and at its start: idle CPU, memory, first RPC answer, RPC calls, allocation per I/O',
  async run(say): Promise<readonly Row[]> {
    const dir = mkdtempSync(join(tmpdir(), 'tspdk-bench-'));
    try {
      say('at rest');
      const samples: Awaited<ReturnType<typeof rest>>[] = [];
      for (let i = 0; i < runs; i++) samples.push(await rest(dir));
      const middle = (of: 'cpu' | 'mib' | 'calls') => median(samples.map((each) => each[of]));
      say('start');
      const start = await alternate<'ms'>(
        async () => ({ ms: await firstAnswerMs(dir) }),
        async () => ({ ms: await bareNodeMs() }),
        7,
      );
      say('allocation');
      const heap = await allocation(dir);
      const lower = 'lower';
      return [
        row({
          name: 'CPU of an idle target, 2 reactors, adaptive',
          value: middle('cpu'),
          unit: '% of a core',
          better: lower,
          target: 1,
        }),
        row({
          name: 'resident memory, idle, 2 reactors, no disks',
          value: middle('mib'),
          unit: 'MiB',
          better: lower,
          target: 130,
        }),
        row({
          name: 'exec to first RPC answer',
          value: start.ours.ms,
          unit: 'ms',
          better: lower,
          peer: { name: 'node -e 0', value: start.peer.ms },
          target: 1 / 5,
        }),
        row({
          name: 'JSON-RPC calls, one at a time',
          value: middle('calls'),
          unit: 'calls/s',
          better: 'higher',
          target: 5000,
        }),
        row({
          name: `JS heap for each NBD I/O, everything counted (4k randread, depth 32, ${heap.ios.toLocaleString('en')} I/Os)`,
          value: heap.whole,
          unit: 'bytes',
          better: lower,
          target: 0,
        }),
        row({ name: "of which the I/O's own, an estimate", value: heap.own, unit: 'bytes', better: lower }),
      ];
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  },
};
