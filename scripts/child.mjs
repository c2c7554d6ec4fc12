// Runs a program in the place of the calling script: same input and output, its exit code, and each signal once.
//
// Ctrl-C reaches every process in the terminal's foreground group, and npm sends the signal on besides, so a program run under `npm start`
// in that group would see two. "Stop now" and "stop at once, without tidying" are told apart by counting signals, so the program gets a
// group of its own and this script alone passes signals on: what comes twice within a moment is one signal. `kill` of npm's child
// arrives by the same way; `kill` of npm itself ends the shell between them without a word to this script, so under npm the loss of that
// shell counts as SIGTERM.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'];
/** Two signals of one kind closer than this are one keystroke; a person cannot press twice as fast. */
const samePressMs = 150;
const orphanCheckMs = 500;

/** Resolves to the exit code of `node FILE ARGS`: the program's own, or 128 + the number of the signal that ended it. */
export function runNode(file, args, { nodeArgs = [], env = process.env } = {}) {
  return new Promise((resolve, reject) => {
    const detached = process.platform !== 'win32';
    const child = spawn(process.execPath, [...nodeArgs, file, ...args], { stdio: 'inherit', detached, env });
    const lastAt = new Map();
    const handlers = new Map();
    for (const signal of forwarded) {
      const handler = () => {
        const now = performance.now();
        const last = lastAt.get(signal) ?? Number.NEGATIVE_INFINITY;
        lastAt.set(signal, now);
        if (now - last >= samePressMs) child.kill(signal);
      };
      try {
        process.on(signal, handler);
        handlers.set(signal, handler);
      } catch {
        // A system without this signal has nothing to pass on.
      }
    }
    const parent = process.ppid;
    const orphanCheck = setInterval(() => {
      if (process.env.npm_lifecycle_event === undefined || process.ppid === parent) return;
      clearInterval(orphanCheck);
      if (lastAt.size === 0) child.kill('SIGTERM');
    }, orphanCheckMs);
    const finish = (settle, value) => {
      clearInterval(orphanCheck);
      for (const [signal, handler] of handlers) process.off(signal, handler);
      settle(value);
    };
    child.on('error', (error) => finish(reject, error));
    child.on('exit', (code, signal) => finish(resolve, code ?? 128 + (constants.signals[signal] ?? 0)));
  });
}
