/** The flags of `tspdk conform`, apart from what it does: the command reads them before it loads that. */
import type { FlagSpec } from '../event/app-args.ts';
import { DISK_FLAGS } from './serve-flags.ts';

export const CONFORM_FLAGS: readonly FlagSpec[] = [
  { name: 'bdev', short: 'T', value: 'NAME', summary: 'the disk of --json CONFIG that is checked' },
  { name: 'only', value: 'CHECK', summary: 'this check alone; may be repeated', repeat: true },
  { name: 'list', summary: 'the checks, and what each is about' },
  { name: 'no-data', summary: 'the disk keeps nothing, so what is read is not looked at; default for null disks' },
  { name: 'io-timeout', value: 'SECONDS', summary: 'what an I/O may take, and the disk to come and to go; default 60' },
  { name: 'seed', value: 'N', summary: 'of the random check; default 1' },
  { name: 'block-size', value: 'BYTES', summary: 'block size of DISK; default 512, or the device’s' },
  { name: 'direct', summary: 'bypass the page cache of a file, where possible' },
  { name: 'read-only', summary: 'open a file for reading only' },
  { name: 'json-output', summary: 'print the results as one JSON object' },
  ...DISK_FLAGS,
];
