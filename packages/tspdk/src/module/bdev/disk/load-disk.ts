/**
 * Loads a user's disk module on the core where it will live. What goes wrong is told in the user's terms: the file, Node's version, and
 * for an error of the module its own stack.
 */
import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { SpdkError } from '../../../env/errors.ts';
import { isBdevModule, type UserBdevModule } from './define-bdev-module.ts';
import { type Disk, isDisk } from './define-disk.ts';
import { messageOfThrown, textOfThrown } from './io-status.ts';

let loads = 0;
const require = createRequire(import.meta.url);

/** What the user said of a disk. From JSON, or text. */
export type DiskOptions = Readonly<Record<string, unknown>>;

/** The file URL of a module that is named by its path, or by that. */
export function moduleUrl(module: string): string {
  return module.startsWith('file:') ? module : pathToFileURL(module).href;
}

/**
 * The default export of the module at `url` (a file URL), in an instance of its own: two disks of one file share nothing. A function is called with `options` and gives it.
 * @throws {SpdkError} ENOTSUP when this Node cannot run the file; EINVAL when it is no disk or throws, with the module's own stack.
 */
export async function loadDisk(url: string, options: DiskOptions = {}): Promise<Disk | UserBdevModule> {
  const path = fileURLToPath(url);
  checkRunnable(path);
  let module: { readonly default?: unknown };
  let made: unknown;
  try {
    const file = fileNow(path);
    // CommonJS knows no query, and would give the instance that it has.
    delete require.cache[file];
    module = await import(`${pathToFileURL(file).href}?disk=${++loads}`);
    made = defaultOf(module);
    if (typeof made === 'function') made = await (made as (options: DiskOptions) => unknown)(options);
  } catch (thrown) {
    throw ownStack(thrown, path, await placeOfSyntaxError(thrown, path));
  }
  if (isDisk(made) || isBdevModule(made)) return made;
  const exported = Object.keys(module).join(', ') || 'nothing';
  throw new SpdkError(
    'EINVAL',
    `disk module "${path}" exports ${exported}; it must say: export default defineDisk({ ... })`,
  );
}

/** What a link names by now: Node goes on with what it named when it was loaded first. */
function fileNow(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}

/** TypeScript writes `export default` so where it makes CommonJS of it. */
function defaultOf({ default: exported }: { readonly default?: unknown }): unknown {
  const { __esModule, default: inner } = (exported ?? {}) as { __esModule?: unknown; default?: unknown };
  return __esModule === true ? inner : exported;
}

function checkRunnable(path: string): void {
  const extension = extname(path);
  if (extension === '.tsx' || extension === '.jsx') {
    throw new SpdkError('ENOTSUP', `disk module "${path}": Node does not run ${extension} files`);
  }
  if (extension !== '.ts' && extension !== '.mts' && extension !== '.cts') return;
  const features = process.features as { readonly typescript?: unknown };
  if (features.typescript) return;
  throw new SpdkError(
    'ENOTSUP',
    `disk module "${path}": Node ${process.versions.node} does not run TypeScript files. ` +
      'Use Node 22.18 or newer (or 23.6 or newer), or compile it to .js and name that.',
  );
}

/** What a check of a file may take, ms. */
const CHECK_MS_MAX = 10_000;

/** Compiles a file as an ES module and runs nothing of it. What strips the types keeps every place. In a process of its own, as only what ends one is printed with its place. */
const CHECK = `
  const path = process.argv[1];
  const text = require('node:fs').readFileSync(path, 'utf8');
  const code = /ts$/.test(path) ? require('node:module').stripTypeScriptTypes(text) : text;
  new (require('node:vm').SourceTextModule)(code, { identifier: path });`;
const CHECK_ARGS = ['--experimental-vm-modules', '--input-type=commonjs', '--eval', CHECK];

/**
 * Where the file is no JavaScript, with the line itself: of an ES module that is imported Node tells that to nobody. Empty where Node has said it, when it is another file that is wrong,
 * and where it cannot be found out.
 */
async function placeOfSyntaxError(thrown: unknown, path: string): Promise<string> {
  if (!(thrown instanceof SyntaxError && textOfThrown(thrown).startsWith('SyntaxError'))) return '';
  try {
    const file = fileNow(path);
    const said = await stderrOf([...CHECK_ARGS, file]);
    // Node may have printed something before, and the line itself may say anything.
    const start = `\n${said}`.indexOf(`\n${file}:`);
    const end = said.lastIndexOf(`\nSyntaxError: ${messageOfThrown(thrown)}\n`);
    return start < 0 || end < start ? '' : said.slice(start, end + 1);
  } catch {
    // No process may be started here.
    return '';
  }
}

function stderrOf(args: readonly string[]): Promise<string> {
  const env = { ...process.env, NODE_OPTIONS: '' };
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env, timeout: CHECK_MS_MAX }, (_, __, stderr) => resolve(stderr));
  });
}

function ownStack(thrown: unknown, path: string, place: string): SpdkError {
  const message = messageOfThrown(thrown);
  const error = new SpdkError('EINVAL', `disk module "${path}" failed to load: ${message}`, { cause: thrown });
  const stack = textOfThrown(thrown);
  if (stack !== message) error.stack = place + theirPart(stack);
  return error;
}

const KIT = new URL('../../../', import.meta.url).href;

/** The lines of a stack that are about the user's files; the kit's and Node's own frames say nothing to them. */
function theirPart(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => !line.includes(KIT) && !/^ +at (async |.*\()?node:/.test(line))
    .join('\n')
    .replaceAll(/\?disk=\d+/g, '');
}
