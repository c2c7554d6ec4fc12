/**
 * What parameters a method takes: declared once, checked at the door, typed in the handler, printed by `--help`.
 *
 * A schema is a list like SPDK's object decoders (struct spdk_json_object_decoder). From it come `ParamsOf<S>`, the
 * checks of `decodeParams`, the command line and the reference page. Strict as SPDK: an unknown name, a missing
 * required one, a wrong type or a number out of range refuses the call with "Invalid parameters"; the detail says which.
 * Numbers never lose digits silently: a uint64 past 2^53 - 1 is refused, unless declared `uint64big`, which is a bigint.
 */
import { RpcError } from './rpc-error.ts';

interface ParamBase {
  readonly name: string;
  /** Must be given. Not together with `default`. */
  readonly required?: boolean;
  readonly description?: string;
  /** Still accepted; the text says what to use instead. */
  readonly deprecated?: string;
}
interface ScalarTypes {
  string: string;
  boolean: boolean;
  uint8: number;
  uint16: number;
  uint32: number;
  int32: number;
  /** -(2^53 - 1) to 2^53 - 1; a decimal string is accepted too. */
  int64: number;
  /** 0 to 2^53 - 1; a decimal string is accepted too. */
  uint64: number;
  /** 0 to 2^64 - 1. */
  uint64big: bigint;
  /** Any finite number; as decimal text too. */
  double: number;
  /** Canonical, lower case. */
  uuid: string;
}
type ScalarParam = {
  [T in keyof ScalarTypes]: ParamBase & { readonly type: T; readonly default?: ScalarTypes[T] };
}[keyof ScalarTypes];
interface EnumParam extends ParamBase {
  readonly type: 'enum';
  /** SPDK's name of the enumeration, for the reference. */
  readonly class?: string;
  /** Compared without case where no two values differ in case only; the handler gets the value as written here. */
  readonly values: readonly string[];
  readonly default?: string;
}
interface ArrayParam extends ParamBase {
  readonly type: 'array';
  readonly class?: string;
  /** What each element is. */
  readonly items: ItemSpec;
  /** More elements are refused. Default 1024. */
  readonly max?: number;
  readonly default?: readonly unknown[];
}
interface ObjectParam extends ParamBase {
  readonly type: 'object';
  readonly class?: string;
  /** Its members; without them any object is taken as it is. */
  readonly fields?: readonly ParamSpec[];
}

/** One parameter. */
export type ParamSpec = ScalarParam | EnumParam | ArrayParam | ObjectParam;
type WithoutName<P> = P extends unknown ? Omit<P, 'name' | 'required' | 'default'> : never;
/** An array's element: a parameter without a name. */
export type ItemSpec = WithoutName<ParamSpec>;
/** All parameters of a method. */
export type ParamSchema = readonly ParamSpec[];
export type ParamType = ParamSpec['type'];

type ValueOf<P> = P extends { type: infer T extends keyof ScalarTypes }
  ? ScalarTypes[T]
  : P extends { type: 'enum'; values: readonly (infer V)[] }
    ? V
    : P extends { type: 'array'; items: infer I }
      ? ValueOf<I>[]
      : P extends { type: 'object'; fields: infer F extends ParamSchema }
        ? ParamsOf<F>
        : P extends { type: 'object' }
          ? Record<string, unknown>
          : never;
type Present = { readonly required: true } | { readonly default: unknown };
type Flat<T> = { [K in keyof T]: T[K] };

/** The object a handler receives: required and defaulted parameters are there, others may be absent. */
export type ParamsOf<S extends ParamSchema> = Flat<
  { [P in S[number] as P extends Present ? P['name'] : never]: ValueOf<P> } & {
    [P in S[number] as P extends Present ? never : P['name']]?: ValueOf<P>;
  }
>;

const ITEMS_MAX = 1024;
const RANGES = {
  uint8: [0, 0xff],
  uint16: [0, 0xffff],
  uint32: [0, 0xffff_ffff],
  int32: [-0x8000_0000, 0x7fff_ffff],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
} as const;
/** Digits of a number that JSON may not carry whole. */
const DIGITS = { int64: /^-?\d{1,19}$/, uint64: /^\d{1,20}$/ } as const;
const UINT64_MAX = 0xffff_ffff_ffff_ffffn;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * Checks what a client sent against the schema.
 * @param params the `params` member; undefined and null mean none
 * @param onDeprecated called with each deprecated parameter that was given
 * @throws {RpcError} -32602, the detail naming the parameter
 */
export function decodeParams<const S extends ParamSchema>(
  schema: S,
  params: unknown,
  onDeprecated?: (param: ParamSpec) => void,
): ParamsOf<S> {
  return decodeFields(schema, params ?? {}, '', onDeprecated) as ParamsOf<S>;
}

function decodeFields(
  fields: ParamSchema,
  value: unknown,
  path: string,
  onDeprecated?: (param: ParamSpec) => void,
): Record<string, unknown> {
  if (!isObject(value)) throw RpcError.invalidParams(`${path === '' ? 'params' : path} must be an object`);
  for (const key of Object.keys(value)) {
    if (!fields.some((field) => field.name === key)) {
      const known = fields.length === 0 ? 'none are taken' : `known: ${fields.map((field) => field.name).join(' ')}`;
      throw RpcError.invalidParams(`unknown parameter '${path}${key}'; ${known}`);
    }
  }
  const out: Record<string, unknown> = {};
  for (const field of fields) {
    if (Object.hasOwn(value, field.name)) {
      if (field.deprecated !== undefined) onDeprecated?.(field);
      out[field.name] = decodeValue(field, value[field.name], path + field.name);
    } else if (field.required === true) {
      throw RpcError.invalidParams(`parameter '${path}${field.name}' is required`);
    } else if ('default' in field && field.default !== undefined) {
      out[field.name] = field.default;
    }
  }
  return out;
}

/** Checks one value. @throws {RpcError} -32602 */
function decodeValue(spec: ParamSpec | ItemSpec, value: unknown, path: string): unknown {
  switch (spec.type) {
    case 'string':
      if (typeof value === 'string') return value;
      break;
    case 'boolean':
      if (typeof value === 'boolean') return value;
      break;
    case 'uint8':
    case 'uint16':
    case 'uint32':
    case 'int32':
    case 'int64':
    case 'uint64':
      return decodeInteger(spec.type, value, path);
    case 'uint64big':
      return decodeUint64Big(value, path);
    case 'double': {
      const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
      if (Number.isFinite(number)) return number;
      break;
    }
    case 'uuid':
      if (typeof value === 'string' && UUID.test(value.toLowerCase())) return value.toLowerCase();
      break;
    case 'enum':
      return decodeEnum(spec.values, value, path);
    case 'array':
      return decodeArray(spec, value, path);
    case 'object':
      if (spec.fields !== undefined) return decodeFields(spec.fields, value, `${path}.`);
      if (isObject(value)) return value;
  }
  throw RpcError.invalidParams(`parameter '${path}' must be ${typeText(spec)}, not ${show(value)}`);
}

function decodeInteger(type: keyof typeof RANGES, value: unknown, path: string): number {
  const [min, max] = RANGES[type];
  let number = value;
  if ((type === 'uint64' || type === 'int64') && typeof value === 'string' && DIGITS[type].test(value)) {
    number = Number(value);
  }
  if (typeof value === 'bigint') number = Number(value);
  if (typeof number !== 'number' || !Number.isInteger(number)) {
    throw RpcError.invalidParams(`parameter '${path}' must be an integer, not ${show(value)}`);
  }
  // A literal past 2^53 reaches us rounded, but never rounded into the safe range.
  if (number < min || number > max) {
    throw RpcError.invalidParams(`parameter '${path}' is ${show(value)}; ${type} goes from ${min} to ${max}`);
  }
  return number + 0;
}

function decodeUint64Big(value: unknown, path: string): bigint {
  const digits = typeof value === 'string' && /^\d{1,20}$/.test(value);
  if (digits || typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))) {
    const big = BigInt(value as string | bigint | number);
    if (big >= 0n && big <= UINT64_MAX) return big;
  }
  throw RpcError.invalidParams(`parameter '${path}' must be an integer from 0 to ${UINT64_MAX}, not ${show(value)}`);
}

function decodeEnum(values: readonly string[], value: unknown, path: string): string {
  if (typeof value === 'string') {
    const exact = values.find((candidate) => candidate === value);
    const loose = values.filter((candidate) => candidate.toLowerCase() === value.toLowerCase());
    const found = exact ?? (loose.length === 1 ? loose[0] : undefined);
    if (found !== undefined) return found;
  }
  throw RpcError.invalidParams(`parameter '${path}' is ${show(value)}; one of: ${values.join(' ')}`);
}

function decodeArray(spec: { items: ItemSpec; max?: number }, value: unknown, path: string): unknown[] {
  if (!Array.isArray(value)) throw RpcError.invalidParams(`parameter '${path}' must be an array, not ${show(value)}`);
  const max = spec.max ?? ITEMS_MAX;
  if (value.length > max)
    throw RpcError.invalidParams(`parameter '${path}' has ${value.length} elements; at most ${max}`);
  return value.map((element, index) => decodeValue(spec.items, element, `${path}[${index}]`));
}

/** The type of a parameter, for people. */
export function typeText(spec: ParamSpec | ItemSpec): string {
  switch (spec.type) {
    case 'uint64big':
      return 'uint64';
    case 'enum':
      return spec.values.join('|');
    case 'array':
      return `array of ${typeText(spec.items)}`;
    default:
      return spec.type;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value in an error text: short, whatever was sent. */
function show(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
