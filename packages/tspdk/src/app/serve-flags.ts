/**
 * The flags of `tspdk serve`, apart from what it does: the command reads them before it loads that.
 */
import type { FlagSpec } from '../event/app-args.ts';

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
];
