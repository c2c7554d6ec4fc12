// The command line: `tsan app.js [args]` is `node --import .../register.js app.js [args]`, whose exit code and signals are passed on.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { resolve } from 'node:path';

const usage = `Usage: tsan [--] PROGRAM [ARGUMENT ...]

Runs a Node program and reports the data races of its threads on stderr; the exit code is then 66.
The same, in an existing command: node --import @tspdk/tsan/register PROGRAM

  --help      prints this
  --version   prints the version

Options of the sanitizer are read from JSTSAN_OPTIONS, those of Node from NODE_OPTIONS.
JSTSAN_OPTIONS=help=1 tsan PROGRAM lists the former.
`;

const exitUsage = 2;

function wrongUsage(message: string): number {
  process.stderr.write(`tsan: ${message}\n\n${usage}`);
  return exitUsage;
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}

/** The code to exit with, or undefined while the program runs. */
function main(args: string[]): number | undefined {
  const [first] = args;
  if (first === '--help' || first === '-h') return print(usage);
  if (first === '--version' || first === '-v') return print(`${version()}\n`);
  const rest = first === '--' ? args.slice(1) : args;
  const [program, ...programArgs] = rest;
  if (program === undefined) return wrongUsage('no program given');
  if (first !== '--' && program.startsWith('-')) {
    return wrongUsage(`unknown option ${program}; Node's own options go into NODE_OPTIONS`);
  }
  if (!exists(program)) return wrongUsage(`cannot find ${program}`);
  run(program, programArgs);
  return undefined;
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** As Node looks for its main module. */
function exists(program: string): boolean {
  try {
    createRequire(import.meta.url).resolve(resolve(program));
    return true;
  } catch {
    return false;
  }
}

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGWINCH'] as const;

function run(program: string, args: string[]): void {
  const register = new URL('./register.js', import.meta.url).href;
  const nodeArgs = [...process.execArgv, '--import', register, program, ...args];
  const child = spawn(process.execPath, nodeArgs, { stdio: 'inherit' });
  for (const signal of forwarded) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`tsan: cannot start ${process.execPath}: ${error.message}\n`);
    process.exitCode = exitUsage;
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exitCode = code ?? 1;
    else dieOf(signal);
  });
}

/** A shell shall see the signal that ended the program. */
function dieOf(signal: NodeJS.Signals): void {
  for (const each of forwarded) process.removeAllListeners(each);
  process.exitCode = 128 + constants.signals[signal];
  process.kill(process.pid, signal);
}

const code = main(process.argv.slice(2));
if (code !== undefined) process.exitCode = code;
