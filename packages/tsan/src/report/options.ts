// The options of the sanitizer: one table, from which come the parser of JSTSAN_OPTIONS, `help=1`, the type and docs/reference/tsan-options.md.
// Syntax and names are ThreadSanitizer's, but what it would let pass with a warning stops the program before it starts: an option that
// is misspelt in CI must not go unseen.

import { accessSync, constants } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { readSuppressions } from './suppressions.ts';

type Integer = { readonly type: 'integer'; readonly preset: number; readonly min: number; readonly max: number };
type Flag = { readonly type: 'flag'; readonly preset: boolean };
type Choice<T extends string> = { readonly type: 'choice'; readonly preset: T; readonly of: readonly T[] };
type Text = { readonly type: 'text'; readonly preset: string };
type Seed = { readonly type: 'seed'; readonly preset: undefined; readonly min: number; readonly max: number };
type List = { readonly type: 'list'; readonly preset: readonly string[] };
type Shape = (Integer | Flag | Choice<string> | Text | Seed | List) & { readonly about: string };

function integer(preset: number, min: number, max: number, about: string): Integer & { about: string } {
  return { type: 'integer', preset, min, max, about };
}
function flag(preset: boolean, about: string): Flag & { about: string } {
  return { type: 'flag', preset, about };
}
function choice<T extends string>(of: readonly T[], preset: T, about: string): Choice<T> & { about: string } {
  return { type: 'choice', preset, of, about };
}
function text(preset: string, about: string): Text & { about: string } {
  return { type: 'text', preset, about };
}

/** An option nobody reads does not belong here. */
const table = {
  mode: choice(
    ['record', 'perturb'],
    'record',
    'record watches the program as it runs; perturb also delays threads around synchronisation, which shows rare races.',
  ),
  perturb: flag(false, 'Short for mode=perturb.'),
  seed: {
    type: 'seed',
    preset: undefined,
    min: 0,
    max: 2 ** 32 - 1,
    about: 'Draws the delays of mode=perturb. Without it one is drawn and printed, to run the same again.',
  },
  exitcode: integer(66, 0, 255, 'Exit code of a process with reports; 0 leaves the program its own.'),
  halt_on_error: flag(false, 'Ends the process at the first report.'),
  atexit_sleep_ms: integer(0, 0, 60_000, 'Waits this long at exit for races of threads that still run.'),
  format: choice(
    ['text', 'json', 'sarif'],
    'text',
    'How reports look: text, a JSON object a line, or one SARIF 2.1.0 file.',
  ),
  log_path: text(
    'stderr',
    'Where reports go: stderr, stdout, or a path, to which the process id is added (PATH.PID; PATH.PID.sarif).',
  ),
  strip_path_prefix: text('', 'Cut from the front of every path in a report.'),
  suppressions: text('', 'A file of reports not to make, a TYPE:PATTERN a line.'),
  print_suppressions: flag(true, 'Prints at the end which suppressions matched, and how often.'),
  suppress_equal_stacks: flag(true, 'Reports a race once, however often it happens.'),
  report_atomic_races: flag(true, 'Reports races of a plain access with an atomic one.'),
  history_size: integer(
    2,
    0,
    7,
    'Keeps whole stacks of the first 2^N visits of a place, for when they are the earlier access of a race; then only now and then.',
  ),
  exclude: {
    type: 'list',
    preset: [],
    about: 'Files that are not checked: patterns as in suppressions, separated by commas or spaces, in quotes.',
  },
  help: flag(false, 'Prints this list and ends.'),
} as const satisfies Record<string, Shape>;

type Table = typeof table;
type Value<S> = S extends Flag
  ? boolean
  : S extends Integer
    ? number
    : S extends Seed
      ? number | undefined
      : S extends Choice<infer T>
        ? T
        : S extends List
          ? readonly string[]
          : string;
export type Options = { readonly [Name in keyof Table]: Value<Table[Name]> };

/** What stands in JSTSAN_OPTIONS and cannot be meant. Its message names the option, the value and what would be one. */
export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

/**
 * Options from JSTSAN_OPTIONS: `name=value`, separated by spaces, commas, colons or line ends; a value with one of those stands in quotes.
 * The last of two wins.
 * @throws {OptionsError} an option that is not known, or a value outside its limits
 */
export function parseOptions(source: string): Options {
  const values: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries(table)) values[name] = shape.preset;
  for (const [name, value] of assignments(source)) {
    const shape = Object.hasOwn(table, name) ? table[name as keyof Table] : undefined;
    if (shape === undefined) throw new OptionsError(`unknown option '${name}'${suggestion(name)}; help=1 lists all`);
    values[name] = parseValue(name, value, shape);
  }
  if (values.perturb === true) values.mode = 'perturb';
  values.perturb = values.mode === 'perturb';
  return values as Options;
}

/**
 * The options of this process. Ends it where they ask for help (0) or make no sense (2): to be called before the program starts, by the main thread.
 */
export function optionsOfProcess(source = process.env.JSTSAN_OPTIONS ?? ''): Options {
  try {
    const options = parseOptions(source);
    if (options.help) {
      process.stdout.write(help());
      process.exit(0);
    }
    checkFiles(options);
    return withAbsolutePaths(options);
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error;
    process.stderr.write(`ThreadSanitizer: JSTSAN_OPTIONS: ${error.message}\n`);
    process.exit(2);
  }
}

/** The program may change its folder, and workers read these again. */
function withAbsolutePaths(options: Options): Options {
  const { suppressions, log_path } = options;
  return {
    ...options,
    suppressions: suppressions === '' ? '' : resolve(suppressions),
    log_path: standardStreams.includes(log_path) ? log_path : resolve(log_path),
  };
}

/** Better now than when the first report cannot be written. */
function checkFiles({ suppressions, log_path }: Options): void {
  try {
    readSuppressions(suppressions);
  } catch (error) {
    throw new OptionsError(`suppressions=${(error as Error).message}`);
  }
  if (standardStreams.includes(log_path)) return;
  try {
    accessSync(dirname(resolve(log_path)), constants.W_OK);
  } catch {
    throw new OptionsError(`log_path=${log_path}: must be in a folder that can be written`);
  }
}

const standardStreams = ['', 'stderr', 'stdout'];
const separator = /[ ,:\n\t\r]/;

function* assignments(source: string): Generator<[string, string]> {
  let at = 0;
  while (at < source.length) {
    if (separator.test(source[at]!)) {
      at++;
      continue;
    }
    const start = at;
    while (at < source.length && source[at] !== '=' && !separator.test(source[at]!)) at++;
    const name = source.slice(start, at);
    if (source[at] !== '=') throw new OptionsError(`'${name}' has no value: write ${name}=VALUE`);
    const quote = source[++at];
    if (quote === '"' || quote === "'") {
      const end = source.indexOf(quote, at + 1);
      if (end === -1) throw new OptionsError(`${name}=${source.slice(at)}: the quote is not closed`);
      yield [name, source.slice(at + 1, end)];
      at = end + 1;
    } else {
      const from = at;
      while (at < source.length && !separator.test(source[at]!)) at++;
      yield [name, source.slice(from, at)];
    }
  }
}

function parseValue(name: string, value: string, shape: Shape): unknown {
  const wrong = (limit: string) => new OptionsError(`${name}=${value}: must be ${limit}`);
  switch (shape.type) {
    case 'text':
      return value;
    case 'list':
      return value.split(/[\s,]+/).filter((each) => each !== '');
    case 'choice':
      if (!shape.of.includes(value)) throw wrong(limitOf(shape));
      return value;
    case 'flag':
      if (/^(1|yes|true)$/.test(value)) return true;
      if (/^(0|no|false)$/.test(value)) return false;
      throw wrong(limitOf(shape));
    default: {
      const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      if (!(number >= shape.min && number <= shape.max)) throw wrong(limitOf(shape));
      return number;
    }
  }
}

function limitOf(shape: Shape): string {
  switch (shape.type) {
    case 'text':
      return 'a text';
    case 'list':
      return 'a list';
    case 'choice':
      return shape.of.length === 2
        ? shape.of.join(' or ')
        : `${shape.of.slice(0, -1).join(', ')} or ${shape.of.at(-1)}`;
    case 'flag':
      return '0 or 1';
    default:
      return `an integer from ${shape.min} to ${shape.max}`;
  }
}

/** The option that was probably meant: the same letters in another case or with other joints, or one letter off. */
function suggestion(name: string): string {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z]/g, '');
  const near = Object.keys(table).find((known) => plain(known) === plain(name) || isOneEditFrom(known, name));
  return near === undefined ? '' : `, perhaps '${near}'`;
}

function isOneEditFrom(a: string, b: string): boolean {
  const [short, long] = a.length <= b.length ? [a, b] : [b, a];
  let head = 0;
  while (head < short.length && short[head] === long[head]) head++;
  const skip = short.length === long.length ? 1 : 0;
  return long.length - short.length <= 1 && short.slice(head + skip) === long.slice(head + 1);
}

/** An option as its table says it, for the reference page. */
export interface OptionRow {
  readonly name: string;
  readonly preset: string;
  readonly limit: string;
  readonly about: string;
}

export function optionRows(): OptionRow[] {
  return Object.entries(table).map(([name, shape]: [string, Shape]) => ({
    name,
    preset: typeof shape.preset === 'boolean' ? String(Number(shape.preset)) : String(shape.preset ?? ''),
    limit: limitOf(shape),
    about: shape.about,
  }));
}

function help(): string {
  const rows = optionRows().map(({ name, preset, limit, about }) => {
    const value = preset === '' ? limit : `${limit}; ${preset} if not given`;
    return `  ${name}\n      ${about}\n      (${value})\n`;
  });
  return `Options of the thread sanitizer: JSTSAN_OPTIONS="name=value:name=value ..."\n\n${rows.join('')}`;
}
