// Runs mutants under the sanitizer, in perturbed runs, until each is caught. Caught is a report, or a driver that does not end well. Mutants of a file that its
// driver imports itself run many in one process (batch.mjs); those of what an application is made of have a copy of the kit and a process each.

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { root } from '../bootstrap.mjs';
import { drivers } from './generate.mjs';

export const dist = join(root, 'packages', 'tspdk', 'dist');
const here = fileURLToPath(new URL('.', import.meta.url));
const register = pathToFileURL(join(root, 'packages', 'tsan', 'dist', 'register.js')).href;
/** A process that says nothing for so long hangs: a driver waits no longer than 15 s for anything, and a batch says where each mutant begins and ends. */
const silentMs = 90_000;
/** The same after a report: its mutant is caught, whether it ends or not. */
const reportedMs = 10_000;
/** So many in one process: a hang costs the others of its batch another one. */
const batchMax = 12;
const made = join(root, '.cache', 'mutants', String(process.pid));

function makeCopy(dir) {
  mkdirSync(dir, { recursive: true });
  const isNeeded = (path) => !/\.(map|d\.ts|test\.js|tsbuildinfo)$/.test(path);
  cpSync(dist, join(dir, 'dist'), { recursive: true, filter: isNeeded });
  cpSync(join(root, 'packages', 'tspdk', 'package.json'), join(dir, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
  return `${pathToFileURL(join(dir, 'dist')).href}/`;
}

/** One process: what it says on stderr, and how it ended. */
function runProcess(args, seed, kit) {
  return new Promise((resolve) => {
    const env = { ...process.env, JSTSAN_OPTIONS: `perturb=1:seed=${seed}`, MUTANT_KIT: kit };
    delete env.NODE_TEST_CONTEXT;
    const child = spawn(process.execPath, ['--import', register, ...args], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    const kill = () => child.kill('SIGKILL');
    let timer = setTimeout(kill, silentMs);
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
      clearTimeout(timer);
      const isReported = text.slice(Math.max(0, text.lastIndexOf('@@ '))).includes('SUMMARY: ThreadSanitizer');
      timer = setTimeout(kill, isReported ? reportedMs : silentMs);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, text });
    });
  });
}

function verdict(text, failed) {
  const report = /^SUMMARY: ThreadSanitizer: (.*)$/m.exec(text)?.[1];
  if (report !== undefined) return { how: 'report', text: report.replace(/ \S*\/(?=[^/]+:\d)/, ' ') };
  return failed === '' ? undefined : { how: 'failure', text: failed };
}

async function runBatch(mutants, dir, kit, seed) {
  const list = mutants.map((mutant, id) => {
    const url = new URL(mutant.file, kit);
    // Beside the file it replaces, so that its own imports lead where they led.
    url.pathname = url.pathname.replace(/\.js$/, `.mutant${id}.js`);
    writeFileSync(fileURLToPath(url), mutant.source);
    const query = new URLSearchParams({ dist: kit, file: mutant.file, mutant: url.href });
    return { id, driver: `${pathToFileURL(join(here, `${drivers[mutant.file]}.mjs`)).href}?${query}` };
  });
  const job = join(dir, 'batch.json');
  writeFileSync(job, JSON.stringify(list));
  const { code, text } = await runProcess([join(here, 'batch.mjs'), job], seed, kit);
  return mutants.map((_, id) => {
    const [, rest] = text.split(`@@ begin ${id}\n`);
    if (rest === undefined) return { again: true };
    const [body, end] = rest.split(`@@ end ${id} `);
    const failed = end === undefined ? `did not end (code ${code})` : end.slice(0, end.indexOf('\n'));
    return { caught: verdict(body.split('@@ begin')[0], failed) };
  });
}

async function runAlone([mutant], dir, kit, seed) {
  writeFileSync(join(dir, 'dist', mutant.file), mutant.source);
  const { code, text } = await runProcess([join(here, `${drivers[mutant.file]}.mjs`)], seed, kit);
  cpSync(join(dist, mutant.file), join(dir, 'dist', mutant.file));
  return [{ caught: verdict(text, code === 0 ? '' : (/^\w*Error.*$/m.exec(text)?.[0] ?? `exit code ${code}`)) }];
}

/** What one process takes on. */
function groupsOf(mutants) {
  const isAlone = ({ file }) => drivers[file] === 'app';
  const groups = mutants.filter(isAlone).map((mutant) => [mutant]);
  const others = mutants.filter((mutant) => !isAlone(mutant));
  for (let from = 0; from < others.length; from += batchMax) groups.push(others.slice(from, from + batchMax));
  return groups;
}

/**
 * Judges each mutant in up to `runs` runs with seeds from `seed` on.
 * @param onJudged told each: the mutant, and how it was caught or undefined
 */
export async function runMutants(mutants, { runs, seed, jobs }, onJudged) {
  const queue = groupsOf(mutants).map((group) => ({ group, run: 1 }));
  let active = 0;
  const take = async (dir, kit, { group, run }) => {
    const act = drivers[group[0].file] === 'app' ? runAlone : runBatch;
    const results = await act(group, dir, kit, seed + run - 1);
    const left = group.filter((mutant, i) => {
      const { again, caught } = results[i];
      if (again) return true;
      if (caught === undefined && run < runs) return true;
      onJudged(mutant, caught && { ...caught, runs: run });
      return false;
    });
    const isFirstRun = left.some((mutant) => results[group.indexOf(mutant)].again);
    if (left.length > 0) queue.push({ group: left, run: isFirstRun ? run : run + 1 });
  };
  const job = async (number) => {
    const dir = join(made, String(number));
    const kit = makeCopy(dir);
    while (queue.length > 0 || active > 0) {
      const next = queue.shift();
      if (next === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      active++;
      await take(dir, kit, next);
      active--;
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, (_, number) => job(number)));
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}
