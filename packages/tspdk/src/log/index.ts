// The log, as every other folder may use it.

export type { Deprecation, DeprecationOptions } from './deprecation.ts';
export { LineLimit } from './line-limit.ts';
export {
  LOG_LEVELS,
  Log,
  type LogComponent,
  type LogConfig,
  type LogFunction,
  type LogLevel,
  type LogOptions,
  type LogRecord,
  type LogSink,
  type LogText,
  log,
} from './log.ts';
export { type StderrSinkOptions, stderrSink } from './stderr-sink.ts';
