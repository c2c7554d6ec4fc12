/**
 * From words on a command line to parameters of a method, and from a schema to its help.
 *
 * A parameter is given as `--name value`, `--name=value`, for a boolean also as `--name` and `--no-name`; underscores may be
 * written as hyphens. Words without a name fill the required parameters in their order. What a schema does not know is
 * sent as it looks: JSON where it is JSON, else a string.
 */
import { SpdkError } from '../env/errors.ts';
import { parseJson } from './json.ts';
import { type ItemSpec, type ParamSchema, type ParamSpec, typeText } from './params.ts';
import type { RpcMethodInfo } from './registry.ts';

/**
 * The parameters of a call.
 * @param schema null when the method is not known here
 * @throws {SpdkError} EINVAL naming the word
 */
export function parseParams(words: readonly string[], schema: ParamSchema | null): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  const positional: string[] = [];
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') positional.push(...rest.splice(0));
    else if (!isOption(word)) positional.push(word);
    else parseOption(word, rest, schema, params);
  }
  const open = (schema ?? []).filter((spec) => spec.required === true && !(spec.name in params));
  for (const word of positional) {
    const spec = open.shift();
    if (spec === undefined) throw new SpdkError('EINVAL', `'${word}' belongs to no parameter; write --NAME ${word}`);
    params[spec.name] = parseWord(spec, word, spec.name);
  }
  return params;
}

/** A dash and something that is no number. */
function isOption(word: string): boolean {
  return word.startsWith('-') && word !== '-' && !/^-[\d.]/.test(word);
}

function parseOption(word: string, rest: string[], schema: ParamSchema | null, params: Record<string, unknown>): void {
  const [, given, attached] = /^--?([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  const name = given.replaceAll('-', '_');
  if (name === 'params') {
    Object.assign(params, parseObject(attached ?? rest.shift() ?? '', '--params'));
    return;
  }
  const spec = schema?.find((candidate) => candidate.name === name);
  const negated = name.startsWith('no_') ? schema?.find((candidate) => candidate.name === name.slice(3)) : undefined;
  if (spec === undefined && negated?.type === 'boolean' && attached === undefined) {
    params[negated.name] = false;
    return;
  }
  const next = rest[0];
  const bare = next === undefined || isOption(next) || (spec?.type === 'boolean' && parseBoolean(next) === null);
  if (attached === undefined && bare) {
    if (spec !== undefined && spec.type !== 'boolean') throw new SpdkError('EINVAL', `${word} needs a value`);
    params[name] = true;
    return;
  }
  const value = attached ?? rest.shift()!;
  params[name] = spec === undefined ? guess(value) : parseWord(spec, value, name);
}

function parseBoolean(word: string): boolean | null {
  if (/^(true|yes|on|1)$/i.test(word)) return true;
  return /^(false|no|off|0)$/i.test(word) ? false : null;
}

function parseWord(spec: ParamSpec | ItemSpec, word: string, name: string): unknown {
  switch (spec.type) {
    case 'boolean': {
      const value = parseBoolean(word);
      if (value === null) throw new SpdkError('EINVAL', `--${name}: '${word}' is neither true nor false`);
      return value;
    }
    case 'int32':
    case 'int64':
    case 'uint8':
    case 'uint16':
    case 'uint32':
    case 'uint64':
    case 'uint64big': {
      if (!/^(-?\d+|0x[\da-f]+)$/i.test(word)) throw new SpdkError('EINVAL', `--${name}: '${word}' is not an integer`);
      const value = word.startsWith('-') ? -BigInt(word.slice(1)) : BigInt(word);
      return Number.isSafeInteger(Number(value)) ? Number(value) : value;
    }
    case 'double': {
      const value = Number(word);
      if (word.trim() === '' || !Number.isFinite(value)) {
        throw new SpdkError('EINVAL', `--${name}: '${word}' is not a number`);
      }
      return value;
    }
    case 'array': {
      if (word.trimStart().startsWith('[')) return parseText(word, name);
      return word === '' ? [] : word.split(',').map((part) => parseWord(spec.items, part, name));
    }
    case 'object':
      return parseObject(word, `--${name}`);
    default:
      return word;
  }
}

function parseObject(word: string, name: string): Record<string, unknown> {
  const value = parseText(word, name);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new SpdkError('EINVAL', `${name}: '${word}' is not a JSON object`);
}

function parseText(word: string, name: string): unknown {
  try {
    return parseJson(word);
  } catch (error) {
    throw new SpdkError('EINVAL', `${name}: ${(error as Error).message}`);
  }
}

function guess(word: string): unknown {
  try {
    return parseJson(word);
  } catch {
    return word;
  }
}

/** Help of one method. */
export function methodHelp(method: RpcMethodInfo): string {
  const usage = method.params.map((spec) => {
    const text = spec.type === 'boolean' ? `--${spec.name}` : `--${spec.name} ${spec.name.toUpperCase()}`;
    return spec.required === true ? text : `[${text}]`;
  });
  const lines = [`tspdk rpc ${[method.name, ...usage].join(' ')}`, '', method.summary];
  if (method.params.length > 0) lines.push('');
  const width = Math.max(0, ...method.params.map((spec) => spec.name.length));
  for (const spec of method.params) {
    const notes = [typeText(spec)];
    if (spec.required === true) notes.push('required');
    if ('default' in spec && spec.default !== undefined) notes.push(`default ${String(spec.default)}`);
    if (spec.deprecated !== undefined) notes.push(`deprecated: ${spec.deprecated}`);
    lines.push(
      `  --${spec.name.padEnd(width)}  ${spec.description ?? ''}${spec.description ? ' ' : ''}(${notes.join(', ')})`,
    );
  }
  return lines.join('\n');
}
