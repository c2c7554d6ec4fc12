#!/usr/bin/env node
/**
 * `tspdk`: one command with a few programs. Each program is a file of this folder and is loaded only when it is asked for.
 */
import { explain } from '../env/errors.ts';
import { exitNow } from '../env/exit-now.ts';
import { limits } from '../env/limits.ts';
import type { FlagSpec } from '../event/app-args.ts';
import { CONFORM_FLAGS } from './conform-flags.ts';
import { exampleCores, startEarly } from './early.ts';
import { PERF_FLAGS } from './perf-flags.ts';
import { SERVE_FLAGS } from './serve-flags.ts';
import { VERSION } from './version.ts';

/** A program of the command. */
interface Program {
  readonly summary: string;
  /** An application with reactors: its flags beyond those of every application, and the cores it runs on when none are named. */
  readonly reactors?: { readonly flags: readonly FlagSpec[]; readonly cores: () => number[] };
  /** Resolves with the exit code. */
  readonly load: () => Promise<(argv: readonly string[]) => Promise<number>>;
}

/** Name → program, in the order of help. */
export const PROGRAMS: Readonly<Record<string, Program>> = {
  tgt: {
    summary: 'storage target, configured by JSON file and RPC (as spdk_tgt)',
    reactors: { flags: [], cores: () => [] },
    load: async () => (await import('./tgt.ts')).tgt,
  },
  serve: {
    summary: 'one disk over NBD, in one line',
    reactors: { flags: SERVE_FLAGS, cores: () => [] },
    load: async () => (await import('./serve.ts')).serve,
  },
  perf: {
    summary: 'how fast disks are, and whether they keep what is written (as bdevperf)',
    reactors: { flags: PERF_FLAGS, cores: () => [] },
    load: async () => (await import('./perf.ts')).perf,
  },
  conform: {
    summary: 'whether a disk, of one’s own or any, does what every disk must (as bdevio)',
    reactors: { flags: CONFORM_FLAGS, cores: () => [] },
    load: async () => (await import('./conform.ts')).conform,
  },
  start: {
    summary: 'example target: a malloc disk and a file disk over NBD',
    reactors: { flags: [], cores: exampleCores },
    load: async () => (await import('./start.ts')).start,
  },
  rpc: {
    summary: 'calls a method of a running application (as rpc.py)',
    load: async () => (await import('./rpc.ts')).rpc,
  },
};

function usage(): string {
  const rows = Object.entries(PROGRAMS).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`);
  return ['usage: tspdk PROGRAM [arguments]', '', ...rows, '', 'tspdk PROGRAM --help tells more.'].join('\n');
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === '--version' || name === '-v') {
    console.log(`tspdk v${VERSION}`);
    return 0;
  }
  if (name === undefined || name === '--help' || name === '-h') {
    console.log(usage());
    return name === undefined ? 2 : 0;
  }
  const program = Object.hasOwn(PROGRAMS, name) ? PROGRAMS[name] : undefined;
  if (program === undefined) {
    console.error(`tspdk: there is no program "${name}"\n\n${usage()}`);
    return 2;
  }
  if (program.reactors !== undefined) startEarly(rest, program.reactors.flags, program.reactors.cores);
  const run = await program.load();
  return run(rest);
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`tspdk: ${explain(error)}`);
  return 1;
});
// Output has its time: whoever reads it may be slow.
const behind = [process.stdout, process.stderr].filter((out) => out.writableLength > 0);
await Promise.all(behind.map((out) => new Promise((done) => out.write('', done))));
// All of the kit has ended. What a user's module left, a timer or a socket, does not keep the process, and has its time to end by itself.
setTimeout(() => {
  const left = [...new Set(process.getActiveResourcesInfo())].join(', ');
  console.error(`tspdk: a module left what keeps the process (${left}); it ends all the same`);
  exitNow(Number(process.exitCode));
}, limits.leftovers_grace_ms).unref();
