/** bdev_nbd_create, bdev_nbd_delete: the kit's own, in SPDK's manner. */
import { bdevRegistry } from '../../bdev/index.ts';
import type { App } from '../../event/index.ts';
import { RPC_RUNTIME } from '../../rpc/index.ts';

export function registerInitiatorRpc({ rpc, reactor }: App): void {
  rpc.register({
    name: 'bdev_nbd_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name' },
      {
        name: 'uri',
        type: 'string',
        required: true,
        description: 'nbd://HOST:PORT/EXPORT, nbd+unix:///EXPORT?socket=PATH, or a short form',
      },
      { name: 'reconnect_delay_ms', type: 'uint32', description: 'Between two attempts to connect; default 500' },
      {
        name: 'io_timeout_sec',
        type: 'uint32',
        description: 'How long I/O waits for a server that is gone, before it fails; default 30',
      },
      { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
    ],
    summary: 'Makes a disk of a remote NBD export, which it connects to again when the connection is lost.',
    handler: async (params) => (await bdevRegistry(reactor).create('nbd', params)).name,
  });
  rpc.register({
    name: 'bdev_nbd_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Removes a disk of a remote NBD export. The export stays.',
    handler: async ({ name }) => {
      await bdevRegistry(reactor).delete(name, 'nbd');
      return true;
    },
  });
}
