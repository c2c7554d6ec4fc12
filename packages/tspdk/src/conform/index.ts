/** The conformance suite, as programs use it. */
import type { Subsystem } from '../event/index.ts';
import { conformModuleUrl } from './control.ts';

export type { Check, CheckResult } from './check.ts';
export { CHECKS, CONFORM_TIMEOUT_MS, type ConformOptions, type ConformReport, conform } from './conform.ts';

/** What every core must have loaded for the suite: a part of an application whose disks are checked. */
export const conformSubsystem: Subsystem = { name: 'conform', dependsOn: ['bdev'], modules: [conformModuleUrl] };
