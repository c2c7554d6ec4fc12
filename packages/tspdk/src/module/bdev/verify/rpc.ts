/** bdev_verify_create, bdev_verify_delete: the kit's own. */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';

export function registerVerifyRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_verify_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name' },
      { name: 'base_bdev_name', type: 'string', required: true, description: 'A bdev' },
      {
        name: 'mirror_bdev_name',
        type: 'string',
        required: true,
        description: 'One of the same size, to compare it with',
      },
      { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
    ],
    summary: 'Makes a disk that does everything on two others and stops when they differ.',
    handler: async (params) => (await deps.registry().create('verify', params)).name,
  });
  rpc.register({
    name: 'bdev_verify_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Removes a verify disk.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, 'verify');
      return true;
    },
  });
}
