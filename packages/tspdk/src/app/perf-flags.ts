/**
 * The flags of `tspdk perf`, apart from what it does: the command reads them before it loads that. Letters are bdevperf's; none of them is
 * also one of every application's.
 */
import type { FlagSpec } from '../event/app-args.ts';
import { DISK_FLAGS } from './serve-flags.ts';

export const PERF_FLAGS: readonly FlagSpec[] = [
  { name: 'queue-depth', short: 'q', value: 'N', summary: 'I/Os under way at once, of each job; default 32' },
  { name: 'io-size', short: 'o', value: 'SIZE', summary: 'bytes of an I/O, also as 4k or 1M; default 4096' },
  { name: 'workload', short: 'w', value: 'NAME', summary: 'what to do, see above; default randread' },
  { name: 'time', short: 't', value: 'SECONDS', summary: 'how long; default 5' },
  { name: 'rwmixread', short: 'M', value: 'PERCENT', summary: 'of rw and randrw, how much is read; default 50' },
  { name: 'bdev', short: 'T', value: 'NAME', summary: 'only this disk; default all there are' },
  { name: 'every-core', short: 'C', summary: 'every core uses every disk; default: disks are dealt to cores in turn' },
  {
    name: 'zipf',
    short: 'F',
    value: 'THETA',
    summary: 'random places by Zipf’s law, the first ones most; default 0, all alike',
  },
  { name: 'latency', short: 'l', summary: 'percentiles of latency; reads the clock at every I/O' },
  { name: 'timeout', short: 'k', value: 'SECONDS', summary: 'count I/Os that take longer; default 0, none' },
  { name: 'abort', short: 'X', summary: 'abort what has timed out' },
  { name: 'continue-on-failure', short: 'f', summary: 'a job goes on after a failed I/O' },
  { name: 'wait-for-tests', short: 'z', summary: 'wait for the RPC perform_tests, and for the next one after it' },
  {
    name: 'ios',
    value: 'N',
    summary: 'each job ends after N I/Os, if its time is not over before; verify finishes the places that it is at',
  },
  { name: 'seed', value: 'N', summary: 'of places, mixture and data; the same gives the same I/Os; default 1' },
  { name: 'block-size', value: 'BYTES', summary: 'block size of DISK; default 512, or the device’s' },
  { name: 'direct', summary: 'bypass the page cache of a file, where possible' },
  { name: 'json-output', summary: 'print the result as one JSON object' },
  ...DISK_FLAGS,
];
