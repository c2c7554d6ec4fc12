// Running other people's programs: each with a time limit, all of its output kept, and nothing of it left when the test ends.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Whose end things end with: a test's, or a file's. */
export interface Scope {
  after(fn: () => void | Promise<void>): void;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string;
}

/** How a program ended. `code` is null when a signal ended it. */
export interface Finished {
  readonly command: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs beside the test. */
export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it has printed so far, both streams as they came. */
  output(): string;
  /** Resolves when `pattern` has been printed. Rejects, with the output, when the program ends or the time is up first. */
  printed(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  readonly finished: Promise<Finished>;
}

/** Under the thread sanitizer a target takes many times as long. */
const defaultTimeoutMs = process.env.TSPDK_INTEROP_TSAN === '1' ? 600_000 : 60_000;
const outputLimit = 4 << 20;

/** Runs a program to its end. Rejects when it cannot be started or does not end in time (it is killed then). */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { timeoutMs = defaultTimeoutMs } = options;
  const running = spawnProgram(program, args, options);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    running.child.kill('SIGKILL');
  }, timeoutMs);
  const finished = await running.finished;
  clearTimeout(timer);
  if (late) throw new Error(`no end after ${timeoutMs / 1000} s: ${describe(finished)}`);
  return finished;
}

/** Runs a program that must succeed, and gives its standard output. */
export async function runOk(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const finished = await run(program, args, options);
  assert.equal(finished.code, 0, describe(finished));
  return finished.stdout;
}

/** Starts a program that is ended, by SIGKILL if need be, when the test ends. */
export function start(t: Scope, program: string, args: readonly string[], options: RunOptions = {}): Running {
  const running = spawnProgram(program, args, options);
  t.after(async () => {
    running.child.kill('SIGKILL');
    await running.finished.catch(() => undefined);
  });
  return running;
}

/** The command, how it ended and what it printed, for an error message. */
export function describe(finished: Finished): string {
  const { command, code, signal, stdout, stderr } = finished;
  return `${command}\nended with ${signal ?? `exit code ${code}`}\n${stdout}${stderr}`;
}

function spawnProgram(program: string, args: readonly string[], { env, cwd, input }: RunOptions): Running {
  const child = spawn(program, args, {
    env: { ...process.env, LC_ALL: 'C.UTF-8', ...env },
    ...(cwd === undefined ? {} : { cwd }),
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  const command = [program, ...args].join(' ');
  let stdout = '';
  let stderr = '';
  let both = '';
  const keep = (text: string, more: string) => (text + more).slice(-outputLimit);
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout = keep(stdout, text);
    both = keep(both, text);
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr = keep(stderr, text);
    both = keep(both, text);
  });
  child.stdin?.on('error', () => undefined).end(input);
  const finished = (async (): Promise<Finished> => {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    return { command, code, signal, stdout, stderr };
  })();
  finished.catch(() => undefined);

  const printed = (pattern: RegExp, timeoutMs = defaultTimeoutMs) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const done = (found: RegExpExecArray | null, why: string) => {
        clearTimeout(timer);
        child.stdout!.off('data', look);
        child.stderr!.off('data', look);
        if (found !== null) resolve(found);
        else reject(new Error(`${command}\n${why} without printing ${pattern}:\n${both}`));
      };
      const look = () => {
        const found = pattern.exec(both);
        if (found !== null) done(found, '');
      };
      const timer = setTimeout(() => done(null, `ran ${timeoutMs / 1000} s`), timeoutMs);
      child.stdout!.on('data', look);
      child.stderr!.on('data', look);
      finished.then(
        () => done(pattern.exec(both), 'ended'),
        (error: unknown) => done(null, `could not start (${error})`),
      );
      look();
    });
  return { child, pid: child.pid ?? 0, output: () => both, printed, finished };
}
