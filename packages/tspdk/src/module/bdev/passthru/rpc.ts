/** bdev_passthru_create, bdev_passthru_delete (SPDK: module/bdev/passthru/vbdev_passthru_rpc.c). */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';

export function registerPassthruRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_passthru_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name' },
      { name: 'base_bdev_name', type: 'string', required: true, description: 'The bdev to pass to' },
      { name: 'uuid', type: 'uuid', description: 'Default: one that follows from the base’s' },
    ],
    summary: 'Makes a disk that passes everything on to another, now or when that comes, and whenever it comes back.',
    handler: (params) =>
      deps.registry().createOn(params.base_bdev_name, 'passthru', params, { method: 'bdev_passthru_create', params }),
  });
  rpc.register({
    name: 'bdev_passthru_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Removes a passthru disk, or one that waits for its base.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, 'passthru');
      return true;
    },
  });
}
