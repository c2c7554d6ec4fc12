// Where reports are written, and in which format. Text and JSON lines leave as they are found; a SARIF log is one document, so its reports wait in a
// file beside it (.part) until the end, which also keeps them when the process is killed.

import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Options } from './options.ts';
import type { Report } from './report.ts';
import { sarifOf } from './sarif.ts';
import type { Suppression } from './suppressions.ts';
import { summaryOf, textOf } from './text.ts';

const { wait } = Atomics;
const stdout = 1;
const stderr = 2;

export class Output {
  private readonly format: Options['format'];
  private readonly strip: string;
  /** A file's path, or one of the standard streams. */
  private readonly target: string | number;
  private readonly waiting: string;
  private readonly root: string;

  constructor(options: Options) {
    this.format = options.format;
    this.strip = options.strip_path_prefix;
    this.target = targetOf(options);
    this.waiting =
      typeof this.target === 'string' ? `${this.target}.part` : join(tmpdir(), `jstsan.${process.pid}.part`);
    this.root = repositoryOf(process.cwd());
  }

  write(report: Report): void {
    if (this.format === 'text') this.append(textOf(report, process.pid, this.strip));
    else if (this.format === 'json') this.append(this.lineOf(report));
    else appendFileSync(this.waiting, `${JSON.stringify(report)}\n`);
  }

  /** The end of the log, and of the run: what ThreadSanitizer prints there is text, so in the other formats it goes to stderr, or nowhere if they do. */
  close(reported: number, matched: readonly (Suppression & { readonly count: number })[]): void {
    if (this.format === 'sarif') this.writeSarif();
    const lines = matched.map(({ type, pattern, count }) => `${count} ${type}:${pattern}\n`);
    if (lines.length > 0)
      lines.unshift(`ThreadSanitizer: Matched ${lines.length} suppressions (pid=${process.pid}):\n`);
    const file = this.format !== 'text' && typeof this.target === 'string' ? `: ${this.target}` : '';
    if (reported > 0) lines.push(`ThreadSanitizer: reported ${reported} warnings${file}\n`);
    if (lines.length === 0) return;
    if (this.format === 'text') this.append(lines.join(''));
    else if (this.target !== stderr) writeAll(stderr, lines.join(''));
  }

  private lineOf(report: Report): string {
    const line = { pid: process.pid, summary: summaryOf(report, this.strip), ...report };
    return `${JSON.stringify(line, (key, value) => (key === 'file' ? this.stripped(value) : value))}\n`;
  }

  private stripped(file: string): string {
    return this.strip !== '' && file.startsWith(this.strip) ? file.slice(this.strip.length) : file;
  }

  /** Written also without reports: code scanning closes what an empty log no longer has. */
  private writeSarif(): void {
    const lines = existsSync(this.waiting) ? readFileSync(this.waiting, 'utf8').split('\n') : [];
    const reports = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Report);
    const log = `${JSON.stringify(sarifOf(reports, this.root, packageVersion()), undefined, 2)}\n`;
    if (typeof this.target === 'string') writeFileSync(this.target, log);
    else writeAll(this.target, log);
    rmSync(this.waiting, { force: true });
  }

  private append(text: string): void {
    if (typeof this.target === 'string') appendFileSync(this.target, text);
    else writeAll(this.target, text);
  }
}

/** Uploaders of SARIF look for files that end so. */
function targetOf({ log_path: path, format }: Options): string | number {
  if (path === '' || path === 'stderr') return stderr;
  if (path === 'stdout') return stdout;
  if (format !== 'sarif') return `${resolve(path)}.${process.pid}`;
  return `${resolve(path).replace(/\.sarif$/, '')}.${process.pid}.sarif`;
}

/** A pipe may be full, and not block: whoever reads it is waited for. */
function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Nobody reads any more: the exit code still tells.
      if (code !== 'EAGAIN') return;
      wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** What paths in a SARIF log are relative to: the checkout of a CI run, or the folder above with a repository, or this one. */
function repositoryOf(folder: string): string {
  const workspace = process.env.GITHUB_WORKSPACE;
  if (workspace !== undefined && workspace !== '') return resolve(workspace);
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return at;
    if (dirname(at) === at) return folder;
  }
}

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
