// Runs one test file in a process of its own and says what became of it: every way of going wrong is a failure with a name.
//
// The file runs as `node FILE`, with scripts/reporter.mjs writing its results to a file as they happen. Beyond failed tests these count as
// failures: a crash, an end before the tests' own end (someone called process.exit), no end within the time given, no test at all, and
// processes left behind. The process leads a group of its own, so that whatever it started can be found and ended.

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const reporter = pathToFileURL(join(fileURLToPath(import.meta.url), '..', 'reporter.mjs')).href;
const outputLimit = 200_000;
const leaveTimeMs = 3000;
const active = new Set();

/** Ends the groups of all the files that run now. */
export function killAll() {
  for (const pid of active) killGroup(pid, 'SIGKILL');
}

/**
 * Runs `file`, with `nodeArgs` before it. Resolves to `{ passed, failures: [{ name, text }], skips: [{ name, reason }], output, seconds }`; never rejects because of what the
 * file does.
 */
export async function runFile(file, { timeoutMs, env = {}, nodeArgs = [] }) {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-test-'));
  const results = join(dir, 'results');
  const started = performance.now();
  try {
    const ended = await runProcess(file, results, timeoutMs, env, nodeArgs);
    const outcome = judge(readResults(results), ended, timeoutMs);
    const left = ended.timedOut ? [] : await endLeftovers(ended.pid);
    if (left.length > 0) outcome.failures.push({ name: '(file)', text: `left processes behind:\n${left.join('\n')}` });
    return { ...outcome, output: ended.output, seconds: (performance.now() - started) / 1000 };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function runProcess(file, results, timeoutMs, env, nodeArgs) {
  return new Promise((resolve) => {
    const args = [...nodeArgs, `--test-reporter=${reporter}`, `--test-reporter-destination=${results}`, file];
    const inherited = { ...process.env, NO_COLOR: '1', ...env };
    // Set when this runs inside a node:test file itself; the reporter would not be used.
    delete inherited.NODE_TEST_CONTEXT;
    delete inherited.FORCE_COLOR;
    const child = spawn(process.execPath, args, {
      env: inherited,
      detached: process.platform !== 'win32',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    active.add(child.pid);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        output = (output + text).slice(-outputLimit);
      });
    }
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child.pid, 'SIGKILL');
    }, timeoutMs);
    // Not 'close': a process left behind may hold the pipes open for ever.
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      setImmediate(() => {
        active.delete(child.pid);
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({ pid: child.pid, code, signal, timedOut, output });
      });
    });
  });
}

function readResults(file) {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // It died before the reporter began.
  }
  const events = [];
  for (const line of text.split('\n')) {
    try {
      if (line !== '') events.push(JSON.parse(line));
    } catch {
      // The last line of a process that was killed while writing it.
    }
  }
  return events;
}

function judge(events, { code, signal, timedOut }, timeoutMs) {
  const outcome = { passed: 0, failures: [], skips: [] };
  const path = [];
  let running = [];
  for (const event of events) {
    if (event.type === 'start') {
      path.length = event.nesting;
      path.push(event.name);
      running = [...path];
      continue;
    }
    if (event.type === 'end') continue;
    const name = [...path.slice(0, event.nesting), event.name].join(' > ');
    running = path.slice(0, event.nesting);
    if (!event.counted) continue;
    if (event.type === 'fail') outcome.failures.push({ name, text: `${event.error}\n    at ${event.at}` });
    else if (event.skip !== undefined)
      outcome.skips.push({ name, reason: event.skip === 'true' ? 'no reason given' : event.skip });
    else outcome.passed++;
  }
  const where = running.length > 0 ? `in: ${running.join(' > ')}` : 'outside any test';
  const fail = (text) => outcome.failures.push({ name: '(file)', text });
  const complete = events.at(-1)?.type === 'end';
  if (timedOut && complete) fail(`all tests ended, but something kept the process alive for ${timeoutMs / 1000} s`);
  else if (timedOut) fail(`no end after ${timeoutMs / 1000} s, ${where}`);
  else if (signal) fail(`ended by ${signal}, ${where}`);
  else if (events.length === 0 && code === 0) fail('ran no test, or left before one was reported');
  else if (!complete) fail(`ended with exit code ${code} before its tests did, ${where}`);
  else if (code !== 0 && outcome.failures.length === 0) fail(`exit code ${code}, though no test failed`);
  else if (outcome.passed + outcome.failures.length + outcome.skips.length === 0)
    fail('ran no test, or left before one was reported');
  return outcome;
}

/** Ends what is left of a group, and names it. What is already on its way out is given a moment. */
async function endLeftovers(group) {
  const until = performance.now() + leaveTimeMs;
  let left = groupMembers(group);
  while (left.length > 0 && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    left = groupMembers(group);
  }
  if (left.length > 0) killGroup(group, 'SIGKILL');
  return left;
}

function groupMembers(group) {
  if (process.platform !== 'linux') return [];
  const members = [];
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      // pid (name) state ppid pgrp ...; the name may hold anything, so count from its closing parenthesis.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(pgrp) !== group || state === 'Z' || state === 'X') continue;
      members.push(`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()}`);
    } catch {
      // It ended while being looked at.
    }
  }
  return members;
}

function killGroup(pid, signal) {
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, signal);
  } catch {
    // Gone already.
  }
}
