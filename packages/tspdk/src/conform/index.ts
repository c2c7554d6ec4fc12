// The conformance suite, as programs use it.

export type { Check, CheckResult } from './check.ts';
export { CHECKS, type ConformOptions, type ConformReport, conform } from './conform.ts';
export { conformModuleUrl } from './control.ts';
