/**
 * The log: who says what to the operator, and how loud.
 *
 * Levels and component flags are SPDK's (lib/log): two thresholds (`level` for the stored log, `printLevel` for
 * stderr), and a flag per component that opens its INFO and DEBUG lines. One instance per isolate, since it is
 * the process's stderr: `log` below. Tests make their own. Any thread may call it; each isolate writes whole lines to
 * descriptor 2, synchronously, so lines of different reactors never mix and none is lost when the process dies.
 * Text that came from a peer cannot forge a line: control characters are escaped, further lines are indented.
 */
import { SpdkError } from '../env/errors.ts';
import { Deprecation, type DeprecationOptions } from './deprecation.ts';
import { stderrSink } from './stderr-sink.ts';

/** SPDK's levels, from silent to chatty. */
export const LOG_LEVELS = ['DISABLED', 'ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
const ERROR = 1;
const WARNING = 2;
const NOTICE = 3;
const INFO = 4;
const DEBUG = 5;

/** What a replaced log function receives. `timeMs` is Unix time with a fraction. */
export interface LogRecord {
  readonly level: LogLevel;
  readonly component: string;
  readonly text: string;
  readonly timeMs: number;
}

/** Takes one finished line, newline included. Must not throw. */
export type LogSink = (line: string) => void;
/** Takes every record, whatever the thresholds say (SPDK: logfunc of spdk_log_open). */
export type LogFunction = (record: LogRecord) => void;
/** Text, or a function that builds it: called only when the line will be written. */
export type LogText = string | (() => string);

export interface LogOptions {
  /** Where printed lines go. Default: descriptor 2. */
  print?: LogSink;
  /** Where stored lines go (SPDK sends them to syslog). Default: nowhere. */
  store?: LogSink;
  /** Unix time in ms, with a fraction. */
  nowMs?: () => number;
}

/** Thresholds and flags, as one isolate hands them to another. */
export interface LogConfig {
  level: LogLevel;
  printLevel: LogLevel;
  timestamps: boolean;
  flags: Record<string, boolean>;
}

/** One component's way to the log. Made by `Log.register`. */
export class LogComponent {
  readonly name: string;
  /** Opens this component's INFO and DEBUG lines (SPDK: struct spdk_log_flag). */
  enabled = false;
  readonly #log: Log;
  constructor(log: Log, name: string) {
    this.#log = log;
    this.name = name;
  }
  error(text: LogText): void {
    this.#log.write(ERROR, this.name, text);
  }
  warn(text: LogText): void {
    this.#log.write(WARNING, this.name, text);
  }
  notice(text: LogText): void {
    this.#log.write(NOTICE, this.name, text);
  }
  /** Written only while the component's flag is set (SPDK_INFOLOG). */
  info(text: LogText): void {
    if (this.enabled) this.#log.write(INFO, this.name, text);
  }
  /** Written only while the component's flag is set (SPDK_DEBUGLOG). */
  debug(text: LogText): void {
    if (this.enabled) this.#log.write(DEBUG, this.name, text);
  }
}

export class Log {
  #level = NOTICE;
  #printLevel = NOTICE;
  #timestamps = true;
  #print: LogSink;
  #store: LogSink | null;
  #function: LogFunction | null = null;
  readonly #nowMs: () => number;
  readonly #components = new Map<string, LogComponent>();
  readonly #deprecations = new Map<string, Deprecation>();
  /** Flags asked for before the component registered itself: modules may load late. */
  readonly #wanted = new Map<string, boolean>();
  /** Called after a threshold or flag changed; the app sends the new config to its other isolates. */
  onChange: ((config: LogConfig) => void) | null = null;

  constructor(options: LogOptions = {}) {
    this.#print = options.print ?? stderrSink();
    this.#store = options.store ?? null;
    this.#nowMs = options.nowMs ?? (() => performance.timeOrigin + performance.now());
  }

  /** The component of that name, made on first use. Names compare without case, as in SPDK. */
  register(name: string): LogComponent {
    const key = name.toLowerCase();
    let component = this.#components.get(key);
    if (component === undefined) {
      component = new LogComponent(this, name);
      component.enabled = this.#wanted.get(key) ?? false;
      this.#components.set(key, component);
    }
    return component;
  }

  /** Threshold of the stored log (spdk_log_get_level). */
  get level(): LogLevel {
    return LOG_LEVELS[this.#level];
  }
  /** @throws {SpdkError} EINVAL when it is not a level. */
  setLevel(level: string): void {
    this.#level = levelNumber(level);
    this.#changed();
  }
  /** Threshold of what is printed to stderr (spdk_log_get_print_level). */
  get printLevel(): LogLevel {
    return LOG_LEVELS[this.#printLevel];
  }
  /** @throws {SpdkError} EINVAL when it is not a level. */
  setPrintLevel(level: string): void {
    this.#printLevel = levelNumber(level);
    this.#changed();
  }

  get timestamps(): boolean {
    return this.#timestamps;
  }
  /** Whether printed lines start with the time (spdk_log_enable_timestamps). */
  enableTimestamps(on: boolean): void {
    this.#timestamps = on;
    this.#changed();
  }

  /** Sets the flag of a component, of `all`, or of all that match a pattern with `*` and `?`. @throws {SpdkError} EINVAL when none does. */
  setFlag(name: string): void {
    this.#flag(name, true);
  }
  /** Clears what setFlag sets. @throws {SpdkError} EINVAL when no component matches. */
  clearFlag(name: string): void {
    this.#flag(name, false);
  }
  /** Whether the component exists and its flag is set. */
  getFlag(name: string): boolean {
    return this.#components.get(name.toLowerCase())?.enabled ?? false;
  }
  /** All flags in the order of their names. */
  getFlags(): Record<string, boolean> {
    const sorted = [...this.#components.values()].sort((a, b) =>
      a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1,
    );
    return Object.fromEntries(sorted.map((component) => [component.name, component.enabled]));
  }

  #flag(name: string, on: boolean): void {
    const pattern = name.toLowerCase();
    const matches = pattern === 'all' ? () => true : globMatcher(pattern);
    let found = pattern === 'all';
    for (const [key, component] of this.#components) {
      if (!matches(key)) continue;
      component.enabled = on;
      found = true;
    }
    if (!found) throw new SpdkError('EINVAL', `log flag '${name}' does not exist; see log_get_flags`);
    this.#changed();
  }

  /** Sends every record to `fn` instead of the sinks, unfiltered (spdk_log_open). */
  open(fn: LogFunction): void {
    this.#function = fn;
  }
  /** Back to the sinks (spdk_log_close). */
  close(): void {
    this.#function = null;
  }
  /** Replaces where printed lines go. */
  setPrintSink(sink: LogSink): void {
    this.#print = sink;
  }
  /** Replaces where stored lines go; null stores nothing. */
  setStoreSink(sink: LogSink | null): void {
    this.#store = sink;
  }

  /** Thresholds and flags, for another isolate's `apply`. */
  config(): LogConfig {
    return {
      level: this.level,
      printLevel: this.printLevel,
      timestamps: this.#timestamps,
      flags: Object.fromEntries([...this.#components].map(([key, component]) => [key, component.enabled])),
    };
  }
  /** Takes over another isolate's thresholds and flags; flags of components not loaded here yet are kept for them. */
  apply(config: LogConfig): void {
    this.#level = levelNumber(config.level);
    this.#printLevel = levelNumber(config.printLevel);
    this.#timestamps = config.timestamps;
    for (const [key, on] of Object.entries(config.flags)) {
      this.#wanted.set(key, on);
      const component = this.#components.get(key);
      if (component !== undefined) component.enabled = on;
    }
  }

  /** A feature that will go away. @throws {SpdkError} EEXIST when the tag is taken. */
  registerDeprecation(tag: string, options: DeprecationOptions): Deprecation {
    if (this.#deprecations.has(tag)) throw new SpdkError('EEXIST', `deprecation '${tag}' is already registered`);
    const deprecation = new Deprecation(tag, options, (text) => this.write(WARNING, 'deprecated', text), this.#nowMs);
    this.#deprecations.set(tag, deprecation);
    return deprecation;
  }
  /** All deprecations in the order of registration, with their hits. */
  deprecations(): readonly Deprecation[] {
    return [...this.#deprecations.values()];
  }

  /** The one way out: filters, builds the text, formats, hands to the sinks. */
  write(level: number, component: string, text: LogText): void {
    if (this.#function !== null) {
      const built = typeof text === 'string' ? text : text();
      this.#function({ level: LOG_LEVELS[level], component, text: built, timeMs: this.#nowMs() });
      return;
    }
    const print = level <= this.#printLevel;
    const store = level <= this.#level && this.#store !== null;
    if (!print && !store) return;
    const body = `${component}: *${LOG_LEVELS[level]}*: ${printable(typeof text === 'string' ? text : text())}\n`;
    if (print) this.#print(this.#timestamps ? `[${timestamp(this.#nowMs())}] ${body}` : body);
    if (store) this.#store?.(body);
  }

  #changed(): void {
    this.onChange?.(this.config());
  }
}

/** The number of a level. SPDK's command line also says WARN. */
function levelNumber(level: string): number {
  const name = level.toUpperCase();
  const number = (LOG_LEVELS as readonly string[]).indexOf(name === 'WARN' ? 'WARNING' : name);
  if (number < 0) throw new SpdkError('EINVAL', `log level '${level}' is not one of ${LOG_LEVELS.join(' ')}`);
  return number;
}

/** A matcher for `*` and `?`; everything else stands for itself. */
function globMatcher(pattern: string): (text: string) => boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replace(/\?/g, '.');
  const expression = new RegExp(`^${source}$`, 's');
  return (text) => expression.test(text);
}

/** Local time with microseconds. */
function timestamp(timeMs: number): string {
  const date = new Date(timeMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const microseconds = String(Math.floor((timeMs - Math.floor(timeMs / 1000) * 1000) * 1000)).padStart(6, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${microseconds}`;
}

/** Control characters escaped; a further line starts with four blanks, so that no text can look like another record. */
function printable(text: string): string {
  const trimmed = text.endsWith('\n') ? text.slice(0, -1) : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is the point
  if (!/[\x00-\x1f\x7f]/.test(trimmed)) return trimmed;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is the point
  return trimmed.replace(/[\x00-\x1f\x7f]/g, (character) => {
    if (character === '\n') return '\n    ';
    if (character === '\t') return '  ';
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** This isolate's log. */
export const log = new Log();
