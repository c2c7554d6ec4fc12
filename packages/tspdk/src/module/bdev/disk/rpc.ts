/** bdev_disk_create and bdev_disk_delete: the kit's own, for disks that users write (`defineDisk`). */
import type { BdevRegistry } from '../../../bdev/index.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { loadBdevModule, unloadBdevModule } from './examining-modules.ts';
import type { DiskOptions } from './load-disk.ts';
import { reloadDisk } from './reload.ts';

export function registerDiskRpc(
  rpc: RpcRegistry,
  deps: { registry: () => BdevRegistry; reactor: () => Reactor },
): void {
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
        description: 'Time a call may take; then it fails with EIO. Default: what the disk says, or 30000',
      },
      { name: 'core', type: 'uint32', description: 'Core a defineDisk runs on; default the last' },
      { name: 'options', type: 'object', description: 'For the module: what its exported function, or create, gets' },
    ],
    summary:
      'Makes a disk of a TypeScript or JavaScript module that exports defineDisk or defineBdevModule({ ... }) by default.',
    handler: async (params) => (await deps.registry().create('disk', params)).name,
  });
  rpc.register({
    name: 'bdev_disk_reload',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary:
      'Loads the file of a defineDisk again, while clients use it. Answers its size in bytes. When that fails the disk stays as it was.',
    handler: ({ name }) => reloadDisk(deps.reactor(), name),
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
  rpc.register({
    name: 'bdev_disk_load_module',
    states: RPC_RUNTIME,
    params: [
      { name: 'module', type: 'string', required: true, description: 'Path or file URL of a module with examine' },
      { name: 'options', type: 'object', description: 'For the function that the file exports, if it does' },
    ],
    summary:
      'Loads a defineBdevModule that looks at every disk that comes, and at those that are there, and makes its disks on them.',
    handler: async ({ module, options }) => {
      await loadBdevModule(deps.reactor(), module, options as DiskOptions | undefined);
      return true;
    },
  });
  rpc.register({
    name: 'bdev_disk_unload_module',
    states: RPC_RUNTIME,
    params: [{ name: 'module', type: 'string', required: true, description: 'As it was loaded' }],
    summary: 'Has a module look at disks no more. The disks that it has made stay.',
    handler: ({ module }) => {
      unloadBdevModule(deps.reactor(), module);
      return true;
    },
  });
}
