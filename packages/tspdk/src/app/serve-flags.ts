/**
 * The flags of `tspdk serve`, apart from what it does: the command reads them before it loads that.
 */
import type { FlagSpec } from '../event/app-args.ts';

/** Of every program that takes a DISK. */
export const DISK_FLAGS: readonly FlagSpec[] = [
  {
    name: 'option',
    value: 'KEY=VALUE',
    summary: 'for a DISK that takes options, as ?KEY=VALUE behind its name',
    repeat: true,
  },
  {
    name: 'fault',
    value: 'RULE',
    summary: 'what is to go wrong with DISK, as op=write,action=error,errno=ENOSPC (docs/faults.md)',
    repeat: true,
  },
];

export const SERVE_FLAGS: readonly FlagSpec[] = [
  {
    name: 'nbd',
    value: 'ADDR',
    summary:
      'where to listen: HOST:PORT, :PORT, unix:PATH or an NBD URI; default 127.0.0.1:10809; port 0 is any free one',
    repeat: true,
  },
  { name: 'name', value: 'NAME', summary: 'name of the export; default "disk", or the one in the URI' },
  { name: 'read-only', summary: 'refuse what writes' },
  { name: 'block-size', value: 'BYTES', summary: 'block size of the disk; default 512, or the device’s' },
  { name: 'direct', summary: 'bypass the page cache of a file, where possible' },
  { name: 'watch', summary: 'load a module that defines a disk again when its file changes; clients stay' },
  ...DISK_FLAGS,
];
