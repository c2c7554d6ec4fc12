/** RPC methods for a closer look at a disk: histograms of latency, samples of the queue depth. Names, parameters and answers are SPDK's. */
import { SpdkError } from '../env/errors.ts';
import { HISTOGRAM_BITS } from '../env/histogram.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../rpc/index.ts';
import { IO_TYPE_NAMES } from './io-type.ts';
import {
  countsBelow,
  enableHistogram,
  LATENCY_TICKS_PER_SECOND,
  readHistogram,
  setSamplingPeriod,
  toSpdkHistogram,
} from './observe.ts';
import type { BdevRegistry } from './registry.ts';

/** SPDK's limit. */
const BORDERS_MAX = 256;
/** SPDK's defaults. */
const MIN_NSEC = 1000;
const MAX_NSEC = 120_000_000_000;

export function registerObserveRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_enable_histogram',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The bdev' },
      { name: 'enable', type: 'boolean', required: true, description: 'Counts from zero, or no more' },
      { name: 'opc', type: 'string', description: 'Only this type of I/O: read, write, unmap, ...; default all' },
      {
        name: 'granularity',
        type: 'uint8',
        default: HISTOGRAM_BITS,
        description: `A doubling of time has 2 to the power of it buckets: 1 to ${HISTOGRAM_BITS}`,
      },
      {
        name: 'min_nsec',
        type: 'uint64',
        default: MIN_NSEC,
        description: 'What is shorter goes to the first range of buckets',
      },
      { name: 'max_nsec', type: 'uint64', default: MAX_NSEC, description: 'What is longer goes to the last range' },
    ],
    summary: 'Counts how long the I/Os of a bdev take, over all cores.',
    handler: async ({ name, enable, opc, granularity, min_nsec, max_nsec }) => {
      const bdev = deps.registry().get(name);
      const type = opc === undefined ? 0 : IO_TYPE_NAMES.indexOf(opc);
      if (type < 0 || opc === '') {
        throw new SpdkError('EINVAL', `opc "${opc}" is none of ${IO_TYPE_NAMES.slice(1).join(', ')}`);
      }
      await enableHistogram(bdev, enable ? { type, granularity, minNs: min_nsec, maxNs: max_nsec } : null);
      return true;
    },
  });
  rpc.registerAlias('enable_bdev_histogram', 'bdev_enable_histogram');

  rpc.register({
    name: 'bdev_get_histogram',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'The counts of bdev_enable_histogram, as 64-bit little-endian numbers in base64.',
    handler: async ({ name }) => {
      const { histogram, options } = await readHistogram(deps.registry().get(name));
      const { buckets, minRange, maxRange } = toSpdkHistogram(histogram, options);
      return {
        histogram: Buffer.from(buckets.buffer).toString('base64'),
        granularity: options.granularity,
        min_range: minRange,
        max_range: maxRange,
        tsc_rate: LATENCY_TICKS_PER_SECOND,
      };
    },
  });
  rpc.registerAlias('get_bdev_histogram', 'bdev_get_histogram');

  rpc.register({
    name: 'bdev_get_histogram_borders',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The bdev' },
      {
        name: 'borders',
        type: 'array',
        class: 'bdev_histogram_borders',
        items: { type: 'uint64' },
        required: true,
        description: 'Microseconds',
      },
    ],
    summary: 'How many I/Os took no longer than each border, and how many there are.',
    handler: async ({ name, borders }) => {
      if (borders.length > BORDERS_MAX) {
        throw new SpdkError('EINVAL', `${borders.length} borders, limit ${BORDERS_MAX}`);
      }
      const { histogram } = await readHistogram(deps.registry().get(name));
      return {
        borders_count: countsBelow(
          histogram,
          borders.map((us) => us * 1000),
        ),
      };
    },
  });

  rpc.register({
    name: 'bdev_set_qd_sampling_period',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The bdev' },
      { name: 'period', type: 'uint64', required: true, description: 'Microseconds; 0: no more' },
    ],
    summary: 'Looks at the queue depth of a bdev every so often; bdev_get_iostat tells it.',
    handler: async ({ name, period }) => {
      await setSamplingPeriod(deps.registry().get(name), period);
      return true;
    },
  });
  rpc.registerAlias('set_bdev_qd_sampling_period', 'bdev_set_qd_sampling_period');
}
