// `npm run docs`: writes docs/reference/ from the code, so that it cannot say otherwise than the code does. RPC methods are asked of a running
// application, the command line is its own help, limits, errors and the sanitizer's options are their tables. scripts/reference.test.mjs fails when the files are out of date.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bootstrap, command, root, Trouble } from './bootstrap.mjs';

const compiled = join(root, 'packages', 'tspdk', 'dist');
const cli = join(compiled, 'app', 'cli.js');
const folder = join(root, 'docs', 'reference');
const generated = '<!-- Written by `npm run docs` from the code. Change the code, not this file. -->';

/** Every page: its path and its text. Needs a build. */
export async function referencePages() {
  const pages = {
    'rpc.md': await rpcPage(),
    'errors.md': await errorsPage(),
    'limits.md': limitsPage(),
    'cli.md': cliPage(),
    'tsan-options.md': await tsanOptionsPage(),
  };
  return new Map(Object.entries(pages).map(([name, text]) => [join(folder, name), text]));
}

/** Those of `pages` whose file does not say what the code says. */
export function stalePages(pages) {
  return [...pages]
    .filter(([path, text]) => !existsSync(path) || readFileSync(path, 'utf8') !== text)
    .map(([path]) => path);
}

async function load(...path) {
  return await import(pathToFileURL(join(compiled, ...path)).href);
}

function page(title, about, body) {
  return `${generated}\n\n# ${title}\n\n${about}\n\n${body.join('\n').trimEnd()}\n`;
}

function tableOf(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

function tspdk(...args) {
  const result = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', maxBuffer: 1 << 26, timeout: 60_000 });
  if (result.status !== 0) throw new Trouble(`tspdk ${args.join(' ')} ended with ${result.status}:\n${result.stderr}`);
  return result.stdout;
}

/** What an application with everything in it says of its methods. `perf` has those of a target, and its own. */
async function askApplication() {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-docs-'));
  const socket = join(dir, 'rpc.sock');
  const target = spawn(process.execPath, [cli, 'perf', '-z', '-m', '0x1', '-r', socket], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(target, 'exit');
  let errors = '';
  target.stderr.on('data', (text) => {
    errors += text;
  });
  try {
    return JSON.parse(tspdk('rpc', '-s', socket, '--retries', '100', 'rpc_get_schema'));
  } catch (error) {
    throw new Trouble(`${error.message}\nThe application said:\n${errors}`);
  } finally {
    target.kill('SIGTERM');
    await ended;
    rmSync(dir, { recursive: true, force: true });
  }
}

async function rpcPage() {
  const { typeText } = await load('rpc', 'params.js');
  const methods = (await askApplication()).sort((a, b) => (a.name < b.name ? -1 : 1));
  const about =
    'The JSON-RPC 2.0 methods of `tspdk tgt`, and `perform_tests`, which is `tspdk perf`’s. Names, parameters and error numbers are SPDK’s where SPDK has the method. ' +
    'Call one with `tspdk rpc METHOD --param value`; `tspdk rpc METHOD --help` shows this text.';
  const body = methods.map(({ name }) => `- [${name}](#${name})`);
  for (const { name, summary, states, params } of methods) {
    body.push('', `## ${name}`, '', `${summary} Callable ${when(states)}.`);
    if (params.length === 0) continue;
    const rows = params.map((param) => [`\`${param.name}\``, typeText(param), need(param), describe(param)]);
    body.push('', ...tableOf(['Parameter', 'Type', 'Needed', 'What it is'], rows));
  }
  return page('RPC methods', about, body);
}

function when(states) {
  return { 1: 'before initialisation', 2: 'after initialisation', 3: 'at any time' }[states];
}

function need({ required, default: preset }) {
  if (required) return 'yes';
  return preset === undefined ? '' : `default \`${JSON.stringify(preset)}\``;
}

function describe({ description = '', deprecated }) {
  return deprecated === undefined ? description : `${description} Deprecated: ${deprecated}`.trim();
}

async function errorsPage() {
  const { errorCodes } = await load('env', 'errors.js');
  const rows = errorCodes().map(({ code, errno, summary }) => [`\`${code}\``, errno, summary]);
  const about =
    'What the kit raises on purpose is a `SpdkError` with one of these codes. `errno` is the number that RPC and NBD replies carry ' +
    '(an RPC error of a method has it negated, as SPDK’s has).';
  return page('Errors', about, tableOf(['Code', 'errno', 'Meaning'], rows));
}

/** The limits stand with their comments in the source only, so they are read from there. */
function limitsPage() {
  const text = readFileSync(join(root, 'packages', 'tspdk', 'src', 'env', 'limits.ts'), 'utf8');
  const table = text.slice(text.indexOf('export const limits'), text.indexOf('} as const'));
  const rows = [];
  let comment = '';
  for (const [, told, name, value] of table.matchAll(/\/\*\*([\s\S]*?)\*\/|^\s*(\w+): (.+),$/gm)) {
    if (told !== undefined) comment = told.replace(/\s*\n\s*\*\s*/g, ' ').trim();
    else rows.push([`\`${name}\``, `\`${value}\``, comment]);
  }
  return page(
    'Limits',
    'Every bound of the kit, units in the names, and what happens there.',
    tableOf(['Limit', 'Value', 'What it bounds'], rows),
  );
}

function cliPage() {
  const help = tspdk('--help');
  const programs = [...help.matchAll(/^ {2}(\w+) {2,}\S/gm)].map((match) => match[1]);
  const body = ['```text', help.trimEnd(), '```'];
  for (const program of programs) {
    body.push('', `## tspdk ${program}`, '', '```text', tspdk(program, '--help').trimEnd(), '```');
  }
  return page('Command line', 'What `tspdk --help` and the help of its programs say.', body);
}

async function tsanOptionsPage() {
  const { optionRows } = await import(
    pathToFileURL(join(root, 'packages', 'tsan', 'dist', 'report', 'options.js')).href
  );
  const rows = optionRows().map(({ name, preset, limit, about }) => [
    `\`${name}\``,
    preset === '' ? '' : `\`${preset}\``,
    limit,
    about,
  ]);
  const about =
    'The options of the thread sanitizer, `@tspdk/tsan`, given in the environment: `JSTSAN_OPTIONS="name=value:name=value"`. Separators are colons, ' +
    'commas, spaces and line ends; a value that has one stands in quotes. Names are ThreadSanitizer’s where it has the option. One that is not known, or ' +
    'a value outside its limits, ends the process with 2 before the program starts.';
  return page(
    'Options of the thread sanitizer',
    about,
    tableOf(['Option', 'If not given', 'Value', 'What it does'], rows),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await command(async () => {
    bootstrap();
    mkdirSync(folder, { recursive: true });
    const pages = await referencePages();
    const stale = stalePages(pages);
    for (const path of stale) {
      writeFileSync(path, pages.get(path));
      console.log(`wrote ${relative(root, path)}`);
    }
    if (stale.length === 0) console.log('docs/reference is up to date');
  });
}
