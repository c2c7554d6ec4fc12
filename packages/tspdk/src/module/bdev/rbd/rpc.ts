/** bdev_rbd_* (SPDK: module/bdev/rbd/bdev_rbd_rpc.c). */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { resizeRbd } from './rbd-bdev.ts';
import { rbdClusters } from './rbd-clusters.ts';

const USER = { name: 'user_id', type: 'string', description: 'Ceph user, without "client."; default: admin' } as const;

export function registerRbdRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  registerClusters(rpc, deps);
  rpc.register({
    name: 'bdev_rbd_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', description: 'Name of the bdev; default: Ceph0, Ceph1, ...' },
      USER,
      { name: 'pool_name', type: 'string', required: true, description: 'Pool of the image' },
      { name: 'rbd_name', type: 'string', required: true, description: 'The image' },
      { name: 'block_size', type: 'uint32', required: true, description: 'Bytes of a block' },
      { name: 'config', type: 'object', description: 'Ceph options by name, as strings; no file is read then' },
      { name: 'cluster_name', type: 'string', description: 'A registered cluster; default: a connection of its own' },
      { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
      { name: 'read_only', type: 'boolean', description: 'Open for reading only' },
    ],
    summary: 'Makes a disk of an image of a Ceph cluster.',
    handler: async (params) => (await deps.registry().create('rbd', params)).name,
  });
  rpc.register({
    name: 'bdev_rbd_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Removes an RBD disk; the image stays.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, 'rbd');
      return true;
    },
  });
  rpc.register({
    name: 'bdev_rbd_resize',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The bdev' },
      { name: 'new_size', type: 'uint64', required: true, description: 'MiB; more than it has' },
    ],
    summary: 'Makes the image of an RBD disk, and the disk, larger.',
    handler: async ({ name, new_size }) => {
      await resizeRbd(deps.registry().reactor, name, new_size);
      return true;
    },
  });
}

function registerClusters(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  const clusters = () => rbdClusters(deps.registry().reactor);
  rpc.register({
    name: 'bdev_rbd_register_cluster',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name of the connection' },
      USER,
      { name: 'config_param', type: 'object', description: 'Ceph options by name, as strings; no file is read then' },
      { name: 'config_file', type: 'string', description: "Ceph's configuration; default: where Ceph looks for it" },
      { name: 'key_file', type: 'string', description: 'Keyring of the user' },
      { name: 'core_mask', type: 'string', description: "Cores of librbd's threads; default: those without a reactor" },
    ],
    summary: 'Connects to a Ceph cluster, for several disks.',
    handler: (params) => clusters().register(params),
  });
  rpc.register({
    name: 'bdev_rbd_unregister_cluster',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'Name of the connection' }],
    summary: 'Leaves a Ceph cluster that no disk uses any more.',
    handler: async ({ name }) => {
      await clusters().unregister(name);
      return true;
    },
  });
  rpc.register({
    name: 'bdev_rbd_get_clusters_info',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', description: 'One connection; default: all' }],
    summary: 'Lists the connections to Ceph clusters.',
    handler: ({ name }) => clusters().info(name),
  });
}
