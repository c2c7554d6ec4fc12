/**
 * One server per socket path: `PATH.lock` says who owns it.
 *
 * SPDK takes an flock, which the kernel drops when the process dies; Node has none. Here the lock file names its owner
 * by process id and start time, and comes into being by `link`, complete or not at all. A lock whose owner is gone is
 * taken over, unless somebody answers on the socket all the same (a process of another pid namespace, or SPDK itself).
 */
import { linkSync, lstatSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { SpdkError, toSpdkError } from '../env/errors.ts';

export interface SocketLock {
  /** Removes the lock file, if it is still ours. */
  release(): void;
}

let attempts = 0;

/**
 * Takes the lock of a socket path and removes a socket file that nobody serves.
 * @throws {SpdkError} EADDRINUSE when somebody owns the path, or a file that is no socket lies there
 */
export async function lockSocket(socketPath: string): Promise<SocketLock> {
  const path = `${socketPath}.lock`;
  const content = `${process.pid} ${startTime(process.pid)}\n`;
  const temporary = `${path}.${process.pid}.${++attempts}`;
  try {
    writeFileSync(temporary, content, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw toSpdkError(error, `cannot create the lock file of RPC socket ${socketPath}`);
  }
  try {
    await take(socketPath, path, temporary);
    await removeStaleSocket(socketPath).catch((error: unknown) => {
      unlinkIfThere(path);
      throw error;
    });
  } finally {
    unlinkIfThere(temporary);
  }
  return {
    release: () => {
      if (readIfThere(path) === content) unlinkIfThere(path);
    },
  };
}

async function take(socketPath: string, path: string, temporary: string): Promise<void> {
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      linkSync(temporary, path);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw toSpdkError(error, `cannot lock RPC socket ${socketPath}`);
    }
    const holder = readIfThere(path);
    if (holder === null) continue;
    const pid = livingOwner(holder);
    if (pid !== null) throw inUse(socketPath, `process ${pid} serves it`);
    if (await answers(socketPath)) throw inUse(socketPath, 'a process answers on it');
    discard(path, holder, `${temporary}.stale`);
  }
  throw inUse(socketPath, 'its lock keeps changing hands');
}

/** Takes away a stale lock. Two may try: who moved away a fresh one instead puts it back. */
function discard(path: string, stale: string, aside: string): void {
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw toSpdkError(error, `cannot take over ${path}`);
  }
  if (readIfThere(aside) !== stale) {
    try {
      linkSync(aside, path);
    } catch {
      // A third one was quicker; its lock stands.
    }
  }
  unlinkIfThere(aside);
}

async function removeStaleSocket(socketPath: string): Promise<void> {
  const stat = lstatSync(socketPath, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw inUse(socketPath, 'what lies there is not a socket');
  if (await answers(socketPath)) throw inUse(socketPath, 'a process answers on it');
  unlinkIfThere(socketPath);
}

function inUse(socketPath: string, why: string): SpdkError {
  return new SpdkError('EADDRINUSE', `RPC socket ${socketPath} is in use: ${why}; choose another with -r`);
}

/** The owner's pid when that very process still runs. */
function livingOwner(content: string): number | null {
  const match = /^(\d+) (\d*)\n$/.exec(content);
  if (match === null) return null;
  const pid = Number(match[1]);
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) !== 'EPERM') return null;
  }
  // A number used again belongs to a process that started later.
  const started = startTime(pid);
  return match[2] !== '' && started !== '' && started !== match[2] ? null : pid;
}

/** When a process started, in ticks since boot (proc(5), /proc/PID/stat field 22); empty where there is no /proc. */
function startTime(pid: number): string {
  const stat = readIfThere(`/proc/${pid}/stat`);
  // The second field is the program's name, which may contain anything.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

/** Whether somebody accepts connections on a unix socket. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // A full backlog means that somebody listens.
    socket.once('error', (error) => resolve(codeOf(error) === 'EAGAIN'));
  });
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Gone already.
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
