// Servers and clients as processes: pinned, waited for, their CPU time and memory read from /proc.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

/** The command line program of the kit. */
export const cli = fileURLToPath(new URL('../../packages/tspdk/dist/app/cli.js', import.meta.url));

/** A server under measurement. */
export class Server {
  readonly child: ChildProcess;
  output = '';

  /** Starts `command` on `core` only, or on any core. */
  constructor(command: readonly string[], options: { core?: number; env?: Record<string, string> } = {}) {
    const { core, env } = options;
    const [file, ...args] = core === undefined ? command : ['taskset', '-c', String(core), ...command];
    this.child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (bytes) => {
        this.output += bytes;
      });
    }
    // A server must not outlive a benchmark that fails.
    const kill = () => this.child.kill('SIGKILL');
    process.once('exit', kill);
    this.child.once('exit', () => process.off('exit', kill));
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** Waits until something accepts connections there. @throws when the server ends first, or after 20 s */
  async listening(address: { path: string } | { port: number }): Promise<void> {
    const deadline = performance.now() + 20_000;
    while (!(await accepts(address))) {
      if (this.child.exitCode !== null || performance.now() > deadline) {
        throw new Error(`the server does not listen on ${JSON.stringify(address)}:\n${this.output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Waits until it has printed that. @throws when it ends first, or after 60 s */
  async said(pattern: RegExp): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!pattern.test(this.output)) {
      if (this.child.exitCode !== null || performance.now() > deadline) {
        throw new Error(`the server does not say ${pattern}:\n${this.output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** CPU time so far, seconds, user and system, of all its threads, also of those that have ended. In steps of 10 ms. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    // Fields are counted from behind the name, which may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** CPU time so far of the threads that are alive, seconds; finer, for a server at rest. */
  restingCpuSeconds(): number {
    let ns = 0;
    for (const task of readdirSync(`/proc/${this.pid}/task`)) {
      ns += Number(readFileSync(`/proc/${this.pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
    }
    return ns / 1e9;
  }

  /** Resident memory, MiB. */
  residentMib(): number {
    const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    return Number(line?.[1]) / 1024;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await gone;
  }
}

function accepts(address: { path: string } | { port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = 'path' in address ? connect(address.path) : connect(address.port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Runs a client to its end and gives what it printed. @throws with its complaint when it fails */
export async function runClient(command: readonly string[], core?: number): Promise<string> {
  const [file, ...args] = core === undefined ? command : ['taskset', '-c', String(core), ...command];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (bytes) => {
    out += bytes;
  });
  child.stderr.on('data', (bytes) => {
    err += bytes;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${err || out}`);
  return out;
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
