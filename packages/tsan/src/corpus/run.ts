// One run of one program in a process of its own, with the sanitizer or without, and what came of it.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Kind } from '../report/report.ts';

export interface Found {
  readonly kind: Kind;
  readonly summary: string;
}

export interface Outcome {
  readonly reports: readonly Found[];
  /** What went wrong apart from races: it did not end, ended with another code, or printed what it should not. */
  readonly trouble: string | undefined;
  readonly seconds: number;
}

export interface Run {
  readonly file: string;
  readonly args?: readonly string[];
  /** Options of the sanitizer; undefined runs without it. */
  readonly options: string | undefined;
  readonly timeoutMs?: number;
}

const register = new URL('../register.js', import.meta.url).href;
const raceExitCode = 66;
const stepMs = 250;
/** Of what a program says that should say nothing. */
const shownLines = 8;

/** Never rejects: what cannot be run is an outcome with trouble. */
export async function run({ file, args = [], options, timeoutMs = 60_000 }: Run): Promise<Outcome> {
  const preload = options === undefined ? [] : ['--import', register];
  const env = { ...process.env, JSTSAN_OPTIONS: `${options ?? ''}:format=json`, NODE_OPTIONS: '' };
  const started = performance.now();
  const child = spawn(process.execPath, [...preload, file, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  // In steps, each of which takes a turn of this process: where all is stopped for a while (a measurement, a suspended machine), that is not the program's time.
  let left = Math.ceil(timeoutMs / stepMs);
  const timer = setInterval(() => {
    if (--left <= 0) child.kill('SIGKILL');
  }, stepMs);
  const end = await new Promise<string>((resolve) => {
    child.once('error', ({ message }) => resolve(message));
    child.once('close', (code, signal) => resolve(signal === null ? String(code) : `${signal} after ${timeoutMs} ms`));
  });
  clearInterval(timer);
  return judge(end, errors, output, (performance.now() - started) / 1000);
}

/** `end` is the exit code, or why there is none. */
export function judge(end: string, errors: string, output: string, seconds: number): Outcome {
  const lines = errors.split('\n').filter((line) => line !== '');
  const reports = lines.filter((line) => line.startsWith('{"pid":')).map((line) => JSON.parse(line) as Found);
  const rest = lines.filter(
    (line) => !line.startsWith('{"pid":') && !/^ThreadSanitizer: (mode=perturb:seed=|reported )\d/.test(line),
  );
  const expectedEnd = reports.length > 0 ? String(raceExitCode) : '0';
  let trouble: string | undefined;
  const said = [...rest, output]
    .filter((line) => line !== '')
    .slice(0, shownLines)
    .map((line) => `\n    ${line}`)
    .join('');
  if (end !== expectedEnd) trouble = `ended with ${end} instead of ${expectedEnd}${said}`;
  else if (said !== '') trouble = `printed${said}`;
  return { reports: reports.map(({ kind, summary }) => ({ kind, summary })), trouble, seconds };
}

/** Absolute path of a file beside this module's sources, in the package. */
export function packagePath(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}
