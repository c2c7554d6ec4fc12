/** bdev_logwrites_create, bdev_logwrites_delete, bdev_logwrites_mark: the kit's own, SPDK has no such disk. */
import type { BdevRegistry } from '../../../bdev/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { markLogWrites } from './logwrites-bdev.ts';

export function registerLogWritesRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry }): void {
  rpc.register({
    name: 'bdev_logwrites_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Name' },
      { name: 'base_bdev_name', type: 'string', required: true, description: 'The bdev that holds the data' },
      {
        name: 'log_bdev_name',
        type: 'string',
        required: true,
        description: 'The bdev that holds the log; what is on it is lost',
      },
      { name: 'uuid', type: 'uuid', description: 'Default: a new one' },
    ],
    summary: "Makes a disk that logs all that changes it, in the format of Linux's dm-log-writes.",
    handler: async (params) => (await deps.registry().create('logwrites', params)).name,
  });
  rpc.register({
    name: 'bdev_logwrites_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Removes a logwrites disk; its log is complete then.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, 'logwrites');
      return true;
    },
  });
  rpc.register({
    name: 'bdev_logwrites_mark',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The bdev' },
      { name: 'mark', type: 'string', required: true, description: 'The label' },
    ],
    summary: 'Appends a mark to the log of a logwrites disk.',
    handler: async ({ name, mark }) => {
      await markLogWrites(deps.registry().reactor, name, mark);
      return true;
    },
  });
}
