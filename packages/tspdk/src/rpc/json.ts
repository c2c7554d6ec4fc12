/**
 * JSON where `JSON.parse` and `JSON.stringify` fall short: comments in config files (SPDK's parser takes them there) and
 * integers past 2^53, which become bigints instead of losing digits.
 *
 * The server uses the built-in parser and comes here only when a number is long enough to matter. RFC 8259 otherwise;
 * nested at most as deep as `limits.json_nesting_max`.
 */
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';

export interface ParseJsonOptions {
  /** Accept `// ...` and `/* ... *\/` where white space may stand. */
  comments?: boolean;
}

/**
 * Parses one JSON text; integers that a double cannot hold exactly come out as bigints.
 * @throws {SpdkError} EINVAL with line and column
 */
export function parseJson(text: string, options: ParseJsonOptions = {}): unknown {
  return new Parser(text, options.comments ?? false).parse();
}

/** JSON.stringify for results: bigints become integers. Undefined members vanish, as always. */
export function stringifyJson(value: unknown, indent?: number): string {
  try {
    return JSON.stringify(value, undefined, indent) ?? 'null';
  } catch (error) {
    if (!(error instanceof TypeError) || !/BigInt/.test(error.message)) throw error;
  }
  return write(value, ' '.repeat(indent ?? 0), '') ?? 'null';
}

/** As JSON.stringify, with bigints; undefined where that leaves a member out. */
function write(value: unknown, step: string, pad: string): string | undefined {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if ('toJSON' in value && typeof value.toJSON === 'function') return write(value.toJSON(), step, pad);
  const inner = pad + step;
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const members: string[] = [];
  for (const [key, member] of Object.entries(value)) {
    const text = write(member, step, inner);
    if (Array.isArray(value)) members.push(text ?? 'null');
    else if (text !== undefined) members.push(`${JSON.stringify(key)}:${step === '' ? '' : ' '}${text}`);
  }
  if (members.length === 0) return open + close;
  if (step === '') return open + members.join(',') + close;
  return `${open}\n${inner}${members.join(`,\n${inner}`)}\n${pad}${close}`;
}

const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
]);
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

class Parser {
  readonly #text: string;
  readonly #comments: boolean;
  #at = 0;
  constructor(text: string, comments: boolean) {
    this.#text = text;
    this.#comments = comments;
  }

  parse(): unknown {
    const value = this.#value(0);
    this.#skip();
    if (this.#at < this.#text.length) this.#fail('text after the value');
    return value;
  }

  #fail(what: string): never {
    const before = this.#text.slice(0, this.#at).split('\n');
    throw new SpdkError(
      'EINVAL',
      `JSON: ${what} at line ${before.length}, column ${before[before.length - 1].length + 1}`,
    );
  }

  /** White space, and comments where they are accepted. */
  #skip(): void {
    const text = this.#text;
    for (;;) {
      const c = text[this.#at];
      if (c === ' ' || c === '\n' || c === '\r' || c === '\t') this.#at++;
      else if (c === '/' && this.#comments) this.#comment();
      else return;
    }
  }

  #comment(): void {
    const kind = this.#text[this.#at + 1];
    const close = kind === '*' ? '*/' : '\n';
    if (kind !== '*' && kind !== '/') this.#fail('a slash that starts no comment');
    const end = this.#text.indexOf(close, this.#at + 2);
    if (end < 0 && kind === '*') this.#fail('a comment without end');
    this.#at = end < 0 ? this.#text.length : end + close.length;
  }

  #value(depth: number): unknown {
    this.#skip();
    const c = this.#text[this.#at];
    if (c === '"') return this.#string();
    if (c !== '{' && c !== '[') return this.#word();
    if (depth === limits.json_nesting_max) this.#fail(`more than ${limits.json_nesting_max} levels`);
    this.#at++;
    return c === '{' ? this.#object(depth + 1) : this.#array(depth + 1);
  }

  #array(depth: number): unknown[] {
    const array: unknown[] = [];
    if (this.#accept(']')) return array;
    do array.push(this.#value(depth));
    while (this.#accept(','));
    if (!this.#accept(']')) this.#fail("',' or ']' is missing");
    return array;
  }

  #object(depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    if (this.#accept('}')) return object;
    do {
      this.#skip();
      if (this.#text[this.#at] !== '"') this.#fail('a name in quotes is missing');
      const name = this.#string();
      if (!this.#accept(':')) this.#fail("':' is missing");
      const value = this.#value(depth);
      // Not by assignment: the name may be __proto__.
      Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
    } while (this.#accept(','));
    if (!this.#accept('}')) this.#fail("',' or '}' is missing");
    return object;
  }

  #accept(c: string): boolean {
    this.#skip();
    if (this.#text[this.#at] !== c) return false;
    this.#at++;
    return true;
  }

  #string(): string {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    try {
      // Escapes, control characters and the missing end are JSON.parse's business.
      const value = JSON.parse(this.#text.slice(start, end + 1)) as string;
      this.#at = end + 1;
      return value;
    } catch {
      this.#fail('a string is malformed');
    }
  }

  #word(): unknown {
    const match = /[-+.\w]+/y;
    match.lastIndex = this.#at;
    const word = match.exec(this.#text)?.[0] ?? '';
    if (WORDS.has(word)) {
      this.#at += word.length;
      return WORDS.get(word);
    }
    const parts = NUMBER.exec(word);
    if (parts === null) this.#fail(word === '' ? 'a value is missing' : 'not a value');
    this.#at += word.length;
    const number = Number(word);
    const integer = parts[2] === undefined && parts[3] === undefined;
    return integer && !Number.isSafeInteger(number) ? BigInt(word) : number;
  }
}
