/** bdev_disk_create and bdev_disk_delete: the kit's own, for disks that users write (`defineDisk`). */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';

export function registerDiskRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_disk_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name of the bdev' },
      { name: 'module', type: 'string', required: true, description: 'Path or file URL of the disk module' },
      { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
      {
        name: 'timeout_ms',
        type: 'uint32',
        description: 'Time a call may take; then it fails with EIO. Default 30000',
      },
      { name: 'core', type: 'uint32', description: 'Core it runs on; default the last' },
    ],
    summary: 'Makes a disk of a TypeScript or JavaScript module that exports defineDisk({ ... }) by default.',
    handler: async (params) => (await deps.registry().create('disk', params)).name,
  });
  rpc.register({
    name: 'bdev_disk_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Removes a disk that a module defines.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, 'disk');
      return true;
    },
  });
}
