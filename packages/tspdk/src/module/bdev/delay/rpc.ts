/** bdev_delay_create, _update_latency, _delete (SPDK: module/bdev/delay/vbdev_delay_rpc.c). */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { LATENCY_TYPES, type LatencyType, updateLatency } from './delay-bdev.ts';

export function registerDelayRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_delay_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name' },
      { name: 'base_bdev_name', type: 'string', required: true, description: 'The bdev to pass to' },
      { name: 'avg_read_latency', type: 'uint64', required: true, description: 'µs that a read takes longer' },
      { name: 'p99_read_latency', type: 'uint64', required: true, description: 'µs for one read in a hundred' },
      { name: 'avg_write_latency', type: 'uint64', required: true, description: 'µs that a write takes longer' },
      { name: 'p99_write_latency', type: 'uint64', required: true, description: 'µs for one write in a hundred' },
      { name: 'uuid', type: 'uuid', description: 'Default: one that follows from the base’s' },
    ],
    summary: 'Makes a disk on another that takes longer, now or when that comes, and whenever it comes back.',
    handler: (params) =>
      deps.registry().createOn(params.base_bdev_name, 'delay', params, { method: 'bdev_delay_create', params }),
  });
  rpc.register({
    name: 'bdev_delay_update_latency',
    states: RPC_RUNTIME,
    params: [
      { name: 'delay_bdev_name', type: 'string', required: true, description: 'A delay bdev' },
      {
        name: 'latency_type',
        type: 'enum',
        class: 'bdev_delay_latency_type',
        values: LATENCY_TYPES,
        required: true,
        description: 'Which latency',
      },
      { name: 'latency_us', type: 'uint64', required: true, description: 'Its new value, µs' },
    ],
    summary: 'Changes a latency of a delay disk.',
    handler: async ({ delay_bdev_name, latency_type, latency_us }) => {
      const registry = deps.registry();
      const { spec, moduleName } = registry.get(delay_bdev_name);
      if (moduleName !== 'delay') {
        throw new SpdkError('ENODEV', `bdev "${delay_bdev_name}" is of module ${moduleName}, not delay`);
      }
      await updateLatency(spec, latency_type as LatencyType, latency_us, registry.reactor);
      return true;
    },
  });
  rpc.register({
    name: 'bdev_delay_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Removes a delay disk, or one that waits for its base.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, 'delay');
      return true;
    },
  });
}
