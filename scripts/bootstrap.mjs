// Makes a clone ready to run: installs the packages and builds, each only when it is needed, and says so in one line.
//
// Every other command of the repository calls `bootstrap()` first, so that they all work from a bare clone. It uses nothing but
// Node's own modules, because it runs before anything is installed. What is installed is judged by npm's own record
// (node_modules/.package-lock.json), so a hand-run `npm ci` counts too. What is built is judged by a stamp over the names, times and
// sizes of the sources; outputs whose source is gone are removed, or a deleted test would go on being run.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stampFile = join(root, '.cache', 'build.stamp');
const outputs = /\.(d\.ts|js|js\.map|d\.ts\.map)$/;

/** A failure that the user can act upon: printed without a stack. */
export class Trouble extends Error {}

/** Runs `main`, and turns a `Trouble` into its message and exit code 1. */
export async function command(main) {
  try {
    process.exitCode = (await main(process.argv.slice(2))) ?? process.exitCode ?? 0;
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}

/** Installs and builds what is missing. `install: false` or `build: false` leaves that part out, `force` builds even when nothing changed. */
export function bootstrap({ install = true, build = true, force = false } = {}) {
  checkNode();
  if (install && !isInstalled()) installPackages();
  if (!build) return;
  const projects = readProjects();
  const stamp = stampOf(projects);
  if (force || !isBuilt(projects, stamp)) buildProjects(projects, stamp);
}

/** Every file under `dir` (absolute paths, sorted), without dependencies and hidden folders; none when there is no such folder. */
export function filesUnder(dir, accept = () => true, skip = ['node_modules']) {
  if (!existsSync(dir)) return [];
  const found = [];
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || skip.includes(entry.name)) continue;
    const path = join(dir, entry.name);
    if (entry.isDirectory()) found.push(...filesUnder(path, accept, skip));
    else if (accept(path)) found.push(path);
  }
  return found.sort();
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Trouble(`tspdk needs Node 20.19 or newer; this is ${process.versions.node}`);
  }
}

function isInstalled() {
  const recordFile = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(recordFile) || !existsSync(join(root, 'node_modules', 'typescript'))) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const present = JSON.parse(readFileSync(recordFile, 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || !path.startsWith('node_modules/')) return true;
    const found = present[path];
    // Another platform's binary is rightly absent; one that is there must be the right one.
    if (found === undefined) return entry.optional === true;
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

function installPackages() {
  console.error('Installing packages (npm ci --ignore-scripts) ...');
  // Under `npm run`, npm tells where it is itself; run by this Node, it needs no PATH.
  const npm = process.env.npm_execpath;
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  const [file, fileArgs] = npm?.endsWith('.js') ? [process.execPath, [npm, ...args]] : ['npm', args];
  run(file, fileArgs, 'Installing the packages failed', process.platform === 'win32');
}

/** The projects that the root tsconfig refers to: their folder, source folder and output folder, as absolute paths. */
function readProjects() {
  return readJson(join(root, 'tsconfig.json')).references.map(({ path }) => {
    const dir = join(root, path);
    const { rootDir = 'src', outDir = 'dist' } = readJson(join(dir, 'tsconfig.json')).compilerOptions ?? {};
    return { dir, source: join(dir, rootDir), output: join(dir, outDir) };
  });
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8').replace(/^\s*\/\/.*$/gm, ''));
}

function sourcesOf(project) {
  return filesUnder(project.source, (path) => path.endsWith('.ts'), ['node_modules', 'dist']);
}

function stampOf(projects) {
  const hash = createHash('sha256');
  const settings = ['package-lock.json', 'tsconfig.json', 'tsconfig.base.json'].map((name) => join(root, name));
  for (const project of projects) settings.push(join(project.dir, 'tsconfig.json'), ...sourcesOf(project));
  for (const file of settings) {
    const { mtimeMs, size } = statSync(file);
    hash.update(`${relative(root, file)} ${mtimeMs} ${size}\n`);
  }
  return hash.digest('hex');
}

function isBuilt(projects, stamp) {
  if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) return false;
  return projects.every((project) => existsSync(project.output) || sourcesOf(project).length === 0);
}

function buildProjects(projects, stamp) {
  console.error('Building (tsc -b) ...');
  rmSync(stampFile, { force: true });
  for (const project of projects) removeOrphans(project);
  run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'], 'The build failed');
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, stamp);
}

function removeOrphans(project) {
  const sources = sourcesOf(project);
  // A folder emptied by hand, with the record of what was built left in it, would never be filled again.
  const stale = sources.some((path) => !existsSync(outputOf(project, path)));
  if (stale) rmSync(project.output, { recursive: true, force: true });
  const kept = new Set(sources.map((path) => outputOf(project, path).replace(/\.js$/, '')));
  for (const path of filesUnder(project.output, (file) => outputs.test(file))) {
    if (!kept.has(path.replace(outputs, ''))) rmSync(path);
  }
}

function outputOf(project, source) {
  return join(project.output, relative(project.source, source).split(sep).join(sep)).replace(/\.ts$/, '.js');
}

function run(file, args, failure, shell = false) {
  const result = spawnSync(file, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, shell });
  if (result.error) throw new Trouble(`${failure}: ${result.error.message}`);
  if (result.status !== 0)
    throw new Trouble(`${result.stdout}${result.stderr}\n${failure} (exit code ${result.status}).`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await command((args) => {
    bootstrap({ build: !args.includes('--install-only'), force: args.includes('--force') });
  });
}
