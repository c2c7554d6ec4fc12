/**
 * A disk on another that takes longer, as SPDK's delay bdev (module/bdev/delay): reads and writes complete later by a latency, and one in a hundred by another. It passes everything
 * on; the latencies are fault rules of the disk (bdev/faults/), as any disk may have them.
 */
import {
  type BdevModule,
  type BdevSpec,
  faultRegistry,
  type MadeFault,
  registerBdevModule,
} from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { attachPassthru, baseName, newPassthru } from '../passthru/passthru-bdev.ts';

/** SPDK's enum delay_io_type, by its RPC names; their order is that of `DelayData.latencies`. */
export const LATENCY_TYPES = ['avg_read', 'p99_read', 'avg_write', 'p99_write'] as const;
export type LatencyType = (typeof LATENCY_TYPES)[number];
const PARAMS = ['avg_read_latency', 'p99_read_latency', 'avg_write_latency', 'p99_write_latency'] as const;

/** SPDK's BDEV_DELAY_NAMESPACE_UUID. */
const NAMESPACE = '4009b574-6430-4f1b-bc40-ace811091027';

export interface DelayBdevParams extends Record<(typeof PARAMS)[number], number> {
  readonly name: string;
  readonly base_bdev_name: string;
  /** Default: one that follows from the base's. */
  readonly uuid?: string | undefined;
}

interface DelayData {
  /** µs, by LATENCY_TYPES. */
  readonly latencies: SharedArrayBuffer;
}

const latenciesOf = (spec: Pick<BdevSpec, 'data'>): Float64Array =>
  new Float64Array((spec.data as DelayData).latencies);

function check(us: number, what: string): number {
  const most = 3_600_000_000;
  if (!(us >= 0 && us <= most)) throw new SpdkError('EINVAL', `${what} ${us} µs, limit 0 to ${most}`);
  return us;
}

async function applyLatencies(spec: BdevSpec, reactor: Reactor): Promise<void> {
  const [avgRead, p99Read, avgWrite, p99Write] = latenciesOf(spec);
  const made: MadeFault[] = [];
  for (const [op, delay_us, delay_max_us] of [
    ['read', avgRead, p99Read],
    ['write', avgWrite, p99Write],
  ] as const) {
    if (delay_us === 0 && delay_max_us === 0) continue;
    const rule = { op, action: 'delay', stage: 'completion', distribution: 'p99', delay_us, delay_max_us };
    made.push({ rule, call: null });
  }
  await faultRegistry(reactor).replace(spec.name, spec.moduleName, () => true, made);
}

/** Changes one latency of the delay disk of `spec`. @throws {SpdkError} EINVAL out of range */
export async function updateLatency(spec: BdevSpec, type: LatencyType, us: number, reactor: Reactor): Promise<void> {
  latenciesOf(spec)[LATENCY_TYPES.indexOf(type)] = check(us, type);
  await applyLatencies(spec, reactor);
}

export const delayModule: BdevModule<DelayBdevParams> = registerBdevModule<DelayBdevParams>({
  name: 'delay',

  create(params: DelayBdevParams, reactor: Reactor) {
    const latencies = new SharedArrayBuffer(PARAMS.length * 8);
    new Float64Array(latencies).set(PARAMS.map((param) => check(params[param], param)));
    return newPassthru('delay', NAMESPACE, params, reactor, { latencies } satisfies DelayData);
  },

  attach: attachPassthru,
  made: (bdev, reactor) => applyLatencies(bdev.spec, reactor),
  destroy: () => {},
  changedParams: describe,
  dumpInfo: (spec: BdevSpec) => ({ delay: describe(spec) }),
  configCalls: (spec: BdevSpec) => [{ method: 'bdev_delay_create', params: { ...describe(spec), uuid: spec.uuid } }],
});

function describe(spec: BdevSpec): Record<string, unknown> {
  const latencies = latenciesOf(spec);
  return {
    name: spec.name,
    base_bdev_name: baseName(spec),
    ...Object.fromEntries(PARAMS.map((param, i) => [param, latencies[i]])),
  };
}
